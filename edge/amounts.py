"""Amounts of bytes as an operator writes them."""

from __future__ import annotations

import re

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_AMOUNT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]+)\Z", re.ASCII)


def parse_bytes(text: str) -> int:
    """Bytes of `50 MB`. Errors: ValueError that says what is allowed."""
    match = _AMOUNT.match(text.strip())
    found = int(float(match[1]) * _UNITS[match[2]]) if match is not None and match[2] in _UNITS else 0
    if found < 1:
        raise ValueError(f"{text!r} is no amount of bytes; write a number and one of {', '.join(_UNITS)}")
    return found
