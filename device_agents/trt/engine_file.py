"""An engine file into an engine, or the reason why this runtime does not take it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Optional

from device_agents.contract import JobSpec
from device_agents.cuda import Cuda
from device_agents.errors import DeviceError
from device_agents.trt import memory
from device_agents.trt.api import Said
from device_agents.trt.options import BuildOptions, whole

_DRIVER = re.compile(
    r"cudaError 35|driver version is insufficient|initialization failure with error: 35", re.IGNORECASE
)
_NO_ENGINE = re.compile(r"magic ?tag|not a serialized engine|truncated", re.IGNORECASE)
_FOREIGN = re.compile(
    r"not compatible with this version|version tag|expecting (?:library|format) version"
    r"|incompatible (?:device|platform)|expecting compute|compute capability|different platform"
    r"|platform mismatch|kPLATFORM|serializationVersion|hardware.compatib",
    re.IGNORECASE,
)


def deserialize(
    trt: Any, logger: Any, path: Path, spec: JobSpec, options: BuildOptions, said: Said, cuda: Optional[Cuda]
) -> Any:
    """The engine of a file.

    Errors: DeviceError `engine_foreign` (another TensorRT or GPU made it), `engine_damaged`, `out_of_memory`,
    `driver_too_old`, `load_failed`; the first two are mended by building it again.
    """
    said.clear()
    runtime = runtime_for(trt, logger, said)
    core = whole(options.dla_core)
    if core is not None:
        runtime.DLA_core = core
    if options.version_compatible and hasattr(runtime, "engine_host_code_allowed"):
        runtime.engine_host_code_allowed = True  # such an engine brings its own lean runtime; it is one of ours
    engine = runtime.deserialize_cuda_engine(path.read_bytes())
    if engine is None:
        raise _refused(path, spec, said, cuda)
    return engine


def runtime_for(trt: Any, logger: Any, said: Said) -> Any:
    """Errors: DeviceError `driver_too_old` or `load_failed`."""
    try:
        runtime = trt.Runtime(logger)
    except (TypeError, RuntimeError):  # pybind11: the factory returned nullptr; why, it has logged
        raise no_gpu("load", said) from None
    return runtime


def no_gpu(stage: str, said: Said) -> DeviceError:
    """TensorRT could not start on this device."""
    if _DRIVER.search(said.everything()):
        fix = "update the driver, or install a TensorRT for the CUDA that it knows"
        return DeviceError(
            "driver_too_old", stage, f"the driver is too old for this TensorRT ({said.reason()})", fix=fix
        )
    return DeviceError(
        f"{stage}_failed", stage, f"TensorRT cannot start here ({said.reason()})", fix="see the job's log"
    )


def device_memory(engine: Any) -> int:
    """Bytes that an execution context needs."""
    if hasattr(engine, "device_memory_size_v2"):
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size)


def _refused(path: Path, spec: JobSpec, said: Said, cuda: Optional[Cuda]) -> DeviceError:
    text, where = said.everything(), path.parent.name[:12]
    if _NO_ENGINE.search(text):
        message = f"the engine file is none of this runtime's, or damaged ({said.reason()})"
        return DeviceError("engine_damaged", "load", message, where=where, fix="build it again: --rebuild")
    if _FOREIGN.search(text):
        message = f"the engine is of another TensorRT or GPU ({said.reason()})"
        return DeviceError("engine_foreign", "load", message, where=where, fix="build it on this device: --rebuild")
    if _DRIVER.search(text):
        return no_gpu("load", said)
    if memory.exhausted(said):
        fix = "end what else uses the memory: an engine's weights are the same at every batch"
        return memory.no_memory("load", "loading the engine", spec, said, memory.free_bytes(cuda), fix=fix)
    message = f"the engine does not load, it may be damaged ({said.reason()})"
    return DeviceError("engine_damaged", "load", message, where=where, fix="build it again: --rebuild")
