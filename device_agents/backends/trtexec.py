"""NVIDIA's trtexec: for devices that have the tool and no Python module of TensorRT, and as a second opinion beside it.

What it measures is its own: a sample is its "latency", H2D + compute + D2H by the GPU's clock, without what the host
adds. `serial` is --exposeDMA, which awaits each inference; `pipelined` is its usual way, the next one enqueued ahead.
It warms up by time alone, reads one input buffer again and again, and does not tell the first inference. What a run
says that it set is compared with what was asked; a difference is an error, never a number.
"""

from __future__ import annotations

import shlex
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, List, Optional, Sequence, Tuple

from device_agents import inputs
from device_agents.backends import base
from device_agents.backends.base import Arrays, Built, OwnTimes
from device_agents.contract import EngineReport, JobSpec, Layer, Reading, Scalar
from device_agents.errors import DeviceError
from device_agents.formats import inspector, trtexec, trtexec_exports
from device_agents.formats.trtexec_command import TrtexecRun, command_line
from device_agents.formats.trtexec_exports import Inference, Output
from device_agents.nvidia import TRTEXEC
from device_agents.trt import shapes, timings
from device_agents.trt.command import COMPATIBILITY, free_shapes, ranges
from device_agents.trt.options import DEFAULT, RUN_OPTIONS, TENSORRT_OPTIONS, build_options, run_options, whole
from device_agents.trtexec_tool import PROGRAM_VARIABLE, Files, Tool, read, working_copy

BUILD_RECIPE = 1
"""Raised when the same request would make another engine than before: it is part of an engine's key."""

_BUILD_OPTIONS = (
    "dla_core", "hardware_compatibility", "optimization_level", "timing_cache", "typing", "version_compatible",
    "workspace_mib",
)  # fmt: skip
_AROUND_S = 300.0  # loading libraries and engine, and writing the files
_MOST_VALUES = 4_000_000  # of outputs: as JSON and Python numbers they take some 100 bytes each


