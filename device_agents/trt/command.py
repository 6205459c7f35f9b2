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

_COMPATIBILITY = {"none": "none", "ampere_plus": "ampere+", "same_compute_capability": "sameComputeCapability"}


def equivalent(
    spec: JobSpec, version: str, typing: str, build: BuildOptions, run: RunOptions, profile_index: int
) -> str:
    """For a shell; empty, and the reason in the log, where trtexec of that version cannot do the same."""
    level = whole(build.optimization_level)
    free = {one.name for one in spec.graph_inputs if any(isinstance(dim, str) for dim in one.shape)}
    given = spec.engine.given is not None
    wanted = TrtexecRun(
        onnx="" if given else spec.model_file,
        engine=ENGINE_FILE if given else "",
        precision=str(spec.precision),
        strongly_typed=typing == "strong",
        profiles=() if given else _profiles(spec, free),
        workspace_mib=whole(build.workspace_mib),
        optimization_level=3 if level is None else level,
        hardware_compatibility=_COMPATIBILITY[build.hardware_compatibility],
        version_compatible=build.version_compatible,
        dla_core=whole(build.dla_core),
        gpu_fallback=whole(build.dla_core) is not None,
        shapes={name: shape for name, shape in shapes.job_shapes(spec).items() if name in free},
        profile_index=profile_index,
        streams=run.streams,
        serial=spec.pattern.kind != "pipelined",
        spin_wait=run.spin,
        cuda_graph=run.cuda_graph,
        transfers=spec.transfers,
        warmup_ms=round(spec.timing.warmup_s * 1e3),
        duration_s=spec.timing.duration_s,
        iterations=spec.timing.iterations,
    )
    program = TRTEXEC if Path(TRTEXEC).exists() else "trtexec"
    try:
        return " ".join(map(shlex.quote, command_line(wanted, version, program)))
    except ValueError as error:
        print(f"no equivalent command line of trtexec: {error}", file=sys.stderr)
        return ""


def _profiles(spec: JobSpec, free: "set[str]") -> Tuple[Dict[str, Range], ...]:
    if not spec.engine.profiles:
        return ()
    return tuple(
        {name: Range(*bounds) for name, bounds in ranges.items() if name in free} for ranges in shapes.wanted(spec)
    )
