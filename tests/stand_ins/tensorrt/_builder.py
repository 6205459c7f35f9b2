"""From a network to a serialized engine: what the builder is told, and what it refuses."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Optional, Sequence, Tuple

from . import _cuda, _layers, _onnx, _plan
from ._foundation import Dims, IHostMemory, ILogger, IProgressMonitor, complain, must_be, plugins
from ._names import ENUMS, RELEASE, VERSION, Played
from ._network import INetworkDefinition, creation_flag
from ._onnx import FLOAT16, Model

BuilderFlag = ENUMS["BuilderFlag"]
Shapes = Tuple[Tuple[int, ...], Tuple[int, ...], Tuple[int, ...]]


class IOptimizationProfile(Played):
    def __init__(self) -> None:
        self._shapes: Dict[str, Shapes] = {}

    def set_shape(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]) -> None:  # noqa: A002
        """Errors: ValueError unless min <= opt <= max in every dimension."""
        shapes = tuple(map(int, min)), tuple(map(int, opt)), tuple(map(int, max))
        if len({len(shape) for shape in shapes}) != 1 or not all(a <= b <= c for a, b, c in zip(*shapes)):
            raise ValueError("Shape provided for min, opt or max is inconsistent")
        self._shapes[input] = shapes

    def get_shape(self, input: str) -> List[Dims]:  # noqa: A002
        if input not in self._shapes:
            raise RuntimeError("Shape has not been set for this input")
        return [Dims(shape) for shape in self._shapes[input]]


class ITimingCache(Played):
    """Which tactic won for which layer, on one GPU and one version."""

    def __init__(self, gpu: List[str], tactics: Dict[str, int]) -> None:
        self._gpu, self._tactics = gpu, tactics

    def serialize(self) -> IHostMemory:
        return IHostMemory(_plan.pack(_plan.CACHE, {"release": RELEASE, "gpu": self._gpu, **_tactics(self)}, {}))

    def combine(self, input_cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if input_cache._gpu != self._gpu and not ignore_mismatch:
            return False
        self._tactics.update(input_cache._tactics)
        return True

    def reset(self) -> bool:
        self._tactics.clear()
        return True


def _tactics(cache: ITimingCache) -> Dict[str, Any]:
    return {"tactics": cache._tactics}


class IBuilderConfig(Played):
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger
        self._flags = 1 << int(BuilderFlag.TF32)
        self._pools: Dict[int, int] = {}
        self._profiles: List[IOptimizationProfile] = []
        self._cache: Optional[ITimingCache] = None
        self._monitor: Optional[IProgressMonitor] = None
        self._level, self._dla = 3, -1
        self._verbosity = ENUMS["ProfilingVerbosity"].LAYER_NAMES_ONLY
        self._device = ENUMS["DeviceType"].GPU
        self._compatible = ENUMS["HardwareCompatibilityLevel"].NONE if VERSION >= (8, 6) else None
        self._aux_streams, self._iterations = -1, 1
        self._previews: Dict[int, bool] = {}

    num_optimization_profiles = property(lambda self: len(self._profiles))
    flags = property(lambda self: self._flags, lambda self, flags: setattr(self, "_flags", int(flags)))
    max_aux_streams = property(lambda self: self._aux_streams, lambda self, n: setattr(self, "_aux_streams", int(n)))
    avg_timing_iterations = property(lambda self: self._iterations, lambda self, n: setattr(self, "_iterations", n))
    DLA_core = property(lambda self: self._dla, lambda self, core: setattr(self, "_dla", int(core)))

    @property
    def builder_optimization_level(self) -> int:
        return self._level

    @builder_optimization_level.setter
    def builder_optimization_level(self, level: int) -> None:
        if not 0 <= level <= 5:
            complain(self._logger, 3, f"Parameter check failed, condition: level >= 0 && level <= 5, level is {level}")
            return
        self._level = int(level)

    @property
    def profiling_verbosity(self) -> Any:
        return self._verbosity

    @profiling_verbosity.setter
    def profiling_verbosity(self, verbosity: Any) -> None:
        self._verbosity = must_be(verbosity, ENUMS["ProfilingVerbosity"], "profiling_verbosity")

    @property
    def default_device_type(self) -> Any:
        return self._device

    @default_device_type.setter
    def default_device_type(self, device: Any) -> None:
        self._device = must_be(device, ENUMS["DeviceType"], "default_device_type")

    @property
    def hardware_compatibility_level(self) -> Any:
        return self._compatible

    @hardware_compatibility_level.setter
    def hardware_compatibility_level(self, level: Any) -> None:
        self._compatible = must_be(level, ENUMS["HardwareCompatibilityLevel"], "hardware_compatibility_level")

    @property
    def progress_monitor(self) -> Optional[IProgressMonitor]:
        return self._monitor

    @progress_monitor.setter
    def progress_monitor(self, monitor: IProgressMonitor) -> None:
        self._monitor = must_be(monitor, IProgressMonitor, "progress_monitor")

    def set_flag(self, flag: Any) -> None:
        self._flags |= 1 << int(must_be(flag, BuilderFlag, "set_flag"))

    def clear_flag(self, flag: Any) -> None:
        self._flags &= ~(1 << int(must_be(flag, BuilderFlag, "clear_flag")))

    def get_flag(self, flag: Any) -> bool:
        return bool(self._flags >> int(must_be(flag, BuilderFlag, "get_flag")) & 1)

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pools[int(must_be(pool, ENUMS["MemoryPoolType"], "set_memory_pool_limit"))] = int(pool_size)

    def get_memory_pool_limit(self, pool: Any) -> int:
        return self._pools.get(int(pool), _cuda.free_bytes())

    def set_preview_feature(self, feature: Any, enable: bool) -> None:
        self._previews[int(must_be(feature, ENUMS["PreviewFeature"], "set_preview_feature"))] = bool(enable)

    def get_preview_feature(self, feature: Any) -> bool:
        return self._previews.get(int(feature), False)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        must_be(profile, IOptimizationProfile, "add_optimization_profile")
        if not profile._shapes:
            complain(self._logger, 3, "Parameter check failed, condition: profile.isValid()")
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache: Any) -> Optional[ITimingCache]:
        """Of no bytes an empty one; None, and an error in the log, for what another version or no TensorRT wrote."""
        data = bytes(serialized_timing_cache)
        if not data:
            return ITimingCache(list(_cuda.gpu()), {})
        found = _plan.unpack(_plan.CACHE, data)
        if found is None or found[0]["release"] != RELEASE:
            complain(self._logger, 6, "The timing cache is corrupt or of another version of TensorRT")
            return None
        return ITimingCache(found[0]["gpu"], found[0]["tactics"])

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        """False for a cache of another GPU, unless `ignore_mismatch`."""
        must_be(cache, ITimingCache, "set_timing_cache")
        if cache._gpu != list(_cuda.gpu()) and not ignore_mismatch:
            complain(self._logger, 6, "The timing cache was made on another device")
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> Optional[ITimingCache]:
        return self._cache

    def reset(self) -> None:
        IBuilderConfig.__init__(self, self._logger)

    def _has(self, name: str) -> bool:
        return hasattr(BuilderFlag, name) and self.get_flag(getattr(BuilderFlag, name))


class _Refused(Exception):
    """Why nothing is built: TensorRT's error code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Builder(Played):
    def __init__(self, logger: ILogger) -> None:
        self._logger = must_be(logger, ILogger, "Builder")
        _cuda.initialise(logger, "Builder")
        self._threads = 1

    logger = property(lambda self: self._logger)
    max_threads = property(lambda self: self._threads, lambda self, n: setattr(self, "_threads", int(n)))
    num_DLA_cores = property(lambda self: dla_cores())
    max_DLA_batch_size = property(lambda self: 4096 if dla_cores() else 0)
    platform_has_fast_fp16 = property(lambda self: True)
    platform_has_fast_int8 = property(lambda self: True)
    platform_has_tf32 = property(lambda self: True)

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(int(flags), self._logger)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig(self._logger)

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def is_network_supported(self, network: INetworkDefinition, config: IBuilderConfig) -> bool:
        return _refusal(network, config) is None

    def reset(self) -> None:
        pass

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> Optional[IHostMemory]:
        """None, and the error in the log, where nothing can be built or the monitor says stop."""
        must_be(network, INetworkDefinition, "build_serialized_network")
        must_be(config, IBuilderConfig, "build_serialized_network")
        refused = _refusal(network, config)
        if refused is not None:
            complain(self._logger, refused.code, refused.text)
            return None
        model: Model = network._model  # type: ignore[assignment]
        layers = _layers.of(model, _halves(network, config), os.environ.get("SCRIPTED_TENSORRT_SILENT_FP32") == "1")
        if not _progress(config._monitor, layers):
            complain(self._logger, 4, "Build was cancelled by the progress monitor")
            return None
        return IHostMemory(_plan.pack(_plan.PLAN, _about(network, config, layers), network._files))


