"""Which names the chosen release has, and how a class is made to have exactly those."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

RELEASES = {"8.5": "8.5.2.2", "8.6": "8.6.2.3", "10.3": "10.3.0.30", "10.16": "10.16.1.11", "11.4": "11.4.0.106"}


def _chosen() -> str:
    asked = os.environ.get("SCRIPTED_TENSORRT", "10.3")
    found = [shape for shape in RELEASES if shape == asked or shape.startswith(asked + ".")]
    if len(found) != 1:
        raise ImportError(f"SCRIPTED_TENSORRT={asked} is none of {', '.join(RELEASES)}")
    return found[0]


SHAPE = _chosen()
RELEASE = RELEASES[SHAPE]
VERSION: Tuple[int, ...] = tuple(map(int, SHAPE.split(".")))

_TABLE = json.loads(Path(__file__).with_name("names.json").read_text())
_COLUMN: int = _TABLE["versions"].index(SHAPE)


def _there(members: Dict[str, str]) -> List[str]:
    return [name for name, which in members.items() if which[_COLUMN] == "x"]


class Enum:
    """As pybind11's: an int that is none, with name, value and `__members__`."""

    __members__: Dict[str, Enum] = {}
    name: str
    value: int

    def __new__(cls, value: int) -> Enum:
        for member in cls.__members__.values():
            if member.value == int(value):
                return member
        raise ValueError(f"{value} is no {cls.__name__}")

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __hash__(self) -> int:
        return self.value

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and int(other) == self.value  # type: ignore[call-overload,no-any-return]

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    def __repr__(self) -> str:
        return f"<{self}: {self.value}>"


def _enum(name: str, values: Dict[str, List[Optional[int]]]) -> type:
    cls = type(name, (Enum,), {"__module__": "tensorrt", "__members__": {}})
    for key, by_version in values.items():
        number = by_version[_COLUMN]
        if number is None:
            continue
        member = object.__new__(cls)
        member.name, member.value = key, number
        cls.__members__[key] = member  # type: ignore[attr-defined]
        setattr(cls, key, member)
    return cls


MODULE = _there(_TABLE["module"])
CLASSES: Dict[str, List[str]] = {name: _there(members) for name, members in _TABLE["classes"].items()}
ENUMS: Dict[str, Any] = {name: _enum(name, values) for name, values in _TABLE["enums"].items() if name in MODULE}


class Unplayed:
    """A name of TensorRT's that this stand-in does not play: there for hasattr, and nothing else."""

    def __init__(self, owner: str, name: str) -> None:
        self._what = f"{owner}.{name}"

    def __get__(self, instance: object, owner: object) -> Unplayed:
        return self

    def __set__(self, instance: object, value: object) -> None:
        self._refuse()

    def _refuse(self, *_: object, **__: object) -> Any:
        raise NotImplementedError(f"the scripted TensorRT does not play {self._what}")

    __call__ = __int__ = __bool__ = __index__ = __len__ = __iter__ = _refuse


class Played:
    """Base of what is played: no attribute can be set that the class does not have, as with pybind11."""

    def __setattr__(self, name: str, value: object) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"'tensorrt.{type(self).__name__}' object has no attribute {name!r}")
        super().__setattr__(name, value)


class _Gone:
    """A name that this release lacks but a base of the class has."""

    def __init__(self, owner: str, name: str) -> None:
        self._what = f"'tensorrt.{owner}' object has no attribute {name!r}"

    def __get__(self, instance: object, owner: object) -> Any:
        raise AttributeError(self._what)


def trim(cls: type, members: List[str]) -> None:
    """Take from `cls` the public names that the release lacks; add those that are not played."""
    for name in list(_public(cls)):
        if name in members:
            continue
        if name in vars(cls):
            delattr(cls, name)
        if hasattr(cls, name):
            setattr(cls, name, _Gone(cls.__name__, name))
    for name in members:
        if not hasattr(cls, name):
            setattr(cls, name, Unplayed(cls.__name__, name))


def _public(cls: type) -> Iterator[str]:
    return (name for name in dir(cls) if not name.startswith("_"))
