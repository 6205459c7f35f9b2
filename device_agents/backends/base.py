"""What every runtime looks like to the worker."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from device_agents.contract import EngineReport, JobSpec, Layer, Reading, Scalar
from device_agents.errors import DeviceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.generic]]
else:
    Arrays = Mapping[str, Any]  # numpy is not imported here: a device may not have it


class Parts(NamedTuple):
    """One inference taken apart, in nanoseconds: three parts by the device's own clock, `enqueue` by the host's."""

    h2d_ns: int
    compute_ns: int
    d2h_ns: int
    enqueue_ns: int


class Built(NamedTuple):
    """What a build came to, beside the file it wrote. `layers` are the inspector's, empty where it cannot be asked
    without a GPU; `device_memory_bytes` is what an execution needs; `seconds` by phase."""

    layers: Tuple[Layer, ...]
    device_memory_bytes: Optional[int]
    warnings: Tuple[str, ...]
    seconds: Dict[str, float]


class Backend:
    """A runtime that loads one model and answers for numbered slots of bound inputs.

    A subclass is called `Backend`, lives in `device_agents/backends/<name>.py`, and declares what it can do:
    `patterns` lists its load patterns (with `sizes`, slots may have images of different ones), `options` its options
    with what they mean; what is not listed is refused.
    The calls come in this order: start, load, then bind a slot before it is enqueued, wait after each enqueue, and
    parts after a wait. Where `builds` is true, `load` gets the path of the engine that `build` wrote, in this process
    or another. Where `compiles` is true after load, `compile` comes next. `in_flight` is how many inferences the
    pipelined pattern keeps under way. `packages` are the modules whose files a process reads to start: the runtime and
    what it brings along, as far as they are there; `gpu_packages` those that it reads beside them where there is a GPU.
    """

    patterns: ClassVar[Tuple[str, ...]] = ("serial",)
    options: ClassVar[Dict[str, str]] = {}
    build_options: ClassVar[Dict[str, str]] = {}
    builds: ClassVar[bool] = False
    packages: ClassVar[Tuple[str, ...]] = ()
    gpu_packages: ClassVar[Tuple[str, ...]] = ("nvidia",)
    compiles: bool = False
    in_flight: int = 2

    def start(self) -> str:
        """Import the runtime and return its version. Errors: ImportError."""
        raise NotImplementedError

    def look(self) -> str:
        """The version that `start` would return, for a probe: where importing takes seconds, without that. Errors:
        ImportError, and whatever a broken runtime raises."""
        return self.start()

    def facts(self) -> Dict[str, Reading]:
        """After look: what a probe tells of the runtime beside its version, such as its providers or its DLA cores."""
        return {}

    def made_of(self, spec: JobSpec) -> Dict[str, Scalar]:
        """After start: what makes an engine of this backend another one, apart from artifact, shapes, options and
        device: the runtime's name and version to the build number, typing, target. The values of `build_options` that
        the spec leaves out are given as they default."""
        raise NotImplementedError

    def build(self, model: Path, out: Path, spec: JobSpec, caches: Path, tell: Callable[[str], None]) -> Built:
        """Build an engine of the ONNX file `model` into the file `out`, telling progress in a few words.

        `caches` is a folder that outlives the job, for timing caches. Errors: DeviceError of stage `build`; nothing
        is left at `out` then.
        """
        raise NotImplementedError

    def load(self, path: Path, spec: JobSpec) -> None:
        """Load the model, or the engine, for the concrete shapes of `spec`. Errors: DeviceError."""
        raise NotImplementedError

    def compile(self, job: Path, shared: Path) -> None:
        """Compile now what the runtime would at its first inferences, so that it counts as neither these nor loading.

        What was compiled may be kept in the folder `job` for the job's next process, or in `shared` for other jobs.
        Errors: DeviceError.
        """
        raise NotImplementedError

    def inspect(self) -> None:
        """After load: refuse what would not compute as it was asked. Looking takes time that no application spends, so
        it is neither loading nor the first inference. Errors: DeviceError."""

    def bind(self, inputs: Arrays, slot: int) -> None:
        """Make `inputs` (name to array, shapes and dtypes of the spec) what `slot` computes. Keeps no copy to come."""
        raise NotImplementedError

    def enqueue(self, slot: int) -> None:
        """Start the inference of `slot`; may return before it has finished."""
        raise NotImplementedError

    def wait(self, slot: int) -> None:
        """Return when the device has finished `slot`."""
        raise NotImplementedError

    def drain(self) -> bool:
        """Wait until the device has nothing left to do, whoever gave it what, by another way than `wait`; at once
        False where the runtime has none. Asked before anything is timed, to see that `wait` waits."""
        return False

    def parts(self, slot: int) -> Optional[Parts]:  # noqa: ARG002 - most runtimes do not tell
        """The parts of the inference of `slot` that was awaited last; asked outside the timed interval."""
        return None

    def outputs(self, slot: int) -> Arrays:
        """The outputs of the last finished inference of `slot`, by name; valid until it is enqueued again."""
        raise NotImplementedError

    def switches(self) -> Dict[str, Scalar]:
        """Every setting that can move a number, as it was really set."""
        return {}

    def readings(self) -> Dict[str, Reading]:
        """After everything: what the runtime counted in this process, such as `recompiles`."""
        return {}

    def memory(self) -> Dict[str, int]:
        """Bytes by what uses them, after the first inference: `engine_device`, `gpu_used` ..."""
        return {}

    def cache_bytes(self) -> Optional[int]:
        """After load: the last cache of the device that computes, which inputs in rotation have to outgrow; None where
        that is the processor's, or unknown."""
        return None

    def layers(self, slot: int, inferences: int) -> Tuple[Layer, ...]:  # noqa: ARG002
        """The engine's layers with their mean times over profiled inferences of `slot`: in a process of its own, as
        profiling slows what it measures. Empty where the runtime cannot tell."""
        return ()

    def command(self, spec: JobSpec, engine: Optional[EngineReport]) -> str:  # noqa: ARG002
        """The trtexec command line that measures the same with this version of TensorRT; empty where there is none."""
        return ""

    def close(self) -> None:
        """Free the device's memory. Safe to call twice."""


