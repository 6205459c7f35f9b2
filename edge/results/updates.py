"""Measurements that an older edgebench stored, brought up when they are read; their files stay as they are.

A change of what is stored raises SCHEMA by one and gets its `update_to_N`, which makes N of N - 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SCHEMA = 2

Stored = dict[str, Any]


def update_to_2(stored: Stored) -> Stored:
    """Since 2 a measurement says where it was imported from; whatever was stored before was measured from here."""
    return {**stored, "schema": 2}


_UPDATES: dict[int, Callable[[Stored], Stored]] = {2: update_to_2}


def updated(stored: Any) -> Any:
    """What was stored, as this edgebench reads it. What is no measurement, or of no known schema, stays as it is."""
    while isinstance(stored, dict) and type(stored.get("schema")) is int and stored["schema"] + 1 in _UPDATES:
        stored = _UPDATES[stored["schema"] + 1](stored)
    return stored
