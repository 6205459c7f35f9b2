"""The life of one job: wait for the accelerator, run its workers one after another, put their results together.

Detached from the connection that started it; bounded by a monotonic deadline; the only writer of the job's folder
beside its workers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import time
import traceback
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Dict, Iterator, List, NoReturn, Optional, Tuple, Union

from device_agents import accelerator, backends, locks, page_cache, state, status, tasks
from device_agents.contract import (
    COUNTED,
    ENGINE_FILE,
    SCHEMA,
    EngineUse,
    ErrorInfo,
    JobResult,
    JobSpec,
    JobStatus,
    Layer,
    Opinion,
    ProcessResult,
    Reading,
    Scalar,
    dumps,
    from_json,
    loads,
)
from device_agents.control import holding
from device_agents.cooling import cool_down
from device_agents.errors import DeviceError, io_error
from device_agents.files import verify, write_atomic
from device_agents.gpus import Choice
from device_agents.kinds import cpu
from device_agents.page_cache import Cached
from device_agents.processes import Processes
from device_agents.system import Readings, System
from device_agents.tasks import COMPILED
from device_agents.watcher import Watcher

PREPARING = "preparing"
_LONG_S, _HEARD_S = 5.0, 2.0
_FIRST_IDLE_S = 0.5  # long enough for idle power and for other people's work to be seen
_UNLOADABLE = ("engine_damaged", "engine_foreign")


class _Cancelled(Exception):
    pass


def main(workdir: Path, job: Path, spec: JobSpec, preparing: int) -> int:
    """Run the job to its end and write its status; returns the exit code of the supervisor.

    `preparing` is the descriptor of a lock that is given up, closed, as soon as the job begins to measure.
    """
    signal.signal(signal.SIGTERM, _cancel)
    try:
        _Job(workdir, job, spec, preparing).run()
    except DeviceError as error:
        return finish(job, "failed", error.info)
    except _Cancelled:
        return finish(job, "cancelled")
    except OSError as error:
        return finish(job, "failed", io_error(error, "result", job))
    except Exception as error:  # noqa: BLE001 - whatever it is, the reason must get home
        traceback.print_exc()
        message = f"the agent failed ({type(error).__name__}: {str(error)[:300]})"
        return finish(job, "failed", ErrorInfo("agent_failed", "run", message, where=str(job / "log")))
    return finish(job, "done")


def finish(job: Path, name: str, error: Optional[ErrorInfo] = None) -> int:
    """Write the job's last status, making room first when there is none; returns the supervisor's exit code."""
    _tidy(job, keep_result=name == "done")
    status.write(job, JobStatus(job.name, name, boot_id=status.process_identity(os.getpid())[0], error=error))
    return 0 if name == "done" else 1


class _Job:
    def __init__(self, workdir: Path, job: Path, spec: JobSpec, preparing: int) -> None:
        self._preparing = preparing
        self._workdir = workdir
        self._folder = job
        self._spec = spec
        self._begin = time.monotonic()
        boot_id, ticks = status.process_identity(os.getpid())
        self._status = JobStatus(spec.job, "queued", os.getpid(), ticks, boot_id)

    def run(self) -> None:
        self._say("queued", "waiting for the accelerator")
        system = System.here()
        lock, choice = accelerator.hold(system, self._spec)  # waiting for it has a limit of its own
        system = system if choice is None else choice.seen(system)
        self._environment = {} if choice is None else choice.environment
        self._processes = Processes(self._folder, self._spec, lock, self._environment)
        started_at = locks.now()
        waited_s = time.monotonic() - self._begin
        key = accelerator.key_of(system, choice)
        _, left = holding.recover(self._workdir, system, key)
        if left:
            raise left[0]
        with holding.held(self._workdir, self._spec.job, self._spec.control, system, key, [self._preparing]) as held:
            result = self._measure(system, choice, started_at, waited_s)
            self._say("running", "putting back what was changed")
        self._say("running", "writing the result")
        result = replace(result, controlled=tuple(held))
        write_atomic(self._folder / "result.json", dumps(result).encode())

    def _measure(self, system: System, choice: Optional[Choice], started_at: str, waited_s: float) -> JobResult:
        """On a device that stands as the job wants it: what it is then is what is measured."""
        _, identity, context = state.describe(system, choice, self._spec)
        identity.update(self._spec.container.identity if self._spec.container else {})
        self._say("running", "checking the artifact")
        self._verify()
        verify_s = time.monotonic() - self._begin - waited_s
        engine = self._engine()
        build_s = time.monotonic() - self._begin - waited_s - verify_s
        cooled_s = self._cool_down(system)
        context["temperature_c"] = state.temperature(system, self._spec)
        with Watcher(self._folder, self._environment) as self._watcher:
            processes, samples, engine = self._trials(system, engine)
            watch, seen = self._watcher.stop(len(samples) // 8) if processes else (None, b"")
        context.update(_counted(processes))
        samples += seen
        layers, command, reason = self._layers(engine)
        if reason:
            context["layer_profile"] = Reading(unknown=reason)
        opinion = self._opinion(engine)
        write_atomic(self._folder / "samples.i64le", samples)
        return JobResult(
            schema=SCHEMA,
            job=self._spec.job,
            artifact=self._spec.artifact,
            backend=self._spec.backend,
            started_at=started_at,
            switches=self._switches(),
            identity=identity,
            context=context,
            processes=tuple(processes),
            samples_count=len(samples) // 8,
            samples_sha256=hashlib.sha256(samples).hexdigest(),
            seconds={
                "waited": waited_s, "verify": verify_s, "build": build_s, "cooled": cooled_s,
                "total": time.monotonic() - self._begin,
            },
            task=self._spec.task,
            engine=engine,
            layers=layers,
            command=command,
            opinion=opinion,
            watch=watch,
        )  # fmt: skip

    def _cool_down(self, system: System) -> float:
        if self._spec.cool_to_c is None or self._spec.task == "build":
            return 0.0
        self._say("running", "cooling down")
        return cool_down(lambda: state.temperature(system, self._spec), self._spec.cool_to_c, self._spec.cool_cap_s)

    def _verify(self) -> None:
        spec = self._spec
        artifacts = self._workdir / "artifacts"
        verify(artifacts / spec.artifact, spec.files)
        if spec.data is not None:
            verify(artifacts / spec.data.artifact, (spec.data.file,))
        if spec.labelled is not None:
            verify(artifacts / spec.labelled.artifact, spec.labelled.files)

    def _engine(self, attempt: int = 0) -> Optional[EngineUse]:
        """The engine to time, where the backend builds one. A second attempt builds it anew."""
        if not backends.create(self._spec.backend).builds:
            if self._spec.task == "build":
                raise DeviceError("unsupported", "build", f"{self._spec.backend} builds no engines")
            return None
        self._say("running", "waiting for another build on this host")
        with self._only_builder():
            self._say("running", "building the engine")
            return from_json(EngineUse, self._processes.work("build", attempt))

    @contextlib.contextmanager
    def _only_builder(self) -> Iterator[None]:
        """Jobs on two GPUs of a host share its engines: one builds, the other finds what it built. The wait is not
        this job's time."""
        begin = time.monotonic()
        lock = locks.open_lock(self._workdir / "building.lock")
        try:
            locks.acquire(lock, self._spec.lock_timeout_s)
            self._processes.deadline += time.monotonic() - begin
            yield
        except locks.Busy:
            message = f"another job on this host builds engines for longer than {self._spec.lock_timeout_s:g} s"
            raise DeviceError("busy", "build", message, fix="wait, or cancel that job") from None
        finally:
            os.close(lock)

    def _trials(
        self, system: System, engine: Optional[EngineUse]
    ) -> Tuple[List[ProcessResult], bytes, Optional[EngineUse]]:
        """Every process with its samples, and the engine that they ran: one that does not load is built anew once."""
        if self._spec.task == "build":
            return [], b"", engine
        processes: List[ProcessResult] = []
        samples, cached = b"", self._cached(0)
        for index in range(self._spec.timing.processes):
            self._say("running", f"process {index + 1} of {self._spec.timing.processes}")
            if index == 0:
                self._watcher.start()
                self._leave_in_peace()
            before = {"busy_share_idle_window": self._idle_window(system, index == 0), **state.snapshot(system)}
            try:
                outcome = self._processes.work("trial", index)
            except DeviceError as error:
                if index or engine is None or error.info.code not in _UNLOADABLE:
                    raise
                if self._spec.engine.given:
                    info = replace(error.info, fix="let the device build its own: --engines own")
                    raise DeviceError(info.code, info.stage, info.message, where=info.where, fix=info.fix) from None
                fresh = self._engine(attempt=1)
                engine = fresh and replace(fresh, why=f"built anew: {error.info.message}")
                outcome = self._processes.work("trial", index)
            found = from_json(ProcessResult, outcome)
            after = state.snapshot(system)
            was_cached, cached = cached, self._cached(index + 1)
            offset = len(samples) // 8
            samples += (self._folder / f"process-{index}.i64le").read_bytes()
            readings = {**_named(before, "before"), **_named(after, "after"), **_page_cache(was_cached, cached)}
            processes.append(replace(_shift(found, offset), state={**found.state, **readings}))
        return processes, samples, engine

    def _cached(self, index: int) -> Union[Cached, str]:
        """What lies in the page cache before the process of that index, or why nobody can tell: that costs no
        measurement. Asked from here where the files are here: a process more is a tenth of a second more."""
        try:
            if self._spec.container is None:
                found: Cached = tasks.load("page_cache")(tasks.Work(self._spec, self._folder, index))
                return found
            return from_json(Cached, self._processes.work("page_cache", index))
        except OSError as error:
            return error.strerror or type(error).__name__
        except DeviceError as error:
            if error.info.code == "deadline":
                raise
            return error.info.message

    def _leave_in_peace(self) -> None:
        """From here on nobody asks how far the job is. Who was told of long preparations hears that they are over and
        comes back to wait, in a process of its own, which must not count as somebody else's work."""
        os.close(self._preparing)
        if time.monotonic() - self._begin > _LONG_S:
            time.sleep(_HEARD_S)

    def _idle_window(self, system: System, first: bool) -> Reading:
        """How busy the accelerator that is about to be timed is while we do nothing. The first one is watched."""
        on_cpu = self._spec.options.get("provider") == "cpu"  # on a Jetson, too: there the kind is the board
        look = cpu.busy_share if on_cpu else state.busy_share
        if not first:
            return look(system)
        with self._watcher.idle():
            return look(system, _FIRST_IDLE_S)

    def _layers(self, engine: Optional[EngineUse]) -> Tuple[Tuple[Layer, ...], str, str]:
        """Layers with their times, the equivalent command, and why there are none: a profile that fails costs no
        measurement."""
        if engine is None or self._spec.task == "build":
            return (), "", ""
        self._say("running", "profiling the layers")
        try:
            outcome = self._processes.work("layers", 0)
        except DeviceError as error:
            return (), "", error.info.message
        return tuple(from_json(Layer, layer) for layer in outcome["layers"]), outcome["command"], outcome["why_none"]

    def _opinion(self, engine: Optional[EngineUse]) -> Optional[Opinion]:
        """What another tool says of the engine: one that fails costs no measurement."""
        if self._spec.check_with is None or engine is None or self._spec.task == "build":
            return None
        self._say("running", f"asking {self._spec.check_with}")
        try:
            return from_json(Opinion, self._processes.work("opinion", 0))
        except DeviceError as error:
            return Opinion(self._spec.check_with, "", "", {}, error=error.info)

    def _switches(self) -> Dict[str, Scalar]:
        path = self._folder / "process-0.switches.json"
        return dict(loads(path.read_bytes())) if self._spec.task != "build" else {}

    def _say(self, name: str, phase: str) -> None:
        status.write(self._folder, replace(self._status, state=name, phase=phase))


