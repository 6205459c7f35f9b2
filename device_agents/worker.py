"""One fresh process that loads a model, checks it, warms it up and times it, then writes what it saw and exits.

It runs as a child of the supervisor (jobs.py), holds the accelerator's lock with it, and dies with it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from device_agents import backends, inputs, measure
from device_agents.backends.base import Backend, check_request, first_line
from device_agents.contract import (
    ErrorInfo,
    JobSpec,
    ParityCheck,
    ProcessResult,
    SampleRange,
    dumps,
    from_json,
    loads,
    to_json,
)
from device_agents.errors import DeviceError, io_error
from device_agents.files import write_atomic
from device_agents.kinds.cpu import last_cache_bytes
from device_agents.system import System

_PR_SET_PDEATHSIG = 1  # prctl(2)


def main(job: Path, artifact: Path, index: int) -> int:
    """Measure process `index` of the job; writes `process-<index>.json` and `.i64le`, or `.json` with an error."""
    started_ns = time.perf_counter_ns()
    spec = from_json(JobSpec, loads((job / "spec.json").read_bytes()))
    try:
        outcome = to_json(_measure(spec, job, artifact, index, started_ns))
    except DeviceError as error:
        outcome = {"error": to_json(error.info)}
    except MemoryError:
        outcome = {"error": to_json(_out_of_memory())}
    except OSError as error:
        outcome = {"error": to_json(io_error(error, "result", job))}
    except Exception as error:  # noqa: BLE001 - every runtime raises its own, and the reason must get home
        traceback.print_exc()
        message = f"{spec.backend} failed ({type(error).__name__}: {first_line(error)})"
        outcome = {"error": to_json(ErrorInfo("run_failed", "run", message, where=str(job / "log")))}
    write_atomic(job / f"process-{index}.json", dumps(outcome).encode())
    return 0 if "error" not in outcome else 1


def die_with(supervisor: int) -> None:
    """Have the kernel kill this process when its parent dies, so that no measurement outlives its supervisor."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:  # it died before the kernel was asked
        sys.exit("the supervisor is gone")


def _measure(spec: JobSpec, job: Path, artifact: Path, index: int, started_ns: int) -> ProcessResult:
    clock = _Stopwatch(started_ns)
    backend = backends.create(spec.backend)
    check_request(backend, spec)
    clock.lap("start")
    version = _start(backend, spec)
    import_ns = clock.lap("import")
    golden = inputs.read_golden(artifact / spec.golden_file, spec) if spec.golden_file else None
    buffers = inputs.noise(spec, last_cache_bytes(System.here()))
    clock.lap("inputs")
    try:
        backend.load(artifact / spec.model_file, spec)
        load_ns = clock.lap("load")
        for slot, buffer in enumerate(buffers):
            backend.bind(buffer, slot)
        clock.lap("bind")
        backend.enqueue(0)
        backend.wait(0)
        first_inference_ns = clock.lap("first_inference")
        before = _check(backend, spec, golden, len(buffers))
        clock.lap("parity_before")
        overhead_ns = measure.timer_overhead_ns()
        clock.lap("calibration")
        timed = measure.measure(backend, len(buffers), spec.pattern, spec.timing)
        clock.lap("loop")
        after = _check(backend, spec, golden, len(buffers))
        clock.lap("parity_after")
        switches = {"input_buffers": len(buffers), "runtime_version": version, **backend.switches()}
    finally:
        backend.close()
    write_atomic(job / f"process-{index}.switches.json", dumps(switches).encode())
    write_atomic(job / f"process-{index}.i64le", _little_endian(timed.warmup) + _little_endian(timed.timed))
    return ProcessResult(
        index=index,
        import_ns=import_ns,
        load_ns=load_ns,
        first_inference_ns=first_inference_ns,
        warmup=SampleRange(0, len(timed.warmup)),
        timed=SampleRange(len(timed.warmup), len(timed.timed)),
        elapsed_ns=timed.elapsed_ns,
        warmup_stable=timed.warmup_stable,
        timer_overhead_ns=overhead_ns,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        seconds={**clock.seconds, "warmup": timed.warmup_ns / 1e9, "timed": timed.elapsed_ns / 1e9},
        parity_before=before,
        parity_after=after,
    )


def _start(backend: Backend, spec: JobSpec) -> str:
    try:
        return backend.start()
    except ImportError as error:
        message = f"{spec.backend} cannot be imported ({error})"
        fix = f"install it for {sys.executable}, or name another interpreter with `python =` in fleet.toml"
        raise DeviceError("no_runtime", "load", message, fix=fix) from None


def _check(backend: Backend, spec: JobSpec, golden: Optional[inputs.Golden], slot: int) -> Optional[ParityCheck]:
    """Send the golden inputs through the timed path, in the slot after the timed ones."""
    if golden is None or spec.parity_limit is None:
        return None
    answers: List[Mapping[str, inputs.Array]] = []
    for batch in golden.batches(spec):
        backend.bind(batch, slot)
        backend.enqueue(slot)
        backend.wait(slot)
        answers.append({name: array.copy() for name, array in backend.outputs(slot).items()})
    return golden.compare(answers, spec.parity_limit)


def _little_endian(samples: measure.Samples[int]) -> bytes:
    if sys.byteorder == "big":
        samples = samples[:]
        samples.byteswap()
    return samples.tobytes()


def _out_of_memory() -> ErrorInfo:
    return ErrorInfo("out_of_memory", "run", "the worker ran out of memory", fix="use a smaller batch")


class _Stopwatch:
    """Seconds by phase; every lap begins where the last one ended."""

    def __init__(self, begin_ns: int) -> None:
        self._last_ns = begin_ns
        self.seconds: Dict[str, float] = {}

    def lap(self, name: str) -> int:
        now_ns = time.perf_counter_ns()
        lap_ns, self._last_ns = now_ns - self._last_ns, now_ns
        self.seconds[name] = lap_ns / 1e9
        return lap_ns


def command(job: Path, artifact: Path, index: int) -> List[str]:
    """The argv by which the supervisor, the caller, runs `main` in a fresh interpreter from the same agent."""
    program = os.path.abspath(sys.argv[0])  # noqa: PTH100 - a .pyz is a file to Python, whatever pathlib thinks
    places = ["--job", str(job), "--artifact", str(artifact), "--index", str(index)]
    return [sys.executable, program, "worker", *places, "--supervisor", str(os.getpid())]
