"""JSON as trtexec writes it: by hand, with `nan` and `inf` where a number is none, and control characters in names.

samples/common/sampleReporting.cpp prints its exports through a C++ stream, so a float that is no number becomes `nan`
or `inf`, and layer names go out as they are: TensorRT 8.5.1 (commit 768d994b) and 11.1.0.106 (commit d5883286).
"""

from __future__ import annotations

import json
import re
from typing import Any

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?\b(?:nan|inf)\b')
_NUMBERS = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class Garbled(ValueError):
    """A text that is cut, or not what it should be; the message says which and where."""


def loads(text: str, what: str) -> Any:
    """The value in `text`. Errors: Garbled, naming `what` and where the text stops being JSON."""
    try:
        return json.loads(_TOKEN.sub(_as_json, text), strict=False)
    except json.JSONDecodeError as error:
        raise Garbled(f"{what} is cut or garbled: {error.msg} at character {error.pos} of {len(text)}") from None
    except RecursionError:
        raise Garbled(f"{what} is garbled: it nests too deep") from None


def _as_json(token: re.Match[str]) -> str:
    return _NUMBERS.get(token.group(), token.group())
