"""The child process of an export: one job in, progress and one result out. Started by export.child, never by hand."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from device_agents.contract import Precision, from_json, to_json
from export.data import golden
from export.models import ModelRef
from export.request import ExportRequest, from_job
from export.user_code import watch
from profiles.errors import EdgebenchError, ExportError
from profiles.progress import Progress

Job = dict[str, Any]
Handler = Callable[[Job, Progress], Job]


def main(answer_fd: int) -> None:
    """Read a job from stdin, do it, and write JSON lines to `answer_fd`."""
    os.set_inheritable(answer_fd, False)
    with os.fdopen(answer_fd, "w", encoding="utf-8") as stream:
        job = json.loads(sys.stdin.readline())
        threading.Thread(target=_end_with_parent, daemon=True).start()

        def say(**event: Any) -> None:
            stream.write(json.dumps(event) + "\n")
            stream.flush()

        phases = Phases(lambda what, done, total: say(progress={"what": what, "done": done, "total": total}))
        try:
            result = _do(job, phases)
        except BaseException as error:  # noqa: BLE001  nothing may leave this process untranslated
            traceback.print_exc()  # to the log
            say(error={**to_json(_translate(error).info()), "foreign": not isinstance(error, EdgebenchError)})
        else:
            say(result={**result, "seconds": phases.seconds()})


class Phases:
    """Progress that keeps how long every step took: a step lasts until the next one begins."""

    def __init__(self, say: Callable[[str, int, int], None]) -> None:
        self._say = say
        self._what = "start"
        self._since = time.monotonic()
        self._seconds: dict[str, float] = {}

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        self._end(what)
        self._say(what, done, total)

    def seconds(self) -> dict[str, float]:
        """Of every step, by its name, the one that runs included."""
        self._end(self._what)
        return self._seconds

    def _end(self, following: str) -> None:
        now = time.monotonic()
        self._seconds[self._what] = self._seconds.get(self._what, 0.0) + now - self._since
        self._what, self._since = following, now


def _do(job: Job, progress: Progress) -> Job:
    return _HANDLERS[job["op"]](job, progress)


def _draft(job: Job, progress: Progress) -> Job:
    """A framework's graph and answers, in the folder `out`."""
    ref, request = _asked(job)
    exporter = _framework(request).Exporter(ref.name, progress)
    draft: Job = to_json(exporter.export(ref, request, Path(job["out"])))
    return draft


def _weights(job: Job, progress: Progress) -> Job:
    ref, request = _asked(job)
    path: Path = _framework(request).write_weights(ref, request, Path(job["out"]), progress)
    return {"file": path.name}


def _answers(job: Job, progress: Progress) -> Job:
    """The framework's own outputs for the inputs of a file, at the precision that the job names; `joined` says whether
    the inputs are written beside them."""
    ref, request = _asked(job)
    request = replace(request, precision=Precision(job["precision"]))
    inputs, _ = golden.load(Path(job["inputs"]))
    found = _framework(request).answers(ref, request, inputs, progress)
    golden.save(Path(job["out"]), inputs if job["joined"] else {}, found)
    return {}


def _native(job: Job, progress: Progress) -> Job:
    """What the framework runs itself, in the folder `out`, and what it answers to the inputs of a file."""
    ref, request = _asked(job)
    inputs, _ = golden.load(Path(job["inputs"]))
    written, found = _framework(request).write_native(ref, request, inputs, Path(job["out"]), progress)
    golden.save(Path(job["answers"]), {}, found)
    told: Job = to_json(written)
    return told


def _values(job: Job, progress: Progress) -> Job:
    """What the framework has on its way to the outputs, by the names that tensors have in the graph at `other`."""
    ref, request = _asked(job)
    module = _framework(request)
    if not hasattr(module, "write_values"):
        raise ExportError(f"{request.framework} does not tell what it computes on the way")
    inputs, _ = golden.load(Path(job["golden"]))
    module.write_values(ref, request, inputs, Path(job["other"]), Path(job["out"]), progress)
    return {}


def _elsewhere(module: str) -> Handler:
    def handle(job: Job, progress: Progress) -> Job:
        result: Job = import_module(module).compute(job, progress)
        return result

    return handle


_HANDLERS: dict[str, Handler] = {
    "draft": _draft,
    "weights": _weights,
    "answers": _answers,
    "native": _native,
    "values": _values,
    "gate": _elsewhere("export.judging.gate"),
    "convert": _elsewhere("export.precision.job"),
    "samples": _elsewhere("export.data.samples"),
    "explain": _elsewhere("export.judging.explain"),
    "reference": _elsewhere("export.judging.reference"),
}


def _asked(job: Job) -> tuple[ModelRef, ExportRequest]:
    paths = {"path": Path(job["ref"]["path"])} if "path" in job["ref"] else {}
    ref, request = from_json(ModelRef, {**job["ref"], **paths}), from_job(job["request"])
    if ref.kind == "factory" or request.unsafe:
        watch(Path.cwd())
    if ref.kind == "factory":
        _go_to(ref.folders)
    return ref, request


def _go_to(folders: Sequence[str]) -> None:
    """Where the operator was: Python finds the module there, and the module the files that it names."""
    sys.path[:0] = folders
    for folder in folders[:1]:
        with contextlib.suppress(FileNotFoundError):  # it is gone, and the module is installed
            os.chdir(folder)


def _framework(request: ExportRequest) -> Any:
    """The file name of a framework is its registration."""
    return import_module(f"export.frameworks.{request.framework}")


def _translate(error: BaseException) -> EdgebenchError:
    """Ours as it is; anything else as one sentence. The log has the traceback."""
    if isinstance(error, EdgebenchError):
        return error
    if isinstance(error, MemoryError):
        return ExportError("the export ran out of memory", stage="export")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ExportError(f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__, stage="export")


def _end_with_parent() -> None:
    """stdin stays open for as long as the parent lives: at its end nobody waits for us."""
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)
