"""The words that all of the contract speaks in: tensors, files, readings, errors."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple, Union

from device_agents.codec import SchemaViolation

SCHEMA = 1

Dim = Union[int, str]
"""A dimension of a shape: its size, or the name of one that is free, such as `batch`."""

Scalar = Union[bool, int, float, str]

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Word(str, enum.Enum):
    """One of a few words, which is written as itself."""

    def __str__(self) -> str:
        return str(self.value)


class Precision(Word):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


@dataclass(frozen=True)
class ErrorInfo:
    """One failure, as a sentence can be made of it: what happened, at which stage, where, and what mends it."""

    code: str
    stage: str
    message: str
    where: str = ""
    fix: str = ""


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor, samples first. `dtype` is numpy's name; `low` and `high` bound the values an input takes in
    practice."""

    name: str
    dtype: str
    shape: Tuple[Dim, ...]
    low: float = 0.0
    high: float = 1.0

    @property
    def is_fixed(self) -> bool:
        """Whether every dimension is a number."""
        return not any(isinstance(dim, str) for dim in self.shape)

    def at_batch(self, batch: int, sizes: Optional[Mapping[str, int]] = None) -> TensorSpec:
        """The same tensor of `batch` samples, with the free dimensions that `sizes` names set; others stay free.

        Errors: ValueError when it has a fixed first dimension, which is another.
        """
        first, rest = self.shape[:1], self.shape[1:]
        if first and not isinstance(first[0], str) and first[0] != batch:
            raise ValueError(f"tensor {self.name!r} has a fixed batch of {first[0]}, not {batch}")
        known = {"batch": batch, **(sizes or {})}
        set_to = tuple(known.get(dim, dim) if isinstance(dim, str) else dim for dim in rest)
        return TensorSpec(self.name, self.dtype, (*(batch for _ in first), *set_to), self.low, self.high)


@dataclass(frozen=True)
class FileEntry:
    """A payload file by name, size in bytes and hash. A name is one path component, never a path."""

    name: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        if not _FILE_NAME.match(self.name):
            raise SchemaViolation("name", f"{self.name[:60]!r} is no plain file name")
        if not _SHA256.match(self.sha256):
            raise SchemaViolation("sha256", "expected 64 hexadecimal digits")
        if self.size < 0:
            raise SchemaViolation("size", "negative")


@dataclass(frozen=True)
class Reading:
    """A field of a device's state: a value with its source, or the reason why it is unknown."""

    value: Optional[Scalar] = None
    source: Optional[str] = None
    unknown: Optional[str] = None

    def __post_init__(self) -> None:
        if (self.value is None) == (self.unknown is None):
            raise ValueError("a reading is a value with its source, or the reason why it is unknown")

    def __str__(self) -> str:
        return str(self.value) if self.unknown is None else "unknown"


def kind_measured(kind: str, options: Mapping[str, Scalar]) -> str:
    """The kind of what is timed on a device of that kind: the processor, where the job asks for it on a machine with a
    GPU of its own. On a Jetson everything is on one chip."""
    return "cpu" if kind == "nvidia_gpu" and options.get("provider") == "cpu" else kind
