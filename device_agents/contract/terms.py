"""The words that all of the contract speaks in: tensors, files, readings, errors."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Optional, Tuple, Union

from device_agents.codec import SchemaViolation

SCHEMA = 1

Dim = Union[int, str]
"""A dimension of a shape: its size, or the name of one that is free, such as `batch`."""

Scalar = Union[bool, int, float, str]

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Precision(str, enum.Enum):
    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"

    def __str__(self) -> str:
        return self.value


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
    """A named tensor. `dtype` is numpy's name; `low` and `high` bound the values an input takes in practice."""

    name: str
    dtype: str
    shape: Tuple[Dim, ...]
    low: float = 0.0
    high: float = 1.0

    def at_batch(self, batch: int) -> TensorSpec:
        """The same tensor with every free dimension set to `batch`; a fixed first dimension must equal it."""
        shape = tuple(batch if isinstance(dim, str) else dim for dim in self.shape)
        if shape and shape[0] != batch:
            raise ValueError(f"tensor {self.name!r} has a fixed batch of {shape[0]}, not {batch}")
        return TensorSpec(self.name, self.dtype, shape, self.low, self.high)


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
