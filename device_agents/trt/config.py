"""Network flags and the builder's settings: each by what the installed TensorRT has, refused where it has it not."""

from __future__ import annotations

from typing import Any

from device_agents.contract import JobSpec, Precision
from device_agents.errors import DeviceError
from device_agents.trt.api import quietly
from device_agents.trt.options import DEFAULT, BuildOptions, whole

_SILICON = {"sm72": "Jetson Xavier", "sm87": "Jetson Orin", "sm90": "H100", "sm100": "B200", "sm110": "Jetson Thor"}
_MIB, _KIB = 1 << 20, 1 << 10


def typing_of(trt: Any, options: BuildOptions) -> str:
    """`strong` or `weak`: what the network will be. Errors: DeviceError where this version has not what was asked."""
    has_strong = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
    has_weak = hasattr(trt.BuilderFlag, "FP16")
    if options.typing == "strong" and not has_strong:
        raise _lacks(trt, "strong typing", "leave out typing=strong: FP16 comes by the graph and the builder's flag")
    if options.typing == "weak" and not has_weak:
        raise _lacks(trt, "weak typing", "leave out typing=weak: the precision is the graph's")
    if options.typing != DEFAULT:
        return options.typing
    return "weak" if has_weak and (whole(options.dla_core) is not None or not has_strong) else "strong"


def network_flags(trt: Any, typing: str) -> int:
    """Bits for create_network. The numbers of the flags moved between versions, so they are asked for here."""
    bits = 0
    if hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"):
        bits |= 1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)
    if typing == "strong" and hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        bits |= 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return bits


def configure(trt: Any, builder: Any, config: Any, network: Any, spec: JobSpec, options: BuildOptions) -> None:
    """Errors: DeviceError `unsupported` for what this version or device does not have."""
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # else the inspector has names and no types
    config.clear_flag(trt.BuilderFlag.TF32)  # FP32 means FP32
    if typing_of(trt, options) == "weak" and hasattr(trt.BuilderFlag, "FP16"):
        _allow_types(trt, config, network, spec)
    _set_pools(trt, config, options)
    _set_level(trt, config, options)
    _set_compatibility(trt, config, options)
    if whole(options.dla_core) is not None:
        _use_dla(trt, builder, config, spec, int(options.dla_core))
    if options.target != DEFAULT:
        _set_target(trt, config, options.target)
    if hasattr(trt.PreviewFeature, "PROFILE_SHARING_0806"):  # several contexts may use one profile, as later always
        with quietly():
            config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)


def refuse_gpu(trt: Any, capability: "tuple[int, int] | None", options: BuildOptions) -> None:
    """TensorRT-RTX builds for what it can name alone. Errors: DeviceError."""
    if not hasattr(trt, "ComputeCapability") or options.target != DEFAULT or capability is None:
        return
    target = f"sm{capability[0]}{capability[1]}"
    if target.upper() not in trt.ComputeCapability.__members__:
        raise _no_target(trt, target)


def _allow_types(trt: Any, config: Any, network: Any, spec: JobSpec) -> None:
    """In a network without strong typing the types that a graph names still have to be allowed: TensorRT issue 3277.
    What an INT8 graph leaves in FP32, as Q/DQ of opset 17 have no scales in FP16, may be FP16 there."""
    halves, quantized = _types_of(trt, network)
    int8 = quantized or spec.precision is Precision.INT8
    if halves or int8 or spec.precision is Precision.FP16:
        config.set_flag(trt.BuilderFlag.FP16)
    if int8:
        config.set_flag(trt.BuilderFlag.INT8)


def _types_of(trt: Any, network: Any) -> "tuple[bool, bool]":
    """Whether the graph has tensors of FP16, and whether it quantizes."""
    halves = quantized = False
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        quantized = quantized or layer.type == trt.LayerType.QUANTIZE
        for place in range(layer.num_outputs):
            tensor = layer.get_output(place)
            halves = halves or tensor.dtype == trt.DataType.HALF
    return halves, quantized


