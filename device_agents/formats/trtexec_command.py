"""Command lines of trtexec that mean the same on TensorRT 8.5, 8.6, 10 and 11.

Read in NVIDIA's samples/common/sampleOptions.cpp of 8.6, of a late 10 (one of 10.10 to 10.16) and of 11.1.0.106
(commit d5883286), in samples/trtexec/trtexec.cpp of 8.5.1 (commit 768d994b), in logs of 8.5.2, 10.2, 10.3 and 10.16.2,
and in "Migrating trtexec Usage" of docs.nvidia.com (10.16.1, 11.3.0). An option that trtexec does not know makes it
fail, so none is passed that a version lacks:

| | 8.5 | 8.6 | 10 | 11 |
|---|---|---|---|---|
| CUDA graph | off; --useCudaGraph | the same | the same | on; --noCudaGraph |
| spin wait | off; --useSpinWait | the same | the same | on; --noSpinWait |
| transfers | on; --noDataTransfers | the same | the same | off; --includeDataTransfers |
| profile in a run of its own | --separateProfileRun | the same | the same | always |
| streams | --streams | --streams (deprecated later) | --infStreams | --infStreams |
| no inference | --buildOnly | --skipInference | --skipInference | --skipInference |
| FP16, INT8 | --fp16, --int8 | the same | the same, or --stronglyTyped | by the graph's types alone |
| level, hardware and version compatibility | - | yes | yes | yes |
| several profiles | - | - | --profile, --useProfile | the same |
| a profile shared by streams | - | --preview=+profileSharing0806 | always | always |

- 11 accepts --useCudaGraph, --useSpinWait, --noDataTransfers and --separateProfileRun as deprecated words without
  effect. They are not passed: the next version may drop them. So on any version one side of each switch has no word of
  its own, and `differences` compares what the run says that it set with what was asked.
- --memPoolSize=workspace:N means MiB in all (8.4 and later; 10 and 11 add MiB where no unit is given).
- --avgTiming is said because trtexec's default is 8 and the builder's own, which the backend tensorrt keeps, is 1.
- A model without free dimensions takes no shapes ("Static model does not take explicit shapes"): leave them out.
- --profile was read in that late 10 and in 11.1; a sampleInference.cpp of an early 10 (commit 1637a26e) selects a
  profile, too. Before 10 it is refused.
- sameComputeCapability was read in that late 10, too: it is refused before 10.16, the last of them.
- 11.0's and 11.2's to 11.4's options were not seen; they are taken to be 11.1's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from device_agents.formats.trtexec import Settings

Dims = Sequence[int]

_STREAMS_OLD, _TEN, _ELEVEN = (8, 6), (10, 0), (11, 0)
_HARDWARE = {"none": (8, 6), "ampere+": (8, 6), "sameComputeCapability": (10, 16)}
_PRECISIONS = ("fp32", "fp16", "int8")


class Range(NamedTuple):
    """The shapes of an input in an optimization profile."""

    min: Dims
    opt: Dims
    max: Dims


@dataclass(frozen=True)
class TrtexecRun:
    """One run of trtexec, every switch said. `onnx` is built, or `engine` is loaded; names are those of the graph.

    `shapes`, of inputs with free dimensions alone, are what is inferred, and what is built for where `profiles` are
    empty. `serial` awaits each inference before the next one; otherwise one is enqueued ahead. `precision` is the
    graph's where `strongly_typed`, else the lowest that the builder may choose; FP32 is never TF32. `workspace_mib`
    bounds the builder's scratch memory. `load_inputs` are files of raw bytes by input. A profile of the layers is taken
    in a run of its own, after the timed one, which lasts as long.
    """

    onnx: str = ""
    engine: str = ""
    save_engine: str = ""
    skip_inference: bool = False

    precision: str = "fp32"
    strongly_typed: bool = False
    profiles: Tuple[Mapping[str, Range], ...] = ()
    workspace_mib: Optional[int] = None
    timing_cache: str = ""
    optimization_level: int = 3
    hardware_compatibility: str = "none"
    version_compatible: bool = False
    dla_core: Optional[int] = None
    gpu_fallback: bool = False

    shapes: Mapping[str, Dims] = field(default_factory=dict)
    profile_index: int = 0
    streams: int = 1
    serial: bool = False
    spin_wait: bool = False
    cuda_graph: bool = False
    transfers: bool = True
    warmup_ms: int = 200
    duration_s: float = 3.0
    iterations: int = 10
    load_inputs: Mapping[str, str] = field(default_factory=dict)

    export_times: str = ""
    export_profile: str = ""
    export_layer_info: str = ""
    export_output: str = ""


def command_line(run: TrtexecRun, version: str, program: str = "trtexec") -> List[str]:
    """The argv that makes trtexec of `version` (`8.5.2`, `10.16.2.10`) do `run`, and nothing else.

    Errors: ValueError, one sentence, where that version cannot do it or the request contradicts itself.
    """
    release = _release(version)
    _check(run, release)
    argv = [program, "--device=0"]
    argv += [f"--loadEngine={run.engine}"] if run.engine else _build(run, release)
    if run.dla_core is not None:
        argv.append(f"--useDLACore={run.dla_core}")
        argv += ["--allowGPUFallback"] if run.gpu_fallback else []
    if run.skip_inference:
        argv.append("--skipInference" if release >= _STREAMS_OLD else "--buildOnly")
    else:
        argv += _inference(run, release)
    exports = {
        "exportTimes": run.export_times,
        "exportProfile": run.export_profile,
        "exportLayerInfo": run.export_layer_info,
        "exportOutput": run.export_output,
    }
    return argv + [f"--{name}={path}" for name, path in exports.items() if path]


def differences(run: TrtexecRun, told: Settings) -> Tuple[str, ...]:
    """Where a run did not set what was asked, a few words each; empty where it did."""
    asked = Settings(run.streams, run.serial, run.transfers, run.spin_wait, run.cuda_graph)
    pairs = zip(Settings._fields, asked, told)
    return tuple(f"{name} is {got}, not {wanted}" for name, wanted, got in pairs if wanted != got)


def _build(run: TrtexecRun, release: Tuple[int, int]) -> List[str]:
    argv = [f"--onnx={run.onnx}"]
    argv += [f"--saveEngine={run.save_engine}"] if run.save_engine else []
    argv += _precision(run, release)
    argv += _profiles(run)
    argv += ["--profilingVerbosity=detailed", "--avgTiming=1"]  # else the engine's layers are names without types
    if run.workspace_mib is not None:
        argv.append(f"--memPoolSize=workspace:{run.workspace_mib}")
    if run.timing_cache:
        argv.append(f"--timingCacheFile={run.timing_cache}")
    if release >= (8, 6):
        argv.append(f"--builderOptimizationLevel={run.optimization_level}")
        argv.append(f"--hardwareCompatibilityLevel={run.hardware_compatibility}")
        argv += ["--versionCompatible"] if run.version_compatible else []
    if (8, 6) <= release < _TEN:
        argv.append("--preview=+profileSharing0806")  # or several streams fail where dimensions are free
    return argv


def _precision(run: TrtexecRun, release: Tuple[int, int]) -> List[str]:
    """An FP16 graph on 8.x needs the flag (NVIDIA/TensorRT issue 3277); on 10 the flag and strong typing contradict
    each other (issue 4253)."""
    if release >= _ELEVEN:
        return ["--noTF32"]
    if run.strongly_typed:
        return ["--noTF32", "--stronglyTyped"]
    return ["--noTF32"] if run.precision == "fp32" else ["--noTF32", f"--{run.precision}"]


def _profiles(run: TrtexecRun) -> List[str]:
    profiles = run.profiles or ((_fixed(run.shapes),) if run.shapes else ())
    argv = []
    for index, profile in enumerate(profiles):
        argv += [f"--profile={index}"] if len(profiles) > 1 else []
        for bound in Range._fields:
            argv.append(f"--{bound}Shapes=" + _shapes({name: getattr(ends, bound) for name, ends in profile.items()}))
    return argv


def _fixed(shapes: Mapping[str, Dims]) -> Dict[str, Range]:
    return {name: Range(dims, dims, dims) for name, dims in shapes.items()}


def _inference(run: TrtexecRun, release: Tuple[int, int]) -> List[str]:
    flipped = release >= _ELEVEN
    switches = (
        ("--exposeDMA", run.serial),
        ("--noCudaGraph", flipped and not run.cuda_graph),
        ("--useCudaGraph", not flipped and run.cuda_graph),
        ("--noSpinWait", flipped and not run.spin_wait),
        ("--useSpinWait", not flipped and run.spin_wait),
        ("--includeDataTransfers", flipped and run.transfers),
        ("--noDataTransfers", not flipped and not run.transfers),
        ("--separateProfileRun", not flipped and bool(run.export_profile)),
    )
    argv = [f"--shapes={_shapes(run.shapes)}"] if run.shapes else []
    argv += [f"--useProfile={run.profile_index}"] if run.profile_index else []
    argv.append(f"--{'infStreams' if release >= _TEN else 'streams'}={run.streams}")
    argv += [f"--warmUp={run.warmup_ms}", f"--duration={run.duration_s:g}", f"--iterations={run.iterations}"]
    argv += ["--sleepTime=0", "--idleTime=0", "--percentile=90,95,99", "--avgRuns=1000"]  # a line each 1,000 inferences
    argv += [word for word, said in switches if said]
    if run.load_inputs:
        files = (f"{_name(name)}:{_file(path)}" for name, path in run.load_inputs.items())
        argv.append(f"--loadInputs={','.join(files)}")
    return argv


def _check(run: TrtexecRun, release: Tuple[int, int]) -> None:
    for wrong, sentence in (*_contradictions(run), *_lacks(run, release)):
        if wrong:
            raise ValueError(sentence)


def _contradictions(run: TrtexecRun) -> Tuple[Tuple[bool, str], ...]:
    exports = (run.export_times, run.export_profile, run.export_output)
    return (
        (bool(run.onnx) == bool(run.engine), "trtexec builds an ONNX file or loads an engine: name one of them"),
        (bool(run.engine and run.save_engine), "an engine that is loaded is not saved again"),
        (run.precision not in _PRECISIONS, f"unknown precision {run.precision!r}; allowed: {', '.join(_PRECISIONS)}"),
        (run.skip_inference and any(exports), "times, a profile and outputs come of an inference: do not skip it"),
        (
            run.hardware_compatibility not in _HARDWARE,
            f"unknown hardware compatibility {run.hardware_compatibility!r}; allowed: {', '.join(_HARDWARE)}",
        ),
        (not 0 <= run.optimization_level <= 5, f"optimization level {run.optimization_level} is not 0 to 5"),
        (
            min(run.streams, run.iterations) < 1 or min(run.warmup_ms, run.duration_s) < 0,
            "streams and iterations begin at 1; warm-up and duration are not negative",
        ),
        (run.gpu_fallback and run.dla_core is None, "falling back to the GPU needs a DLA core to fall back from"),
        (run.dla_core is not None and run.cuda_graph, "the DLA and a CUDA graph exclude each other"),
        (
            run.dla_core is not None and run.precision == "fp32" and not run.engine,
            "the DLA computes in fp16 and int8, not in fp32",
        ),
    )


def _lacks(run: TrtexecRun, release: Tuple[int, int]) -> Tuple[Tuple[bool, str], ...]:
    """What the version cannot do. The options of building do not matter where an engine is loaded."""
    name, building = f"TensorRT {release[0]}.{release[1]}", bool(run.onnx)
    weak = building and not run.strongly_typed and run.precision != "fp32"
    newer = run.optimization_level != 3 or run.hardware_compatibility != "none" or run.version_compatible
    several = len(run.profiles) > 1 or run.profile_index > 0
    return (
        (release < (8, 5), f"{name} is too old: 8.5 is the oldest"),
        (building and run.strongly_typed and release < _TEN, f"{name} has no strong typing, TensorRT 10 does"),
        (
            weak and release >= _ELEVEN,
            f"{name} takes the precision from the graph's types: strongly_typed must be true",
        ),
        (
            building and newer and release < (8, 6),
            f"{name} has no optimization levels, no hardware and no version compatibility, 8.6 does",
        ),
        (
            building and release < _HARDWARE.get(run.hardware_compatibility, (0, 0)) and release >= (8, 6),
            f"trtexec of {name} does not know the hardware compatibility {run.hardware_compatibility!r}",
        ),
        (several and release < _TEN, f"trtexec of {name} knows one optimization profile"),
        (
            run.streams > 1 and bool(run.shapes) and release < (8, 6),
            f"where dimensions are free every stream of {name} needs an optimization profile of its own",
        ),
    )


def _shapes(shapes: Mapping[str, Dims]) -> str:
    for name, dims in shapes.items():
        if not dims or min(dims) < 0:
            raise ValueError(f"input {name!r} has no shape that trtexec takes: {tuple(dims)}")
    return ",".join(f"{_name(name)}:{'x'.join(map(str, dims))}" for name, dims in shapes.items())


def _name(name: str) -> str:
    """trtexec splits at commas, takes the last colon, drops quotes, and reads * as a wildcard from 10."""
    if not name or any(mark in name for mark in ",'*"):
        raise ValueError(f"trtexec cannot take the input name {name!r}")
    return name


def _file(path: str) -> str:
    if not path or "," in path or ":" in path or "'" in path:
        raise ValueError(f"trtexec cannot take inputs from a file called {path!r}")
    return path


def _release(version: str) -> Tuple[int, int]:
    parts = version.split(".")
    if len(parts) < 2 or not all(part.isdigit() for part in parts[:2]):
        raise ValueError(f"{version!r} is no version of TensorRT")
    return int(parts[0]), int(parts[1])
