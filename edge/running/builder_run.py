"""A builder's part of a run: the engines that its class waits for, built there, brought home, kept as artifacts."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence

from edge.agent.finding import Found
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.planning.classes import Build
from edge.planning.control import control_of
from edge.running.device_work import DeviceWork, Tools, check_request
from edge.running.engines import bring_home
from edge.running.jobspec import job_spec
from edge.running.journal import Journal
from export.artifact import Artifact
from export.cache import intact
from profiles.errors import (
    ConfigError,
    ConnectError,
    EdgebenchError,
    ExportError,
    HostKeyError,
    RunError,
    Timeout,
)

_UNCHECKED = "built for its class: every device that loads it checks it"


class BuilderRun(DeviceWork):
    """Makes the builds of one device; each build's future gets the engine or why there is none. `ended` is set once
    nothing more is built there."""

    def __init__(self, device: Device, builds: Sequence[Build], journal: Journal, tools: Tools) -> None:
        super().__init__(device, journal, tools)
        self.ended = threading.Event()
        self.building_s = 0.0
        self._builds = builds

    def run(self) -> None:
        """Build what the journal does not know as built. Whatever goes wrong ends in the builds."""
        try:
            todo = [build for build in self._builds if not self._had(build)]
            if todo:
                self._patiently(
                    lambda session: self._build_all(session, todo), lambda: sum(one.engine.done() for one in todo)
                )
        except EdgebenchError as error:
            self._fail_rest(error)
        except Exception as error:  # noqa: BLE001 - those who wait must be told
            self._fail_rest(RunError(f"edgebench failed ({type(error).__name__}: {error})", where=self.device.name))
        finally:
            self._fail_rest(RunError("stopped", where=self.device.name))
            self.ended.set()

    def _had(self, build: Build) -> bool:
        """Whether an earlier process of this run brought the engine home, by the runtime that is still there."""
        known = self._journal.of(build).done
        if known is None:
            return False
        with contextlib.suppress(ConfigError, ExportError):
            engine = self._tools.artifacts.get(known)
            version = self._tools.survey.version(self.device.name, build.cell.backend)
            if version in (None, engine.produced_by.get(build.cell.backend)) and intact(engine):
                build.engine.set_result(engine)
                return True
        return False

    def _build_all(self, session: Session, builds: Sequence[Build]) -> None:
        found = self._found(session, [build.cell for build in builds])
        for build in builds:
            if not build.engine.done():
                self._check_stopped()
                self._build(session, build, found)

    def _build(self, session: Session, build: Build, found: Mapping[str, Found]) -> None:
        try:
            build.engine.set_result(self._one(session, build, found))
        except (ConnectError, HostKeyError, Timeout):
            raise  # the other builds share this one's fate
        except EdgebenchError as error:
            if self._stopped:
                raise
            if self._once_more(build, error):
                self._build(session, build, found)
            else:
                self._fail(build, error)

    def _one(self, session: Session, build: Build, found: Mapping[str, Found]) -> Artifact:
        job = self._join(session, build) or self._start(session, build, found)
        self._tell(f"bringing home {build.label}")
        store = self._tools.artifacts
        engine, result = bring_home(session, job, store, build.artifact, cell=build.cell, unchecked=_UNCHECKED)
        self._under_way = None
        if result.engine is not None and not result.engine.reused:
            self.building_s += result.seconds.get("build", 0.0)
        self._journal.built(build, engine.id)
        return engine

    def _start(self, session: Session, build: Build, found: Mapping[str, Found]) -> str:
        check_request(build.cell, found, self.device.name)
        if not found[build.cell.backend].report.builds:
            raise RunError(f"{build.cell.backend} builds no engine", where=self.device.name, stage="probe")
        self._ship(session, build.artifact)
        job, _ = self._journal.begin(build, self._origin(build.cell, build.artifact))
        self._under_way = (build, job)
        doing, rebuild = f"building {build.label}", self._anew(build)
        self._say(doing)
        control = control_of(build.cell, self.device)
        spec = job_spec(job, build.cell, build.artifact, task="build", builds=True, rebuild=rebuild, control=control)
        session.run(spec, self._follower(doing, build))
        return job

    def _fail(self, build: Build, error: EdgebenchError) -> None:
        self._under_way = None
        self._journal.failed(build, error.info())
        build.engine.set_exception(error)

    def _fail_rest(self, error: EdgebenchError) -> None:
        """A job under way goes on without us, and the journal keeps it for the next time."""
        for build in self._builds:
            if not build.engine.done():
                build.engine.set_exception(error)
