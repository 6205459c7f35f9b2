"""A scripted stand-in for TensorRT's Python module, never TensorRT: no GPU, no kernels, nothing of its speed.

It has the names of the release that SCRIPTED_TENSORRT chooses (8.5, 8.6, 10.3, 10.16, 11.4; names.json holds those of
the real bindings), keeps the order of calls and the shapes of answers that NVIDIA's documents tell, refuses what that
release refuses, and computes with onnxruntime on the processor in the "device" memory of tests/stand_ins/cudart.c,
which EDGEBENCH_CUDART must name. What it does not play raises NotImplementedError when it is used.

Where it is stricter than TensorRT, which leaves these undefined: a context keeps the stream that it was first enqueued
on; an opset above the ceiling is an error; so is a first enqueue within a capture.

Set in the environment, beside SCRIPTED_TENSORRT
    SCRIPTED_TENSORRT_GPU           the GPU's name, "scripted GPU"; its capability is the stand-in CUDA's
    SCRIPTED_TENSORRT_UNSUPPORTED   operators that the parser lacks, by commas: NonMaxSuppression,TfIdfVectorizer,Unique
    SCRIPTED_TENSORRT_PLUGINS       operators that are plugins, by commas: InstanceNormalization,RoiAlign
    SCRIPTED_TENSORRT_SILENT_FP32   1: engines compute in FP32 whatever was asked, and do not say so
    SCRIPTED_TENSORRT_DLA_CORES     0
    SCRIPTED_TENSORRT_WORKSPACE     bytes of workspace that every build needs, 4096
    SCRIPTED_TENSORRT_BUILD_S       seconds that a build takes at least, 0
    SCRIPTED_TENSORRT_COLD_S        seconds that the first inference of a context takes longer, 0
    SCRIPTED_TENSORRT_KERNELS       bytes of the device that the first inference of a context takes for kernels, 0
"""

from __future__ import annotations

from typing import Any

from . import _builder, _context, _engine, _foundation, _inspector, _names, _network, _parser
from ._names import RELEASE

__version__ = RELEASE

_PLAYED = (_foundation, _network, _builder, _parser, _engine, _context, _inspector)


def _assemble() -> None:
    classes = {name: getattr(module, name) for module in _PLAYED for name in _names.CLASSES if hasattr(module, name)}
    for name, cls in classes.items():
        _names.trim(cls, _names.CLASSES[name])
    for name in _names.MODULE:
        globals()[name] = classes.get(name) or _names.ENUMS.get(name) or _names.Unplayed("tensorrt", name)
    for dtype in _names.ENUMS["DataType"].__members__.values():
        globals()[_foundation.SHORT_NAMES.get(dtype.name, dtype.name.lower())] = dtype
    functions = {"nptype": _foundation.nptype, "volume": _foundation.volume}
    globals().update(functions, init_libnvinfer_plugins=_foundation.init_libnvinfer_plugins)


_assemble()


def __getattr__(name: str) -> Any:  # so that a type checker accepts what _assemble sets
    raise AttributeError(f"module 'tensorrt' has no attribute {name!r}")
