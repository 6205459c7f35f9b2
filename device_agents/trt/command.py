"""The trtexec command line that builds and measures what a job does, so that anybody can check our figures."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Dict, Tuple

from device_agents.contract import ENGINE_FILE, JobSpec
from device_agents.formats.trtexec_command import Range, TrtexecRun, command_line
from device_agents.nvidia import TRTEXEC
from device_agents.trt import shapes
from device_agents.trt.options import BuildOptions, RunOptions, whole

COMPATIBILITY = {"none": "none", "ampere_plus": "ampere+", "same_compute_capability": "sameComputeCapability"}
"""trtexec's words for the values of the option hardware_compatibility."""

_UNSAID = ("dla_global_mib", "dla_local_mib", "dla_sram_kib", "tactic_dram_mib", "tactic_shared_kib")


def equivalent(
    spec: JobSpec, version: str, typing: str, build: BuildOptions, run: RunOptions, profile_index: int
) -> str:
    """For a shell; empty, and the reason in the log, where trtexec of that version cannot do the same."""
    level = whole(build.optimization_level)
    given = spec.engine.given is not None
    wanted = TrtexecRun(
        onnx="" if given else spec.model_file,
        engine=ENGINE_FILE if given else "",
        precision=str(spec.precision),
        strongly_typed=typing == "strong",
        profiles=() if given else ranges(spec),
        workspace_mib=whole(build.workspace_mib),
        optimization_level=3 if level is None else level,
        hardware_compatibility=COMPATIBILITY[build.hardware_compatibility],
        version_compatible=build.version_compatible,
        dla_core=whole(build.dla_core),
        gpu_fallback=whole(build.dla_core) is not None,
        shapes=free_shapes(spec),
        profile_index=profile_index,
        streams=run.streams,
        serial=spec.pattern.closed,
        spin_wait=run.spin,
        cuda_graph=run.cuda_graph,
        transfers=spec.transfers,
        warmup_ms=round(spec.timing.warmup_s * 1e3),
        duration_s=spec.timing.duration_s,
        iterations=spec.timing.iterations,
    )
    program = TRTEXEC if Path(TRTEXEC).exists() else "trtexec"
    try:
        _refuse(spec, build, run)
        return " ".join(map(shlex.quote, command_line(wanted, version, program)))
    except ValueError as error:
        print(f"no equivalent command line of trtexec: {error}", file=sys.stderr)
        return ""


def ranges(spec: JobSpec) -> Tuple[Dict[str, Range], ...]:
    """The optimization profiles that were asked for, of inputs with free dimensions alone: others take no shapes."""
    if not spec.engine.profiles:
        return ()
    free = _free(spec)
    return tuple({name: Range(*one) for name, one in each.items() if name in free} for each in shapes.wanted(spec))


def free_shapes(spec: JobSpec) -> Dict[str, Tuple[int, ...]]:
    """The job's shapes of inputs with free dimensions."""
    free = _free(spec)
    return {name: shape for name, shape in shapes.job_shapes(spec).items() if name in free}


def _free(spec: JobSpec) -> "set[str]":
    return {one.name for one in spec.graph_inputs if any(isinstance(dim, str) for dim in one.shape)}


def _refuse(spec: JobSpec, build: BuildOptions, run: RunOptions) -> None:
    """Errors: ValueError for a job that trtexec cannot do, or that this line does not say."""
    if spec.pattern.kind == "rate":
        raise ValueError(f"trtexec knows no arrivals, so no {spec.pattern}")
    if spec.pattern.sizes:
        raise ValueError("trtexec draws no sizes")
    if not run.pinned:
        raise ValueError("trtexec copies from pinned memory alone")
    limits = [name for name in _UNSAID if whole(getattr(build, name)) is not None]
    if limits:
        raise ValueError(f"the line has no word for {', '.join(limits)}")
