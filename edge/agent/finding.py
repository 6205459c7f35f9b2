"""Finding the runtime on a device: which of its Pythons, on the host or in its container, imports which backend."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from device_agents.contract import BackendReport, Container, ProbeReport, Reading
from edge.agent.calls import CALL_S, Calls
from edge.agent.runtime import (
    NEVER_STARTED,
    container,
    host_pythons,
    look_at_image,
    merged,
    pythons,
    shown,
    told_of,
    unanswered,
)
from edge.inventory.devices import Device
from edge.inventory.runtime_keys import ContainerKey
from profiles.errors import AgentError, RunError

# Backends that are no module of a Python, with what mends that they are missing.
_PROGRAMS = {"trtexec": "install the package libnvinfer-bin there, or name the program with EDGEBENCH_TRTEXEC"}


@dataclass(frozen=True)
class Found:
    """A backend on a device: the interpreter that imports it (or the first that was asked), and what the agent said
    there of the backend and of the device."""

    python: str
    probe: ProbeReport
    report: BackendReport

    @property
    def version(self) -> str:
        """Of the interpreter."""
        return str(self.probe.identity.get("python", "version unknown"))


def how_to_install(backend: str, python: str) -> str:
    """What mends that a backend is not there for the interpreter `python`."""
    return _PROGRAMS.get(backend, f"install it for {python}")


class Runtimes:
    """What was found on one device. `python` is any that runs the agent on the host, `within` the container of each
    backend, where the device has one, `host` what the host tells of itself, where it was asked."""

    def __init__(self, calls: Calls) -> None:
        self.python = ""
        self.within: dict[str, Container] = {}
        self.host: ProbeReport | None = None
        self._calls = calls
        self._device: Device = calls.device
        self._python_of: dict[str, str] = {}
        self._looked = ""  # what look_at_image printed

    def find(self, backends: Sequence[str], known: Mapping[str, Found], *, only_look: bool) -> dict[str, Found]:
        """For each backend the first Python that imports it; what is in `known` and there is not looked for again.
        Without backends, a Python of the host that runs the agent is all that is looked for.

        Errors: TransportError; RunError that says what every Python answered when none imports any, or, with
        `only_look`, when none runs the agent.
        """
        key = self._device.container
        if key is not None or not backends:
            self.host = self._find_host()
        if key is not None and backends:
            self._look_at(key)
        there = {name: item for name, item in known.items() if item.report.version.unknown is None}
        for name, item in there.items():
            self._choose(name, item)
        missing = [name for name in backends if name not in there]
        looked = self._look_for(missing, only_look) if missing else {}
        return {name: looked[name] if name in looked else there[name] for name in backends}

    def python_for(self, backend: str) -> str:
        """Which Python of the host starts a job of the backend."""
        return self._python_of[backend] if self._device.container is None else self.python

    def _look_for(self, backends: Sequence[str], only_look: bool) -> dict[str, Found]:
        found: dict[str, Found] = {}
        answers = []
        for python in pythons(self._device):
            missing = [name for name in backends if name not in self._python_of]
            if not missing:
                break
            try:
                probe = self._probe(python, missing)
            except AgentError as error:
                if error.code in NEVER_STARTED:
                    raise
                answers.append(f"{shown(self._device, python)}: {error.message}")
                continue
            self.python = self.python or python
            for name in missing:
                report = probe.backends.get(name) or BackendReport(Reading(unknown="the agent does not say"), (), {})
                found.setdefault(name, Found(python, probe, report))
                if report.version.unknown is None:
                    found[name] = Found(python, probe, report)
                    self._choose(name, found[name])
                else:
                    where = shown(self._device, python)
                    answers.append(f"{where} ({probe.identity.get('python')}): {report.version.unknown}")
        if found and (self._python_of or only_look):
            return found
        raise self._nothing(backends, answers)

    def _nothing(self, backends: Sequence[str], answers: Sequence[str]) -> RunError:
        names = " or ".join(backends)
        if set(backends) <= set(_PROGRAMS):
            message, fix = f"{names} is not there ({answers[-1]})", how_to_install(backends[0], "")
        else:
            another = "interpreter with `python =`" if self._device.container is None else "image with `container =`"
            fix = f"install {names} for one of them, or name another {another} in fleet.toml"
            message = f"no Python there imports {names} ({' | '.join(answers)})"
        return RunError(message, where=self._device.name, stage="probe", fix=fix)

    def _choose(self, backend: str, found: Found) -> None:
        """From here on the backend is that of this interpreter."""
        self._python_of[backend] = found.python
        if self._device.container is None:
            self.python = found.python
        else:
            self.within[backend] = told_of(self._container(self._device.container, found.python), found.probe)

    def _find_host(self) -> ProbeReport:
        """The host as its first Python that runs the agent tells it. Errors: RunError."""
        answers = []
        for python in host_pythons(self._device):
            try:
                told = self._calls.probe(self._calls.argv("probe", "--gpu", self._device.gpu, python=python))
            except AgentError as error:
                if error.code in NEVER_STARTED:
                    raise
                answers.append(f"{python}: {error.message}")
            else:
                self.python = python
                return told
        message = f"no Python of the host runs the agent ({' | '.join(answers)})"
        fix = "install python3 there, 3.8 or newer: it needs no packages"
        raise RunError(message, where=self._device.name, stage="probe", fix=fix)

    def _look_at(self, key: ContainerKey) -> None:
        """Whether the engine has the image, before anything is started in it. Errors: RunError."""
        done = self._calls.transport.run(look_at_image(self._device, key), timeout=CALL_S)
        self._looked = done.stdout.decode("utf-8", "replace")
        if not done.ok:
            raise unanswered(self._device, key, done)

    def _container(self, key: ContainerKey, python: str) -> Container:
        return container(self._device, key, self._looked, self._calls.workdir, python)

    def _probe(self, python: str, backends: Sequence[str]) -> ProbeReport:
        """Errors: AgentError when there is no such interpreter, or the agent does not run there."""
        key, asked = self._device.container, ("probe", "--backend", ",".join(backends))
        if key is None or self.host is None:
            return self._calls.probe(self._calls.argv(*asked, "--gpu", self._device.gpu, python=python))
        within, name = self._container(key, python), f"edgebench-probe-{secrets.token_hex(4)}"
        agent = self._calls.argv(*asked, "--put-back", "no", python=python)[1:]
        return merged(self.host, self._calls.probe(within.argv(agent, name, {})), within)
