"""Dataclasses to JSON and back, with validation that names the place of a mistake.

The same checks read job specs on a device, results on the host and TOML files of the operator.
"""

from __future__ import annotations

import dataclasses
import difflib
import enum
import functools
import json
import math
import reprlib
import types
import typing
from typing import Any, Callable, Dict, List, Mapping, Tuple, Type, TypeVar, Union

T = TypeVar("T")

MAX_STRING = 65_536
MAX_ITEMS = 100_000
MAX_INTEGER = 2**63 - 1
_SHOWN = 60  # characters of what is wrong that a message quotes

_PLAIN = (str, int, float, bool)
_UNIONS = (Union, getattr(types, "UnionType", Union))  # `X | Y` of Python 3.10 has a type of its own


class SchemaViolation(ValueError):
    """Data that does not fit its type. `where` is the path of the offending value, such as `processes[2].load_ns`."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.where = where
        self.message = message


def to_json(value: Any) -> Any:
    """A dataclass, or anything nested in one, as plain JSON values. Fields that are None are left out."""
    if type(value) in _PLAIN:  # nearly all that there is, and looking for anything else takes ten times as long
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: to_json(item) for name, item in pairs if item is not None}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


def dumps(value: Any, indent: Union[int, None] = None) -> str:
    """Canonical JSON text: sorted keys, no NaN, so equal values give equal bytes."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(to_json(value), sort_keys=True, allow_nan=False, indent=indent, separators=separators)


