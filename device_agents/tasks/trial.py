"""One fresh process that loads a model, checks it, warms it up and times it."""

from __future__ import annotations

import resource
from array import array
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence

from device_agents import accuracy, inputs, measure, runtimes, waiting
from device_agents.backends.base import Backend, SelfTimed
from device_agents.contract import Accuracy, JobSpec, ParityCheck, ProcessResult, Reading, SampleRange, dumps
from device_agents.errors import DeviceError
from device_agents.files import little_endian, write_atomic
from device_agents.footprint import Footprint
from device_agents.kinds.cpu import last_cache_bytes
from device_agents.measure import Samples, Timed
from device_agents.phases import Phases
from device_agents.system import System
from device_agents.tasks import COMPILED, Work


def run(work: Work) -> ProcessResult:
    """Writes the samples and switches beside its outcome."""
    with Footprint(System.here(), work.spec) as footprint:
        return _run(work, Phases(footprint))


def _run(work: Work, phases: Phases) -> ProcessResult:
    backend, version = runtimes.start(work.spec)
    import_ns = phases.end("import")
    data = _Data.of(work)
    phases.end("golden")
    trial = _SelfTimed() if isinstance(backend, SelfTimed) else _Trial()
    try:
        trial.run(work, backend, data, phases)
        switches = {"input_buffers": trial.buffers, "runtime_version": version, **backend.switches()}
        memory, told = backend.memory(), backend.readings()
    finally:
        backend.close()
    write_atomic(work.job / f"process-{work.index}.switches.json", dumps(switches).encode())
    samples, stages = _Layout(trial.timed), trial.stages(phases.memory)
    write_atomic(work.job / f"process-{work.index}.i64le", samples.data)
    return ProcessResult(
        index=work.index,
        import_ns=import_ns,
        load_ns=trial.load_ns,
        first_inference_ns=trial.first_inference_ns,
        warmup=samples.warmup,
        timed=samples.timed,
        elapsed_ns=trial.timed.elapsed_ns,
        warmup_stable=trial.timed.warmup_stable,
        timer_overhead_ns=trial.overhead_ns,
        peak_rss_bytes=_peak_rss_bytes(stages),
        seconds={**phases.seconds, "warmup": trial.timed.warmup_ns / 1e9, "timed": trial.timed.elapsed_ns / 1e9},
        parity_before=trial.before,
        parity_after=trial.after,
        state={**told, **trial.waited, **({"memory_peaks": phases.memory.reading()} if stages else {})},
        parts=samples.parts,
        counts=trial.timed.counts,
        memory=memory,
        began_ns=trial.timed.began_ns,
        sizes=samples.sizes,
        stages=stages,
        accuracy=trial.accuracy,
    )


def _peak_rss_bytes(stages: Dict[str, Dict[str, int]]) -> int:
    """What the kernel counts is from where the last stage's peak began anew."""
    of_stages = [stage.get("rss_peak", 0) for stage in stages.values()]
    return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, *of_stages, 0)


def own_data(work: Work) -> Optional[inputs.Golden]:
    """The operator's samples, where the job came with any."""
    data = work.spec.data
    if data is None:
        return None
    return inputs.read_data(work.workdir / "artifacts" / data.artifact / data.file.name, work.spec)


def loadable(work: Work, backend: Backend) -> Path:
    """The file that the backend loads: the engine where it builds one, else the model."""
    return work.engine_file if backend.builds else work.model


class _Data(NamedTuple):
    """What is timed where the operator gave it, and what the outputs are held against: the operator's own reference,
    else the artifact's golden samples."""

    own: Optional[inputs.Golden]
    golden: Optional[inputs.Golden]

    @staticmethod
    def of(work: Work) -> _Data:
        own, file = own_data(work), work.spec.golden_file
        if own and own.outputs:
            return _Data(own, own)
        return _Data(own, inputs.read_golden(work.artifact / file, work.spec) if file else None)


