"""nvidia-smi --query-gpu=... --format=csv,noheader,nounits: one line a GPU, fields parted by a comma and a space."""

from __future__ import annotations

from typing import Dict, Optional, Sequence


def parse_query(text: str, fields: Sequence[str]) -> Optional[Dict[str, str]]:
    """The first GPU's fields that hold a value, by name; None when the line does not fit the query."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    values = [value.strip() for value in lines[0].split(",")]
    if len(values) != len(fields):
        return None
    return {field: value for field, value in zip(fields, values) if _tells(value)}


def _tells(value: str) -> bool:
    """Not so: [N/A], [Not Supported], [Insufficient Permissions], [GPU requires reset], [Unknown Error], ERR!"""
    return not value.startswith("[") and value not in ("", "N/A", "ERR!")