class Backend(base.SelfTimed):
    patterns: ClassVar[Tuple[str, ...]] = ("serial", "pipelined")
    options: ClassVar[Dict[str, str]] = {name: RUN_OPTIONS[name] for name in ("cuda_graph", "spin", "streams")}
    build_options: ClassVar[Dict[str, str]] = {name: TENSORRT_OPTIONS[name] for name in _BUILD_OPTIONS}
    builds: ClassVar[bool] = True

    def __init__(self) -> None:
        self._tool = Tool("", "")
        self._engine: Optional[Tuple[Path, JobSpec]] = None
        self._switches: Dict[str, Scalar] = {}
        self._memory: Dict[str, int] = {}

    def start(self) -> str:
        self._tool = Tool.find()
        return self._tool.version

    def facts(self) -> Dict[str, Reading]:
        return {"program": Reading(self._tool.program, f"{PROGRAM_VARIABLE}, PATH, {TRTEXEC}")}

    def made_of(self, spec: JobSpec) -> Dict[str, Scalar]:
        return {
            "runtime": "tensorrt",
            "runtime_version": self._tool.version,
            "built_by": "trtexec",
            "recipe": BUILD_RECIPE,
            "tf32": False,
            **build_options(spec).as_told(self.build_options),
            "typing": self._typing(spec),
        }

    def build(self, model: Path, out: Path, spec: JobSpec, caches: Path, tell: Callable[[str], None]) -> Built:
        files, kept = Files(out.parent), self._timings(spec, caches)
        written = None if kept is None else working_copy(kept)
        run = replace(
            self._building(model, spec), save_engine=str(out.absolute()), export_layer_info=files.layers.name,
            timing_cache="" if written is None else str(written),
        )  # fmt: skip
        tell(f"trtexec {self._tool.version} at work")
        begin = time.perf_counter()
        try:
            self._tool.run(run, files.folder, stage="build", where=spec.model_file, timeout_s=spec.deadline_s)
            if not out.is_file():
                message = "trtexec passed and wrote no engine"
                raise DeviceError("build_failed", "build", message, where=spec.model_file, fix="see the job's log")
            layers = read(files.layers, inspector.parse_layers, "build")
            if kept is not None and written is not None and written.is_file():
                written.replace(kept)
        except BaseException:
            out.unlink(missing_ok=True)
            raise
        finally:
            files.remove()
        return Built(_layers(layers, {}), None, (), {"trtexec": time.perf_counter() - begin})

    def load(self, path: Path, spec: JobSpec) -> None:
        """Each run of trtexec loads the engine anew: here it is only looked for."""
        if not path.is_file():
            raise DeviceError("load_failed", "load", "there is no engine", where=str(path), fix="deploy with --rebuild")
        self._engine = (path, spec)

    def bind(self, inputs: Arrays, slot: int) -> None:
        """Nothing: the layers, for which alone this is called, are profiled on trtexec's own random values."""

    def time(
        self, path: Path, spec: JobSpec, golden: Sequence[Arrays], scratch: Path, own: Optional[Arrays] = None
    ) -> OwnTimes:
        self._refuse(spec)
        self.load(path, spec)
        files, given = Files(scratch), _noise(spec) if own is None else own
        try:
            run = replace(
                self._running(path, spec),
                load_inputs={} if given is None else files.inputs(given, self._tool),
                export_times=files.times.name,
            )
            text = self._tool.run(run, scratch, stage="run", where=spec.model_file, timeout_s=_longest_s(spec))
            trace = read(files.times, trtexec_exports.parse_times, "run")
            _check_trace(trace, text, spec)
            outputs = self._answers(run, spec, golden, files)
        finally:
            files.remove()
        told = "told" if outputs else "not told: too many values" if golden else "not told: nothing to compare"
        self._note(run, text, {"input_seeded": given is not None, "outputs": told})
        return OwnTimes(
            samples_ns=[one.latency_ns for one in trace],
            parts=trtexec_exports.parts_ns(trace),
            elapsed_ns=trtexec_exports.walltime_ns(trace),
            warmup_ns=round(spec.timing.warmup_s * 1e9),
            load_ns=round((trtexec.parse_load_s(text) or 0.0) * 1e9),
            first_inference_ns=0,
            outputs=outputs,
        )

    def switches(self) -> Dict[str, Scalar]:
        return dict(self._switches)

    def memory(self) -> Dict[str, int]:
        return dict(self._memory)

    def layers(self, slot: int, inferences: int) -> Tuple[Layer, ...]:  # noqa: ARG002 - trtexec has no slots
        if self._engine is None:
            raise RuntimeError("load comes first")
        path, spec = self._engine
        with tempfile.TemporaryDirectory() as scratch:
            files = Files(Path(scratch))
            run = replace(
                self._running(path, spec),
                cuda_graph=False,
                streams=1,
                duration_s=0.0,
                iterations=inferences,
                export_profile=files.profile.name,
                export_layer_info=files.layers.name,
            )
            self._tool.run(run, files.folder, stage="run", where=spec.model_file, timeout_s=2 * _longest_s(spec))
            profile = read(files.profile, trtexec_exports.parse_profile, "run")
            layers = read(files.layers, inspector.parse_layers, "run")
        return _layers(layers, {one.name: one.mean_ns for one in profile})

    def command(self, spec: JobSpec, engine: Optional[EngineReport]) -> str:  # noqa: ARG002 - load told which one
        """It loads the engine that was timed: to build another would be another draw of the lottery."""
        if self._engine is None:
            raise RuntimeError("load comes first")
        try:
            argv = command_line(self._running(self._engine[0], spec), self._tool.version, self._tool.program)
        except ValueError as error:
            print(f"no command line of trtexec: {error}", file=sys.stderr)
            return ""
        return " ".join(map(shlex.quote, argv))

    def _timings(self, spec: JobSpec, caches: Path) -> Optional[Path]:
        """The timing cache to keep; None for builds that are numbered, or that want none."""
        if not build_options(spec).timing_cache or spec.engine.build:
            return None
        return timings.path_in(caches.absolute(), "trtexec", self._tool.version, "gpu0")

    def _building(self, model: Path, spec: JobSpec) -> TrtexecRun:
        options = build_options(spec)
        level, core = whole(options.optimization_level), whole(options.dla_core)
        return TrtexecRun(
            onnx=str(model.absolute()),
            skip_inference=True,
            precision=str(spec.precision),
            strongly_typed=self._typing(spec) == "strong",
            profiles=ranges(spec),
            shapes=free_shapes(spec),
            workspace_mib=whole(options.workspace_mib),
            optimization_level=3 if level is None else level,
            hardware_compatibility=COMPATIBILITY[options.hardware_compatibility],
            version_compatible=options.version_compatible,
            dla_core=core,
            gpu_fallback=core is not None,
        )

    def _running(self, path: Path, spec: JobSpec) -> TrtexecRun:
        options, timing = run_options(spec), spec.timing
        return TrtexecRun(
            engine=str(path.absolute()),
            shapes=free_shapes(spec),
            profile_index=_profile_index(spec),
            dla_core=whole(build_options(spec).dla_core),
            streams=options.streams,
            serial=spec.pattern.loop == "serial",
            spin_wait=options.spin,
            cuda_graph=options.cuda_graph,
            transfers=spec.transfers,
            warmup_ms=round(timing.warmup_s * 1e3),
            duration_s=timing.duration_s,
            iterations=timing.iterations,
        )

    def _typing(self, spec: JobSpec) -> str:
        """As the backend tensorrt has it: by the graph's types where this version can, except for the DLA."""
        options = build_options(spec)
        if options.typing != DEFAULT:
            return options.typing
        weak = self._tool.major < 10 or (self._tool.major == 10 and whole(options.dla_core) is not None)
        return "weak" if weak else "strong"

    def _refuse(self, spec: JobSpec) -> None:
        if spec.pattern.loop not in self.patterns:
            fix = f"it can: {', '.join(self.patterns)}"
            raise DeviceError("unsupported", "load", f"trtexec cannot run the load pattern {spec.pattern}", fix=fix)
        if not run_options(spec).pinned:
            message = "trtexec copies from pinned memory alone"
            raise DeviceError("unsupported", "load", message, fix="leave out pinned=false")

    def _answers(
        self, run: TrtexecRun, spec: JobSpec, golden: Sequence[Arrays], files: Files
    ) -> Optional[List[Dict[str, Any]]]:
        """The outputs of every batch, each by a run of the same engine and switches; None where there is nothing to
        check, or so much, as far as that is known, that it cannot go through JSON."""
        known = all(tensor.is_fixed for tensor in spec.outputs)
        if not golden or not known or sum(_size(one.shape) for one in spec.outputs) * len(golden) > _MOST_VALUES:
            return None
        once = replace(
            run, transfers=True, streams=1, warmup_ms=0, duration_s=0.0, iterations=1,
            export_times="", export_output=files.output.name,
        )  # fmt: skip
        answers = []
        for batch in golden:
            one = replace(once, load_inputs=files.inputs(batch, self._tool))
            self._tool.run(one, files.folder, stage="parity", where=spec.model_file, timeout_s=_AROUND_S)
            answers.append(_arrays(read(files.output, trtexec_exports.parse_output, "parity"), spec))
        return answers

    def _note(self, run: TrtexecRun, text: str, more: Dict[str, Scalar]) -> None:
        """Every setting that can move a number. trtexec's own warnings go into the job's log: the figures behind them
        are judged on the host."""
        self._switches = {
            "tool": f"trtexec {self._tool.version}",
            "latency": "h2d + compute + d2h by the GPU's clock",
            "cuda_graph": run.cuda_graph,
            "spin": run.spin_wait,
            "streams": run.streams,
            "transfers": run.transfers,
            "pinned": True,
            "input_buffers": 1,
            **more,
        }
        for warn in trtexec.parse_warnings(text):
            print(f"trtexec warns: {warn.text}", file=sys.stderr, flush=True)
        needed = trtexec.parse_device_memory(text)
        self._memory = {} if needed is None else {"engine_device": needed}


