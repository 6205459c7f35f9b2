"""JSON Schema of a dataclass, by the rules by which `device_agents.codec.from_json` reads it.

What no type tells stands in `schema_words`: it is laid over what the type says, or stands for it where it has a type of
its own.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any, Union

Schema = dict[str, Any]
Words = Mapping[tuple[type, str], Schema]

_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean"}


class Writer:
    """Writes schemas of types; those of dataclasses are collected in `definitions`, each once."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._kinds: dict[str, type] = {}
        self.definitions: dict[str, Schema] = {}

    def of(self, kind: Any) -> Schema:
        """Errors: TypeError for a type that JSON has no words for."""
        origin = typing.get_origin(kind)
        if kind is Any:
            return {}
        if origin in (Union, types.UnionType):
            return self._union(typing.get_args(kind))
        if origin in (tuple, list):
            return self._sequence(typing.get_args(kind))
        if origin is not None and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(typing.get_args(kind)[1])}
        if dataclasses.is_dataclass(kind):
            return self._reference(kind)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return {"enum": [member.value for member in kind]}
        if kind in _SCALARS:
            return {"type": _SCALARS[kind]}
        raise TypeError(f"no schema for {kind!r}")

    def table(self, kind: Any) -> Schema:
        """Of a dataclass itself."""
        hints = typing.get_type_hints(kind)
        fields = [item for item in dataclasses.fields(kind) if item.init]
        schema: Schema = {"type": "object", "additionalProperties": False}
        if own_docstring(kind):
            schema["description"] = own_docstring(kind)
        schema["properties"] = {item.name: self._property(kind, item, hints[item.name]) for item in fields}
        required = [item.name for item in fields if _is_required(item, hints[item.name])]
        return {**schema, "required": required} if required else schema

    def _property(self, kind: type, item: Any, hint: Any) -> Schema:
        word = self._word(kind, item.name)
        schema = word if {"type", "anyOf"} & word.keys() else {**self.of(hint), **word}
        default = _default(item)
        return schema if default is None else {**schema, "default": default}

    def _word(self, kind: type, name: str) -> Schema:
        """What is said of that key by the class, or by the nearest one that it inherits the key from."""
        said = (self._words[owner, name] for owner in kind.__mro__ if (owner, name) in self._words)
        return {key: self._resolved(value) for key, value in next(said, {}).items()}

    def _resolved(self, word: Any) -> Any:
        """Classes in it become references."""
        if isinstance(word, type):
            return self.of(word)
        if isinstance(word, Mapping):
            return {key: self._resolved(value) for key, value in word.items()}
        return [self._resolved(one) for one in word] if isinstance(word, list) else word

    def _union(self, options: tuple[Any, ...]) -> Schema:
        """Without None: TOML has none, and what is None is left out of JSON."""
        schemas = [self.of(option) for option in options if option is not type(None)]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _sequence(self, items: tuple[Any, ...]) -> Schema:
        schema: Schema = {"type": "array", "items": self.of(items[0])}
        if len(items) > 1 and items[-1] is not Ellipsis:
            schema.update(minItems=len(items), maxItems=len(items))
        return schema

    def _reference(self, kind: Any) -> Schema:
        name = kind.__name__.lstrip("_")
        if self._kinds.setdefault(name, kind) is not kind:
            raise TypeError(f"two types are called {name}: {kind} and {self._kinds[name]}")
        if name not in self.definitions:
            self.definitions[name] = {}  # its place, should it name itself
            self.definitions[name] = self.table(kind)
        return {"$ref": f"#/$defs/{name}"}


def own_docstring(kind: type) -> str:
    """On one line; "" where there is only the one that `dataclass` makes."""
    text = inspect.cleandoc(kind.__dict__.get("__doc__") or "")
    return "" if text.startswith(f"{kind.__name__}(") else " ".join(text.split())


def _is_required(item: Any, hint: Any) -> bool:
    bare = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    return bare and type(None) not in typing.get_args(hint)


def _default(item: Any) -> Any:
    from device_agents.contract import to_json

    if item.default is not dataclasses.MISSING:
        return to_json(item.default)
    return None if item.default_factory is dataclasses.MISSING else to_json(item.default_factory())
