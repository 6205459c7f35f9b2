"""TensorRT as a module: imported by its name, its version to the build number, its messages collected."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import re
import sys
import warnings
from pathlib import Path
from typing import Any, Iterator, List

TENSORRT, TENSORRT_RTX = "tensorrt", "tensorrt_rtx"

_LEVELS = ("INTERNAL ERROR", "ERROR", "WARNING", "INFO")  # by number, the same in every version; then VERBOSE
_ERROR, _WARNING = 1, 2
_LIBRARY = re.compile(r"/libnvinfer\.so[.\d]*$")
_NOISE = (
    "INT64 weights",  # TensorRT 8: every graph of PyTorch has them, as shapes
    "CUDA lazy loading is not enabled",
    "Context mapping is not supported",
    "The logger passed into",
    "Thread context has not been set",
    "is unsupported in TensorRT-RTX",
    "defaulting to latest version",
)
_PREFIX = re.compile(r"^(?:\[\w+\.(?:cpp|h)::[^\]]+\] |I\w+::\w+: )?(?:Error Code \d+: )?")
_WRAPPED = re.compile(r"[A-Z][\w ]{2,30} \((.*)\)$")
_MOST = 20


class Said:
    """What TensorRT said since `clear`: errors and warnings, each once. Everything goes to stderr, the job's log."""

    def __init__(self) -> None:
        self.errors: List[str] = []
        self.warnings: List[str] = []

    def hear(self, level: int, message: str) -> None:
        """Never raises: TensorRT calls it from C++, and from several threads."""
        if level >= len(_LEVELS):
            return
        with contextlib.suppress(OSError, ValueError):
            print(f"TensorRT {_LEVELS[level]}: {message}", file=sys.stderr)
        if level <= _WARNING and not any(noise in message for noise in _NOISE):
            heard = self.errors if level <= _ERROR else self.warnings
            text = " ".join(message.split())
            if text not in heard and len(heard) < _MOST:
                heard.append(text)

    def clear(self) -> None:
        self.errors.clear()
        self.warnings.clear()

    def reason(self, otherwise: str = "it gave no reason; see the job's log") -> str:
        """The first error, as part of a sentence."""
        if not self.errors:
            return otherwise
        return plain(self.errors[0])

    def everything(self) -> str:
        return "\n".join((*self.errors, *self.warnings))


def plain(text: str) -> str:
    """A message of TensorRT's without the place in its sources and the class of error that surround it."""
    text = _PREFIX.sub("", text, count=1).rstrip(". ")
    wrapped = _WRAPPED.match(text)
    return (wrapped.group(1) if wrapped else text).strip()[:400]


def import_runtime(name: str) -> Any:
    """The module `tensorrt` or `tensorrt_rtx`. Errors: ImportError."""
    trt = importlib.import_module(name)
    if not hasattr(trt, "Builder"):  # a namespace package: a folder of that name, without the bindings
        raise ImportError(f"the module {name} is there without TensorRT's bindings", name=name)
    importlib.import_module("numpy")  # what is bound and compared are its arrays, and TensorRT's packages bring none
    return trt


def version(trt: Any) -> str:
    """`10.3.0.26`: with the build number where the library tells it (TensorRT 10 and later)."""
    told = str(trt.__version__)
    if told.count(".") >= 3:
        return told
    build = _build_number()
    return told if build is None else f"{told}.{build}"


@functools.lru_cache(maxsize=None)
def logger_for(trt: Any) -> Any:
    """One a process, as TensorRT keeps the first that it is given; `logger.said` holds what it heard.

    With it TensorRT's own plugins are registered: the parsers of some versions do so and those of others do not, and
    who only loads an engine has no parser.
    """

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said = Said()

        def log(self, severity: Any, message: str) -> None:
            self.said.hear(int(severity), message)

    logger = Logger()
    trt.init_libnvinfer_plugins(logger, "")
    return logger


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """TensorRT's Python side warns of what the next version drops; we ask for what this version has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _build_number() -> "int | None":
    """From the library that the process has loaded: its Python module tells three numbers."""
    with contextlib.suppress(OSError, AttributeError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            path = line.split(maxsplit=5)[-1]
            if _LIBRARY.search(path):
                return int(ctypes.CDLL(path).getInferLibBuildVersion())
    return None
