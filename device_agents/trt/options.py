"""What a build and a run can be told: the options with a line each, and their values, checked."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

from device_agents.contract import JobSpec, Scalar
from device_agents.errors import DeviceError

DEFAULT = "default"
"""Left to the runtime."""

RUN_OPTIONS = {
    "cuda_graph": "true: replay each inference as a CUDA graph (default false)",
    "pinned": "true (default): host memory that the GPU copies itself; false: pageable",
    "spin": "true (default): the host spins while it waits; false: it sleeps",
    "streams": "how many inferences compute side by side, each in a context and stream of its own (default 1)",
}

_COMMON = {
    "optimization_level": "0 to 5: how long to look for faster kernels (default: the runtime's, 3)",
    "tactic_shared_kib": "KiB of shared memory that a kernel may use (default: what the GPU has; TensorRT 10)",
    "workspace_mib": "MiB of scratch memory that a layer may use (default: all there is)",
}
RTX_OPTIONS = {
    **_COMMON,
    "target": "sm75, sm80, sm86, sm89, sm120, sm121: the one GPU generation to build for (default: any of them)",
}
TENSORRT_OPTIONS = {
    **_COMMON,
    "dla_core": "number of the DLA core to run on, what it cannot run falls back to the GPU (default: no DLA)",
    "dla_global_mib": "MiB of memory that the DLA may use for weights and its own data (default: the runtime's)",
    "dla_local_mib": "MiB of memory that the DLA may use between its layers (default: the runtime's)",
    "dla_sram_kib": "KiB of on-chip memory that each DLA network may use (default: the runtime's)",
    "hardware_compatibility": "none (default), ampere_plus, same_compute_capability: GPUs that the engine runs on",
    "tactic_dram_mib": "MiB of device memory that a kernel may need in all (default: all there is; TensorRT 8.6)",
    "timing_cache": "true (default): reuse the timings of earlier builds on this GPU",
    "typing": "strong: types are the graph's; weak: TensorRT may choose others of the asked precision (TensorRT 8 to "
    "10); default: strong where there is that, weak on TensorRT 8 and for the DLA",
    "version_compatible": "true: later versions of TensorRT load the engine, too (default false; TensorRT 8.6)",
}

COMPATIBILITY = ("none", "ampere_plus", "same_compute_capability")
TYPING = (DEFAULT, "strong", "weak")

_Whole = Union[int, str]


class BuildOptions(NamedTuple):
    """Values as they were asked for; what was not is at its default."""

    dla_core: _Whole = DEFAULT
    dla_global_mib: _Whole = DEFAULT
    dla_local_mib: _Whole = DEFAULT
    dla_sram_kib: _Whole = DEFAULT
    hardware_compatibility: str = "none"
    optimization_level: _Whole = DEFAULT
    tactic_dram_mib: _Whole = DEFAULT
    tactic_shared_kib: _Whole = DEFAULT
    target: str = DEFAULT
    timing_cache: bool = True
    typing: str = DEFAULT
    version_compatible: bool = False
    workspace_mib: _Whole = DEFAULT

    def as_told(self, names: Dict[str, str]) -> Dict[str, Scalar]:
        """Those of `names`, for what an engine is made of."""
        values: Dict[str, Scalar] = self._asdict()
        return {name: values[name] for name in sorted(names)}


class RunOptions(NamedTuple):
    cuda_graph: bool = False
    pinned: bool = True
    spin: bool = True
    streams: int = 1


def build_options(spec: JobSpec) -> BuildOptions:
    """Errors: DeviceError `unsupported` for a value that cannot be meant."""
    given = {name: value for name, value in spec.options.items() if name in BuildOptions._fields}
    return BuildOptions(**{name: _built(name, value) for name, value in given.items()})


def run_options(spec: JobSpec) -> RunOptions:
    """Errors: DeviceError `unsupported` for a value that cannot be meant."""
    values: Dict[str, Any] = {}
    for name in RunOptions._fields:
        if name in spec.options:
            value = spec.options[name]
            values[name] = _whole(name, value, 1, 32, "load") if name == "streams" else _truth(name, value, "load")
    return RunOptions(**values)


def _built(name: str, value: Scalar) -> Any:
    if name in ("timing_cache", "version_compatible"):
        return _truth(name, value, "build")
    if name == "hardware_compatibility":
        return _one_of(name, value, COMPATIBILITY)
    if name == "typing":
        return _one_of(name, value, TYPING)
    if name == "target":
        return str(value).lower()
    if value == DEFAULT:
        return DEFAULT
    lowest, most = _LIMITS.get(name, (1, 1 << 30))
    return _whole(name, value, lowest, most, "build")


_LIMITS: Dict[str, Tuple[int, int]] = {"optimization_level": (0, 5), "dla_core": (0, 15)}


def _truth(name: str, value: Scalar, stage: str) -> bool:
    if not isinstance(value, bool):
        raise _refused(name, value, "true or false", stage)
    return value


def _whole(name: str, value: Scalar, lowest: int, most: int, stage: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= most:
        raise _refused(name, value, f"a whole number from {lowest} to {most:,}", stage)
    return value


def _one_of(name: str, value: Scalar, allowed: Tuple[str, ...]) -> str:
    if value not in allowed:
        raise _refused(name, value, ", ".join(allowed), "build")
    return str(value)


def _refused(name: str, value: Scalar, takes: str, stage: str) -> DeviceError:
    return DeviceError("unsupported", stage, f"the option {name} cannot be {value!r}", fix=f"it takes {takes}")


def whole(value: _Whole) -> Optional[int]:
    """None where it is left to the runtime."""
    return value if isinstance(value, int) else None