def loads(text: Union[str, bytes], where: str = "") -> Any:
    """Parse JSON, refusing NaN, infinities, invalid UTF-8 and nesting that exhausts the stack."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise SchemaViolation(where, f"not valid JSON ({error or 'nested too deep'})") from None


def from_json(kind: Type[T], data: Any, where: str = "") -> T:
    """Build `kind` from plain JSON values; raise SchemaViolation naming the path of the first mistake."""
    return typing.cast(T, _read(kind, data, where))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _read(kind: Any, data: Any, where: str) -> Any:
    return _reader(kind)(kind, data, where)


@functools.lru_cache(maxsize=None)
def _reader(kind: Any) -> Callable[[Any, Any, str], Any]:
    """What reads that type. Found out once: results hold a thousand values of a dozen types."""
    origin = typing.get_origin(kind)
    if kind is Any:
        return lambda _kind, data, _where: data
    if origin in _UNIONS:
        return _read_union
    if origin in (tuple, list):
        return _read_sequence
    if origin is not None and issubclass(origin, Mapping):
        return _read_mapping
    if dataclasses.is_dataclass(kind):
        return _read_dataclass
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _read_enum
    return _read_scalar


def _read_union(kind: Any, data: Any, where: str) -> Any:
    options = _options(kind)
    if data is None and type(None) in options:
        return None
    if type(data) in options:  # nearly always; what is wrong with the others needs no sentence
        return _read(type(data), data, where)
    mistakes: List[SchemaViolation] = []
    # bool before int: True is an int to Python, and must stay a bool.
    for option in sorted((o for o in options if o is not type(None)), key=lambda o: o is not bool):
        try:
            return _read(option, data, where)
        except SchemaViolation as error:
            mistakes.append(error)
    if len(mistakes) == 1:
        raise mistakes[0]
    names = " or ".join(_name(option) for option in options if option is not type(None))
    raise SchemaViolation(where, f"expected {names}, got {_describe(data)}")


@functools.lru_cache(maxsize=None)
def _options(kind: Any) -> Tuple[Any, ...]:
    return typing.get_args(kind)


def _read_sequence(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, list):
        raise SchemaViolation(where, f"expected a list, got {_describe(data)}")
    if len(data) > MAX_ITEMS:
        raise SchemaViolation(where, f"{len(data)} items; at most {MAX_ITEMS} are read")
    item_kind = typing.get_args(kind)[0]
    items = [_read(item_kind, item, f"{where}[{index}]") for index, item in enumerate(data)]
    return tuple(items) if typing.get_origin(kind) is tuple else items


def _read_mapping(kind: Any, data: Any, where: str) -> Dict[str, Any]:
    if not isinstance(data, dict):
        raise SchemaViolation(where, f"expected a table, got {_describe(data)}")
    if len(data) > MAX_ITEMS:
        raise SchemaViolation(where, f"{len(data)} entries; at most {MAX_ITEMS} are read")
    item_kind = typing.get_args(kind)[1]
    return {key: _read(item_kind, item, _join(where, key)) for key, item in data.items()}


def _read_dataclass(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise SchemaViolation(where, f"expected a table, got {_describe(data)}")
    hints, required, nullable = _fields(kind)
    for key in data:
        if key not in hints:
            close = difflib.get_close_matches(str(key)[:_SHOWN], list(hints), n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise SchemaViolation(where, f"unknown key {_describe(key)}{hint}; allowed: {', '.join(sorted(hints))}")
    for key in required:
        if key not in data:
            raise SchemaViolation(where, f"the key {key!r} is missing")
    keys = {**data, **dict.fromkeys(nullable)}
    values = {key: _read(hints[key], data.get(key), _join(where, key)) for key in keys}
    try:
        return kind(**values)
    except SchemaViolation as error:
        raise SchemaViolation(_join(where, error.where) if error.where else where, error.message) from None
    except ValueError as error:
        raise SchemaViolation(where, str(error)) from None


@functools.lru_cache(maxsize=None)
def _fields(kind: Any) -> Tuple[Dict[str, Any], Tuple[str, ...], Tuple[str, ...]]:
    """Types by name; names that data must hold; names without a default that may be None, which to_json leaves out."""
    hints = typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    missing = dataclasses.MISSING
    bare = [f.name for f in fields if f.default is missing and f.default_factory is missing]
    nullable = tuple(name for name in bare if type(None) in typing.get_args(hints[name]))
    required = tuple(name for name in bare if name not in nullable)
    return {field.name: hints[field.name] for field in fields}, required, nullable


def _read_enum(kind: Any, data: Any, where: str) -> Any:
    try:
        return kind(data)
    except ValueError:
        allowed = ", ".join(str(member.value) for member in kind)
        raise SchemaViolation(where, f"{_describe(data)} is not one of {allowed}") from None


def _read_scalar(kind: Any, data: Any, where: str) -> Any:
    if isinstance(data, int) and not -MAX_INTEGER <= data <= MAX_INTEGER:
        raise SchemaViolation(where, "an integer of more than 64 bits")
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        data = float(data)
    if (kind is int and isinstance(data, bool)) or not isinstance(data, kind):
        raise SchemaViolation(where, f"expected {_name(kind)}, got {_describe(data)}")
    if kind is str:
        _check_text(data, where)
    if kind is float and not math.isfinite(data):
        raise SchemaViolation(where, "not a finite number")
    return data


def _check_text(data: str, where: str) -> None:
    if len(data) > MAX_STRING:
        raise SchemaViolation(where, f"a string of {len(data)} characters; at most {MAX_STRING} are read")
    try:
        data.encode("utf-8")
    except UnicodeEncodeError:
        raise SchemaViolation(where, "text that is not valid Unicode") from None


def _join(where: str, key: str) -> str:
    return f"{where}.{key[:_SHOWN]}" if where else key[:_SHOWN]


def _name(kind: Any) -> str:
    names = {str: "text", int: "an integer", float: "a number", bool: "true or false"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _describe(data: Any) -> str:
    """In at most `_SHOWN` characters, however much it is: a device may send anything."""
    shorten = reprlib.Repr()
    shorten.maxstring = shorten.maxother = shorten.maxlong = 2 * _SHOWN
    shorten.maxlist = shorten.maxdict = _SHOWN // 2
    text = shorten.repr(data)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
