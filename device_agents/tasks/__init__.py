"""What a worker can be told to do, one file a task: `run(work)` returns what goes home as JSON."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from device_agents.contract import ENGINE_FILE, EngineUse, JobSpec, from_json, loads

BUILDING = "building: "
"""How a line of the job's log begins that tells how far a build is."""

COMPILED = "compiled"
"""The folder of a job in which its processes keep what a runtime compiled, one for the next."""


@dataclass(frozen=True)
class Work:
    """A worker's share of a job."""

    spec: JobSpec
    job: Path
    index: int

    @property
    def workdir(self) -> Path:
        return self.job.parent.parent

    @property
    def artifact(self) -> Path:
        return self.workdir / "artifacts" / self.spec.artifact

    @property
    def model(self) -> Path:
        """The artifact's model file: ONNX, from which an engine is built."""
        return self.artifact / self.spec.model_file

    @property
    def engine(self) -> EngineUse:
        """What the last build task of this job came to."""
        last = max(self.job.glob("process-build-*.json"))
        return from_json(EngineUse, loads(last.read_bytes()))

    @property
    def engine_file(self) -> Path:
        """The engine to load: the one that was given, or this job's own name of the one that was built, which another
        job on this host may replace meanwhile."""
        given = self.spec.engine.given
        return self.workdir / "artifacts" / given.artifact / given.file.name if given else self.job / ENGINE_FILE

    def repeatable(self, command: str) -> str:
        """A command line with the engine's place in the cache: its name in the job's folder goes with the job."""
        lasting = self.workdir / "engines" / self.engine.report.key / ENGINE_FILE
        return command.replace(str(self.job / ENGINE_FILE), str(lasting))


def load(name: str) -> Callable[[Work], Any]:
    """The task of that name: build, page_cache, trial, layers or opinion."""
    run: Callable[[Work], Any] = importlib.import_module(f"device_agents.tasks.{name}").run
    return run


def outcome_path(job: Path, task: str, index: int) -> Path:
    """Where a worker writes what came of its task."""
    return job / f"process-{task}-{index}.json"