def _set_pools(trt: Any, config: Any, options: BuildOptions) -> None:
    _set_pool(config, trt.MemoryPoolType.WORKSPACE, options.workspace_mib, _MIB)
    _set_pool(config, trt.MemoryPoolType.DLA_MANAGED_SRAM, options.dla_sram_kib, _KIB)
    _set_pool(config, trt.MemoryPoolType.DLA_LOCAL_DRAM, options.dla_local_mib, _MIB)
    _set_pool(config, trt.MemoryPoolType.DLA_GLOBAL_DRAM, options.dla_global_mib, _MIB)
    if hasattr(trt.MemoryPoolType, "TACTIC_DRAM"):
        _set_pool(config, trt.MemoryPoolType.TACTIC_DRAM, options.tactic_dram_mib, _MIB)
    elif whole(options.tactic_dram_mib) is not None:
        raise _lacks(trt, "limit of a kernel's device memory", "leave out tactic_dram_mib")
    if hasattr(trt.MemoryPoolType, "TACTIC_SHARED_MEMORY"):
        _set_pool(config, trt.MemoryPoolType.TACTIC_SHARED_MEMORY, options.tactic_shared_kib, _KIB)
    elif whole(options.tactic_shared_kib) is not None:
        raise _lacks(trt, "limit of a kernel's shared memory", "leave out tactic_shared_kib")


def _set_pool(config: Any, pool: Any, size: Any, unit: int) -> None:
    count = whole(size)
    if count is not None:
        config.set_memory_pool_limit(pool, count * unit)


def _set_level(trt: Any, config: Any, options: BuildOptions) -> None:
    level = whole(options.optimization_level)
    if level is None:
        return
    if not hasattr(config, "builder_optimization_level"):
        raise _lacks(trt, "optimization level", "leave out optimization_level")
    config.builder_optimization_level = level


def _set_compatibility(trt: Any, config: Any, options: BuildOptions) -> None:
    if options.hardware_compatibility != "none":
        if not hasattr(trt, "HardwareCompatibilityLevel"):
            raise _lacks(trt, "hardware compatibility", "leave out hardware_compatibility")
        if options.hardware_compatibility == "ampere_plus":
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        elif hasattr(trt.HardwareCompatibilityLevel, "SAME_COMPUTE_CAPABILITY"):
            config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY
        else:
            raise _lacks(trt, "compatibility with the same compute capability", "use ampere_plus or none")
    if options.version_compatible:
        if not hasattr(trt.BuilderFlag, "VERSION_COMPATIBLE"):
            raise _lacks(trt, "version-compatible engines", "leave out version_compatible")
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)


def _use_dla(trt: Any, builder: Any, config: Any, spec: JobSpec, core: int) -> None:
    if spec.precision is Precision.FP32:  # every layer would fall back to the GPU, without a word
        message = "the DLA computes in FP16 and INT8, not in FP32"
        raise DeviceError("unsupported", "build", message, fix="ask for --precision fp16, or leave out dla_core")
    cores = int(builder.num_DLA_cores)
    if core >= cores:
        has = f"has {cores} DLA core{'s' * (cores != 1)}" if cores else "sees no DLA on this device"
        fix = (
            f"use dla_core=0 to {cores - 1}"
            if cores
            else "leave out dla_core (JetPack 7 before TensorRT 11.4.1 has none)"
        )
        message = f"DLA core {core} was asked for, TensorRT {trt.__version__} {has}"
        raise DeviceError("unsupported", "build", message, fix=fix)
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def _set_target(trt: Any, config: Any, target: str) -> None:
    if not hasattr(trt, "ComputeCapability") or not hasattr(config, "set_compute_capability"):
        raise _lacks(trt, "target but the GPU it runs on", "leave out target, and build on the device itself")
    if not target.startswith("sm") or target.upper() not in trt.ComputeCapability.__members__:
        raise _no_target(trt, target)
    config.num_compute_capabilities = 1
    capability = trt.ComputeCapability.__members__[target.upper()]
    if not config.set_compute_capability(capability, 0):
        raise _no_target(trt, target)


def _no_target(trt: Any, target: str) -> DeviceError:
    known = ", ".join(name.lower() for name in trt.ComputeCapability.__members__ if name.startswith("SM"))
    what = f"{target} ({_SILICON[target]})" if target in _SILICON else target
    message = f"TensorRT-RTX {trt.__version__} builds no engine for {what}; it builds for {known}"
    fix = (
        "deploy with --backend tensorrt: that builds on the device itself"
        if target in _SILICON
        else "name one of those"
    )
    return DeviceError("unsupported", "build", message, fix=fix)


def _lacks(trt: Any, what: str, fix: str) -> DeviceError:
    return DeviceError("unsupported", "build", f"TensorRT {trt.__version__} has no {what}", fix=fix)
