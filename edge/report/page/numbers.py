"""Figures as a page holds them: five significant digits, None for what is not known; and text that a page can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

_DIGITS = 5


def short(value: float | None) -> float | None:
    """As many digits as anybody can see."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


def ms(ns: float | None) -> float | None:
    return None if ns is None else short(ns / 1e6)


def several(values: Iterable[float]) -> list[float | None]:
    return [short(float(value)) for value in values]


def in_script(value: Any) -> str:
    """JSON that ends no <script>, opens no comment and is no line of JavaScript, whatever strings are in it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