def _about(network: INetworkDefinition, config: IBuilderConfig, layers: List[_layers.Layer]) -> Dict[str, Any]:
    """What an engine knows of itself. The tactics are drawn by lot where no timing cache has them."""
    cache = config._cache or ITimingCache([], {})
    for layer in layers:
        cache._tactics.setdefault(f"{layer.kind} {layer.precision} {layer.name}", int.from_bytes(os.urandom(6), "big"))
    model: Model = network._model  # type: ignore[assignment]
    return {
        "release": RELEASE,
        "gpu": list(_cuda.gpu()),
        "name": network.name,
        "version_compatible": config._has("VERSION_COMPATIBLE"),
        "hardware": "NONE" if config._compatible is None else config._compatible.name,
        "verbosity": config._verbosity.name,
        "profile_sharing": _profile_sharing(config),
        "profiles": [profile._shapes for profile in config._profiles],
        "inputs": model.inputs,
        "outputs": model.outputs,
        "layers": _layers.as_json(layers),
        "tactics": [cache._tactics[f"{layer.kind} {layer.precision} {layer.name}"] for layer in layers],
        "weights": max(model.weights_bytes, 1),
        "plugins": sorted({node.op for node in model.nodes}.intersection(plugins())),
    }


def _profile_sharing(config: IBuilderConfig) -> bool:
    """Whether two contexts may use one optimization profile: never in 8.5, when asked in 8.6, always from 10 on."""
    feature = getattr(ENUMS["PreviewFeature"], "PROFILE_SHARING_0806", None)
    return VERSION >= (10,) or (feature is not None and config.get_preview_feature(feature))


