"""Loggers, shapes, types, memory, and the interfaces that a program implements."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Iterable, Iterator, List, Optional

from ._names import ENUMS, VERSION, Enum, Played

DataType = ENUMS["DataType"]
SHORT_NAMES = {"FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "BOOL": "bool"}
_SIZES = {"FLOAT": 4, "INT32": 4, "HALF": 2, "BF16": 2, "INT64": 8, "INT8": 1, "UINT8": 1, "BOOL": 1, "FP8": 1}
DataType.itemsize = property(lambda self: _SIZES.get(self.name))

_Severity: Any = type("Severity", (Enum,), {"__module__": "tensorrt", "__members__": {}})
for _number, _name in enumerate(("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")):
    _member: Any = object.__new__(_Severity)
    _member.name, _member.value = _name, _number
    _Severity.__members__[_name] = _member
    setattr(_Severity, _name, _member)


class ILogger(Played):
    """A program's own logger implements `log`, and calls this `__init__` or is refused."""

    Severity: Any = _Severity
    INTERNAL_ERROR: Any = _Severity.INTERNAL_ERROR
    ERROR: Any = _Severity.ERROR
    WARNING: Any = _Severity.WARNING
    INFO: Any = _Severity.INFO
    VERBOSE: Any = _Severity.VERBOSE

    def __init__(self) -> None:
        self._initialised = True

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)  # a subclass in Python has a dictionary of its own

    def log(self, severity: Any, msg: str) -> None:
        raise RuntimeError('Tried to call pure virtual function "ILogger::log"')


class Logger(ILogger):
    """TensorRT's own: to stderr, from `min_severity` on."""

    def __init__(self, min_severity: Any = ILogger.WARNING) -> None:
        super().__init__()
        self._least = min_severity

    @property
    def min_severity(self) -> Any:
        return self._least

    @min_severity.setter
    def min_severity(self, severity: Any) -> None:
        self._least = severity

    def log(self, severity: Any, msg: str) -> None:
        if int(severity) <= int(self._least):
            mark = "FEWIV"[int(severity)]
            sys.stderr.write(f"[{time.strftime('%m/%d/%Y-%H:%M:%S')}] [TRT] [{mark}] {msg}\n")


def must_be(value: Any, cls: type, what: str) -> Any:
    """Errors: TypeError, as pybind11 raises it for an argument of another type."""
    if not isinstance(value, cls):
        raise TypeError(f"{what}: incompatible arguments: {type(value).__name__} is no tensorrt.{cls.__name__}")
    if isinstance(value, (ILogger, IProfiler, IProgressMonitor)) and not getattr(value, "_initialised", False):
        raise TypeError(f"tensorrt.{cls.__name__}.__init__() must be called when overriding __init__")
    return value


_KINDS = {1: "Cuda Runtime", 2: "OutOfMemory", 3: "API Usage Error", 4: "Internal Error", 6: "API Usage Error"}
_KINDS[10] = "Internal Error"


def complain(logger: ILogger, code: int, text: str, kind: str = "") -> None:
    """An error as TensorRT logs it."""
    start = f"{code}: [scripted] " if VERSION < (10,) else "[scripted] "
    logger.log(ILogger.ERROR, f"{start}Error Code {code}: {kind or _KINDS[code]} ({text})")


class Dims(Played):
    """A shape: it has a length, items and equality, and that is all."""

    def __init__(self, shape: Iterable[int] = ()) -> None:
        self._sizes = tuple(int(size) for size in shape)

    def __len__(self) -> int:
        return len(self._sizes)

    def __getitem__(self, index: Any) -> Any:
        return self._sizes[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self._sizes)

    def __eq__(self, other: object) -> bool:
        return tuple(other) == self._sizes if isinstance(other, (Dims, tuple, list)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._sizes)

    def __repr__(self) -> str:
        return str(self._sizes)


class IHostMemory(bytearray):
    """A buffer: bytes(), memoryview() and file.write take it; len() does not, and it is always true."""

    @property
    def nbytes(self) -> int:
        return bytearray.__len__(self)

    @property
    def dtype(self) -> Any:
        return DataType.INT8

    def __len__(self) -> int:
        raise TypeError("object of type 'tensorrt.IHostMemory' has no len()")

    def __bool__(self) -> bool:
        return True


class IProfiler(Played):
    def __init__(self) -> None:
        self._initialised = True

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise RuntimeError('Tried to call pure virtual function "IProfiler::report_layer_time"')


class IProgressMonitor(Played):
    def __init__(self) -> None:
        self._initialised = True

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def phase_start(self, phase_name: str, parent_phase: Optional[str], num_steps: int) -> None:
        raise RuntimeError('Tried to call pure virtual function "IProgressMonitor::phase_start"')

    def step_complete(self, phase_name: str, step: int) -> bool:
        raise RuntimeError('Tried to call pure virtual function "IProgressMonitor::step_complete"')

    def phase_finish(self, phase_name: str) -> None:
        raise RuntimeError('Tried to call pure virtual function "IProgressMonitor::phase_finish"')


def nptype(trt_type: Any) -> Any:
    import numpy as np

    names = {"FLOAT": "float32", "HALF": "float16", "BOOL": "bool_"}
    for name in ("INT8", "INT32", "UINT8", *(("INT64",) if VERSION >= (10,) else ())):
        names[name] = name.lower()
    if trt_type.name not in names:
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
    return getattr(np, names[trt_type.name])


def volume(iterable: Iterable[int]) -> int:
    product = 1
    for size in iterable:
        product *= size
    return product


plugins_are_there = False


def init_libnvinfer_plugins(logger: Any, namespace: str) -> bool:
    """Once a process; parsers before 10 do so themselves. No node with a plugin is read before, no engine loaded."""
    global plugins_are_there
    plugins_are_there = True
    return True


def plugins() -> List[str]:
    """Operators that TensorRT computes by a plugin of its own."""
    return os.environ.get("SCRIPTED_TENSORRT_PLUGINS", "InstanceNormalization,RoiAlign").split(",")
