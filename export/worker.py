"""The child process of an export: one job in, progress and one result out. Started by export.child, never by hand."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from device_agents.contract import from_json, to_json
from export.artifact import ExportRequest
from profiles.errors import EdgebenchError, ExportError
from profiles.schema import ModelProfile


def main(answer_fd: int) -> None:
    """Read a job from stdin, do it, and write JSON lines to `answer_fd`."""
    os.set_inheritable(answer_fd, False)
    with os.fdopen(answer_fd, "w", encoding="utf-8") as stream:
        job = json.loads(sys.stdin.readline())
        threading.Thread(target=_end_with_parent, daemon=True).start()

        def say(**event: Any) -> None:
            stream.write(json.dumps(event) + "\n")
            stream.flush()

        def progress(what: str, done: int = 0, total: int = 0) -> None:
            say(progress={"what": what, "done": done, "total": total})

        try:
            result = _do(job, progress)
        except BaseException as error:  # noqa: BLE001  nothing may leave this process untranslated
            traceback.print_exc()  # to the log
            say(error={**to_json(_translate(error).info()), "foreign": not isinstance(error, EdgebenchError)})
        else:
            say(result=result)


def _do(job: dict[str, Any], progress: Callable[..., None]) -> dict[str, Any]:
    """The file name of a framework is its registration."""
    if job["op"] == "answer":
        answers: dict[str, Any] = import_module("export.reference").compute(job, progress)
        return answers
    module = import_module(f"export.frameworks.{job['framework']}")
    paths = {name: Path(value) for name, value in job["paths"].items()}
    request = from_json(ExportRequest, {**job["request"], **paths})
    profile = from_json(ModelProfile, job["profile"]) if job["profile"] else None
    out = Path(job["out"])
    if job["op"] == "weights":
        return {"file": module.write_weights(profile, request, out, progress).name}
    artifact: dict[str, Any] = to_json(module.Exporter(job["name"], progress).export(profile, request, out))
    del artifact["path"]
    return artifact


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
