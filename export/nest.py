"""What a network returns, as named tensors: one, or any nest of dictionaries, sequences and dataclasses of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from profiles.errors import ExportError

LONE = "output"
_FIX = "return a tensor, or a dictionary, list, tuple or dataclass of tensors"


def flatten(value: Any, is_tensor: Callable[[Any], bool], *, lone: str = LONE) -> dict[str, Any]:
    """Tensors by a stable name: `a.b` for a key in a dictionary or a field of a dataclass, `a.0` for a place in a
    sequence; `lone` where the network returns one tensor and nothing around it. None (an output that is not computed)
    is left out. Errors: ExportError for anything else, where no tensor is left, and for two of one name."""
    found = by_name((name or lone, tensor) for name, tensor in _walk(value, "", is_tensor))
    if not found:
        raise ExportError(f"the model returns nothing usable ({_kind(value)} without a tensor)", fix=_FIX)
    return found


def by_name(tensors: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Tensors by their names. Errors: ExportError for two of one name."""
    found: dict[str, Any] = {}
    for name, tensor in tensors:
        if name in found:
            raise ExportError(f"the model returns two tensors called {name!r}", fix="give each a name of its own")
        found[name] = tensor
    return found


def _walk(value: Any, at: str, is_tensor: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    if is_tensor(value):
        yield at, value
        return
    parts = _parts(value)
    if parts is None:
        place = f" at {at!r}" if at else ""
        raise ExportError(f"the model returns {_kind(value)}{place}, which is no tensor", fix=_FIX)
    for name, part in parts:
        yield from _walk(part, f"{at}.{name}" if at else str(name), is_tensor)


def _parts(value: Any) -> list[tuple[Any, Any]] | None:
    if value is None:
        return []
    if isinstance(value, Mapping):
        return list(value.items())
    if hasattr(value, "_asdict"):  # a namedtuple
        return list(value._asdict().items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