class _Trial:
    """A backend that is asked for one inference after another."""

    def __init__(self) -> None:
        self.buffers = 0
        self.load_ns = self.first_inference_ns = self.overhead_ns = 0
        self.before: Optional[ParityCheck] = None
        self.after: Optional[ParityCheck] = None
        self.waited: Dict[str, Reading] = {}
        self.accuracy: Optional[Accuracy] = None
        self.timed: Timed

    def run(self, work: Work, backend: Backend, data: _Data, phases: Phases) -> None:
        spec = work.spec
        backend.load(loadable(work, backend), spec)
        self.load_ns = phases.end("load")
        if backend.compiles:
            backend.compile(work.job / COMPILED, work.workdir / "caches")
            phases.end("compile")
        backend.inspect()
        phases.lap("inspect")
        buffers = _buffers(spec, data.own, backend)
        self.buffers = len(buffers)
        phases.end("inputs")
        backend.bind(buffers[0], 0)
        phases.lap("bind")
        backend.enqueue(0)
        backend.wait(0)
        self.first_inference_ns = phases.end("first_inference", backend.memory)
        for slot, buffer in enumerate(buffers[1:], 1):
            backend.bind(buffer, slot)
        phases.lap("buffers")
        if spec.pattern.sizes:
            _visit(backend, range(0, len(buffers), len(buffers) // len(spec.pattern.sizes)))
            phases.lap("first_of_sizes")
        self.before = _check(backend, spec, data.golden, len(buffers))
        phases.lap("parity_before")
        self.waited = waiting.look(backend, _checked(buffers, spec), spec, len(buffers))
        phases.lap("waiting")
        self.overhead_ns = measure.timer_overhead_ns(spec.pattern.loop, backend.in_flight)
        phases.end("calibration", stage="check")
        self.timed = measure.measure(backend, len(buffers), spec.pattern, spec.timing, spec.seed + work.index)
        phases.end("loop", backend.memory, stage="timed")
        self.after = _check(backend, spec, data.golden, len(buffers))
        phases.lap("parity_after")
        if spec.labelled is not None and work.index == spec.timing.processes - 1:
            folder = work.workdir / "artifacts" / spec.labelled.artifact
            self.accuracy = accuracy.count(backend, spec, folder, 0)
            phases.lap("accuracy")

    def stages(self, memory: Footprint) -> Dict[str, Dict[str, int]]:
        return memory.stages


class _SelfTimed(_Trial):
    """A tool with a loop of its own. It shows its outputs once, after timing."""

    def run(self, work: Work, backend: Backend, data: _Data, phases: Phases) -> None:
        assert isinstance(backend, SelfTimed)  # noqa: S101 - for the type checker: run() chose this class by it
        if work.spec.labelled is not None:
            message = f"{work.spec.backend} runs a loop of its own and takes no labelled images"
            raise DeviceError("unsupported", "load", message, fix="leave --dataset out, or take another backend")
        golden = data.golden
        spec = golden.settled(work.spec) if golden else work.spec
        first = data.own.batches(spec)[0] if data.own else None
        batches = golden.batches(spec) if golden else []
        phases.lap("inputs")
        found = backend.time(loadable(work, backend), spec, batches, work.job, first)
        phases.lap("loop")
        self.load_ns, self.first_inference_ns = found.load_ns, found.first_inference_ns
        parts = {name: array("q", values) for name, values in found.parts.items()}
        samples = array("q", found.samples_ns)
        self.timed = Timed(array("q"), samples, found.elapsed_ns, found.warmup_ns, None, parts, {})
        if golden and found.outputs is not None and spec.parity_limit is not None:
            self.after = golden.compare(found.outputs, spec.parity_limit, spec.check, spec.limits)

    def stages(self, memory: Footprint) -> Dict[str, Dict[str, int]]:  # noqa: ARG002 - they are not of its process
        return {}


class _Layout:
    """Warm-up, timed part, its parts and sizes, one after another in one file of 64-bit little-endian integers."""

    def __init__(self, timed: Timed) -> None:
        self._end = 0
        self._data: List[bytes] = []
        self.warmup = self._add(timed.warmup)
        self.timed = self._add(timed.timed)
        self.parts: Dict[str, SampleRange] = {name: self._add(part) for name, part in timed.parts.items()}
        self.sizes: Optional[SampleRange] = self._add(timed.sizes) if timed.sizes else None

    @property
    def data(self) -> bytes:
        return b"".join(self._data)

    def _add(self, samples: Samples[int]) -> SampleRange:
        place = SampleRange(self._end, len(samples))
        self._end += len(samples)
        self._data.append(little_endian(samples))
        return place


def _buffers(spec: JobSpec, own: Optional[inputs.Golden], backend: Backend) -> Sequence[Dict[str, inputs.Array]]:
    """In rotation over more than any last cache on the way: the host's, which copies read, and the GPU's. After load,
    which settles how many the pattern needs."""
    at_least = measure.slots_needed(backend, spec.pattern)
    cache_bytes = max(last_cache_bytes(System.here()) or 0, backend.cache_bytes() or 0) or None
    if spec.pattern.sizes:
        return inputs.noise_of_sizes(spec, cache_bytes)
    if own is None:
        return inputs.noise(spec, cache_bytes, at_least)
    return inputs.data_buffers(own, spec, cache_bytes, at_least)


def _checked(buffers: Sequence[Dict[str, inputs.Array]], spec: JobSpec) -> Dict[str, inputs.Array]:
    """Of buffers of several sizes one of that which outputs are checked at: the slot after the timed ones keeps it."""
    return next(one for one in buffers if all(tuple(one[its.name].shape) == its.shape for its in spec.inputs))


def _visit(backend: Backend, slots: Iterable[int]) -> None:
    """Whatever a runtime does at the first sight of a size, it does here."""
    for slot in slots:
        backend.enqueue(slot)
        backend.wait(slot)


def _check(backend: Backend, spec: JobSpec, golden: Optional[inputs.Golden], slot: int) -> Optional[ParityCheck]:
    """Send the golden inputs through the timed path, in the slot after the timed ones."""
    if golden is None or spec.parity_limit is None:
        return None
    answers = runtimes.answers(backend, golden.batches(spec), slot)
    return golden.compare(answers, spec.parity_limit, spec.check, spec.limits)