def _strongly_typed(network: INetworkDefinition) -> bool:
    return VERSION >= (11,) or creation_flag("STRONGLY_TYPED", network._flags)


def _halves(network: INetworkDefinition, config: IBuilderConfig) -> bool:
    return not _strongly_typed(network) and config._has("FP16")


def dla_cores() -> int:
    return int(os.environ.get("SCRIPTED_TENSORRT_DLA_CORES", "0"))


def _refusal(network: INetworkDefinition, config: IBuilderConfig) -> Optional[_Refused]:
    try:
        model = network._model
        if model is None:
            raise _Refused(4, "Network must have at least one output")
        _check_types(model, network, config)
        _check_profiles(model, config)
        _check_dla(model, config)
        _check_memory(model, config)
    except _Refused as refused:
        return refused
    return None


def _check_types(model: Model, network: INetworkDefinition, config: IBuilderConfig) -> None:
    if _strongly_typed(network):
        for flag in ("FP16", "INT8"):
            if config._has(flag):
                text = f"!config.getFlag(BuilderFlag::k{flag}): a strongly typed network takes its types from the graph"
                raise _Refused(3, text)
        return
    types = _onnx.types(model)
    if FLOAT16 in types.values() and not config._has("FP16"):
        name = next(name for name, dtype in types.items() if dtype == FLOAT16)
        text = "fp16 precision has been set for a layer or layer output, but fp16 is not configured in the builder"
        raise _Refused(4, f"{name}: {text}")
    if any(node.op == "QuantizeLinear" for node in model.nodes) and not config._has("INT8"):
        raise _Refused(4, "Q/DQ layers need the builder flag INT8, which is not set")


def _check_profiles(model: Model, config: IBuilderConfig) -> None:
    dynamic = [tensor for tensor in model.inputs if any(not isinstance(dim, int) or dim < 1 for dim in tensor.dims)]
    if dynamic and not config._profiles:
        text = "Network has dynamic or shape inputs, but no optimization profile has been defined."
        raise _Refused(4, text)
    for number, profile in enumerate(config._profiles):
        for tensor in dynamic:
            if tensor.name not in profile._shapes:
                text = f"{tensor.name}: dynamic input is missing dimensions in profile {number}."
                raise _Refused(4, text)
        for name, shapes in profile._shapes.items():
            dims = next((tensor.dims for tensor in model.inputs if tensor.name == name), None)
            if dims is None:
                continue  # TensorRT ignores names that are no inputs
            if any(len(shape) != len(dims) or not _agree(shape, dims) for shape in shapes):
                raise _Refused(4, f"{name}: static dimension does not match dimensions in profile {number}.")


def _agree(shape: Sequence[int], dims: Sequence[Any]) -> bool:
    return all(not isinstance(dim, int) or dim < 1 or dim == size for size, dim in zip(shape, dims))


def _check_dla(model: Model, config: IBuilderConfig) -> None:
    if config._device is not ENUMS["DeviceType"].DLA:
        return
    if not 0 <= max(config._dla, 0) < dla_cores():
        raise _Refused(4, f"DLA core {config._dla} is not there: this device has {dla_cores()}")
    off = _layers.off_dla(model)
    if off and not config._has("GPU_FALLBACK"):
        raise _Refused(4, f"{off[0]}: layer cannot run on DLA and GPU fallback is not enabled")


def _check_memory(model: Model, config: IBuilderConfig) -> None:
    need = int(os.environ.get("SCRIPTED_TENSORRT_WORKSPACE", "4096"))
    limit = config.get_memory_pool_limit(ENUMS["MemoryPoolType"].WORKSPACE)
    if need > limit:
        name = _layers.name_of(model.nodes[0])
        text = f"Could not find any implementation for node {name} due to insufficient workspace: {need} bytes needed"
        raise _Refused(10, text)
    if need + model.weights_bytes > _cuda.free_bytes():
        raise _Refused(2, "Requested size was not available: out of device memory")


def _progress(monitor: Optional[IProgressMonitor], layers: List[_layers.Layer]) -> bool:
    """Two phases, one within the other; False when the monitor stopped one."""
    time.sleep(float(os.environ.get("SCRIPTED_TENSORRT_BUILD_S", "0")))
    if monitor is None:
        return True
    monitor.phase_start("Building Engine", None, 2)
    monitor.phase_start("Timing tactics", "Building Engine", len(layers))
    going = all(monitor.step_complete("Timing tactics", step) for step in range(len(layers)))
    monitor.phase_finish("Timing tactics")
    going = bool(monitor.step_complete("Building Engine", 0)) and going
    monitor.phase_finish("Building Engine")
    return going