def _tidy(job: Path, keep_result: bool) -> None:
    leftovers: List[Path] = [*job.glob("process-*"), *job.glob("*.part"), job / PREPARING, job / ENGINE_FILE]
    if not keep_result:
        leftovers += [job / "samples.i64le", job / "result.json"]
    for path in leftovers:
        path.unlink(missing_ok=True)
    shutil.rmtree(str(job / COMPILED), ignore_errors=True)


def _counted(processes: List[ProcessResult]) -> Readings:
    """The most that any process counted of each thing that runtimes count."""
    most: Readings = {}
    for process in processes:
        for name in COUNTED:
            reading = process.state.get(name)
            if reading is not None and (name not in most or most[name].value < reading.value):  # type: ignore[operator]
                most[name] = reading
    return most


def _shift(result: ProcessResult, offset: int) -> ProcessResult:
    parts = {name: part.after(offset) for name, part in result.parts.items()}
    sizes = result.sizes and result.sizes.after(offset)
    warmup, timed = result.warmup.after(offset), result.timed.after(offset)
    return replace(result, warmup=warmup, timed=timed, parts=parts, sizes=sizes)


def _page_cache(before: Union[Cached, str], after: Union[Cached, str]) -> Readings:
    if isinstance(before, str) or isinstance(after, str):
        return {"page_cache": Reading(unknown=before if isinstance(before, str) else str(after))}
    return page_cache.readings(before, after)


def _named(readings: Readings, when: str) -> Readings:
    return {f"{name}_{when}": reading for name, reading in readings.items()}


def _cancel(_signum: int, _frame: Optional[FrameType]) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the group's other members end by it; this one tidies up
    raise _Cancelled