def _longest_s(spec: JobSpec) -> float:
    """trtexec has no cap of its own: what it may take for a timed run."""
    return spec.timing.warmup_s + spec.timing.cap_s + _AROUND_S


def _layers(found: Sequence[inspector.InspectedLayer], times_ns: Dict[str, int]) -> Tuple[Layer, ...]:
    """What the profile names and the inspector does not comes last, so that its time is not lost from the whole."""
    layers = tuple(Layer(one.name, one.precision, one.kind, one.nodes, times_ns.get(one.name)) for one in found)
    strangers = sorted(set(times_ns) - {one.name for one in found})
    return (*layers, *(Layer(name, inspector.UNKNOWN, time_ns=times_ns[name]) for name in strangers))


def _check_trace(trace: Sequence[Inference], text: str, spec: JobSpec) -> None:
    """Errors: DeviceError where the trace is not what trtexec sums up itself. 11's summary was never seen, so one that
    cannot be read is told and passed over."""
    try:
        unlike = trtexec_exports.unlike_summary(trace, trtexec.parse_summary(text))
    except ValueError as error:
        print(f"the trace could not be held against the summary: {error}", file=sys.stderr, flush=True)
        return
    if unlike:
        message = f"trtexec's trace is not what it sums up: {unlike}"
        raise DeviceError("run_failed", "run", message, where=spec.model_file, fix="report this version of trtexec")


def _arrays(found: Dict[str, Output], spec: JobSpec) -> Dict[str, Any]:
    """Errors: DeviceError where an output is missing or has another size."""
    import numpy as np

    arrays = {}
    for tensor in spec.outputs:
        output, shape = found.get(tensor.name), [int(dim) for dim in tensor.shape]
        if output is None or len(output.values) != _size(shape):
            message = f"trtexec shows no output {tensor.name!r} of {shapes.dims(shape)}"
            raise DeviceError("run_failed", "parity", message, where=spec.model_file, fix="export the model again")
        arrays[tensor.name] = np.array(output.values, dtype=np.float64).astype(tensor.dtype).reshape(shape)
    return arrays


def _noise(spec: JobSpec) -> Optional[Arrays]:
    """Seeded values in the inputs' range; None without numpy, where trtexec's own random values have to do."""
    try:
        return inputs.noise(replace(spec, hot_input=True), None)[0]
    except ImportError:
        return None


def _profile_index(spec: JobSpec) -> int:
    return shapes.refuse_outside(shapes.wanted(spec), spec, "load") if spec.engine.profiles else 0


def _size(shape: Sequence[Any]) -> int:
    size = 1
    for dim in shape:
        size *= int(dim)
    return size