class Runner:
    """What computes once a model is loaded: the calls of `Backend` that are about slots."""

    def bind(self, inputs: Arrays, slot: int) -> None:
        raise NotImplementedError

    def enqueue(self, slot: int) -> None:
        raise NotImplementedError

    def wait(self, slot: int) -> None:
        """Nothing to do where enqueue returns when it has finished."""

    def parts(self, slot: int) -> Optional[Parts]:  # noqa: ARG002
        """None where it computes on the processor, or the runtime does not tell."""
        return None

    def outputs(self, slot: int) -> Arrays:
        raise NotImplementedError

    def memory(self) -> Dict[str, int]:
        return {}

    def forget(self, slot: int) -> None:
        """Let go of what the slot holds."""
        raise NotImplementedError

    def release(self) -> None:
        """Let go of what is shared with other runners, before that is freed."""

    def close(self) -> None:
        """Free what the runtime does not free by itself."""


class Runs(Backend):
    """A backend whose `load` sets the runner that does the rest."""

    def __init__(self) -> None:
        self._runner: Optional[Runner] = None

    def bind(self, inputs: Arrays, slot: int) -> None:
        self._loaded().bind(inputs, slot)

    def enqueue(self, slot: int) -> None:
        self._loaded().enqueue(slot)

    def wait(self, slot: int) -> None:
        self._loaded().wait(slot)

    def parts(self, slot: int) -> Optional[Parts]:
        return self._loaded().parts(slot)

    def outputs(self, slot: int) -> Arrays:
        return self._loaded().outputs(slot)

    def memory(self) -> Dict[str, int]:
        return self._loaded().memory()

    def close(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def _loaded(self) -> Runner:
        if self._runner is None:
            raise RuntimeError("load comes first")
        return self._runner


class SelfTimed(Backend):
    """A tool that runs and times the inferences itself: bind, enqueue, wait and parts are not asked of it."""

    def time(
        self, path: Path, spec: JobSpec, golden: Sequence[Arrays], scratch: Path, own: Optional[Arrays] = None
    ) -> OwnTimes:
        """Time `path` with the tool's own loop, and send the golden batches through the same engine.

        `own` is a batch of the operator's, to be timed instead of what the tool makes up; `scratch` is a folder for
        the tool's files. Errors: DeviceError.
        """
        raise NotImplementedError


class OwnTimes(NamedTuple):
    """What a self-timed tool measured: latencies in ns, parts with as many samples each (or none), the wall time of
    the timed part, how many ns it warmed up for, the outputs of every golden batch where it can tell them."""

    samples_ns: Sequence[int]
    parts: Dict[str, Sequence[int]]
    elapsed_ns: int
    warmup_ns: int
    load_ns: int
    first_inference_ns: int
    outputs: Optional[Sequence[Arrays]]


def check_request(backend: Backend, spec: JobSpec) -> None:
    """Refuse a load pattern or an option that the backend does not have. Errors: DeviceError `unsupported`."""
    if spec.pattern.loop not in backend.patterns:
        can = ", ".join(backend.patterns)
        raise DeviceError(
            "unsupported", "load", f"{spec.backend} cannot run the load pattern {spec.pattern}", fix=f"it can: {can}"
        )
    allowed = {**backend.options, **backend.build_options}
    for name in spec.options:
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise DeviceError("unsupported", "load", f"{spec.backend} has no option {name!r}", fix=f"it has: {known}")


def every_size(spec: JobSpec) -> List[JobSpec]:
    """The job at each size that it will see: the one that is checked, then those that its load pattern draws."""
    return [spec, *(spec.at_side(side) for side in spec.pattern.sizes if side != spec.side)]


def zeros(spec: JobSpec) -> Arrays:
    """Inputs of the job's shapes and types, for what is compiled by them."""
    import numpy as np

    return {one.name: np.zeros([int(dim) for dim in one.shape], one.dtype) for one in spec.inputs}


def first_line(error: Exception) -> str:
    """What a runtime's exception says, short enough for a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
