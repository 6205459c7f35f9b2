"""What is done with the releases of many devices at once: looked at, activated, rolled back, removed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from device_agents.contract import (
    Activation,
    Release,
    Releases,
    ReleaseState,
    Removal,
    SchemaViolation,
    check_model,
    check_version,
)
from edge.agent.asking import ask_all, get_ready
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.places import Places
from profiles.errors import ConfigError, EdgebenchError
from profiles.progress import Progress

_LOOK_S = 60.0
_WORK_S = 420.0  # another command may be at work there: the agent waits 300 s for it
_HASHED_PER_S = 50_000_000  # bytes, by a slow device with a slow disk
_LARGEST = 10_000_000_000  # bytes of a release, where it is not known how large it is

T = TypeVar("T")
Answers = tuple[dict[str, T], dict[str, EdgebenchError]]
"""What every device answered, and why some did not, by name."""


def look(devices: Sequence[Device], places: Places, progress: Progress) -> Answers[Releases]:
    """The releases of every device."""

    def ask(session: Session) -> Releases:
        return session.ask("releases", Releases, timeout=_LOOK_S)

    return _on_all(devices, places, progress, "listing its releases", ask)


def activate(
    model: str, version: str | None, devices: Sequence[Device], places: Places, progress: Progress
) -> Answers[ReleaseState]:
    """Make a version current, or without one the previous one. Errors: ConfigError for names that are none."""
    checked(model, version)
    doing = f"activating {model} {version}" if version else f"rolling {model} back"
    return _on_all(devices, places, progress, doing, lambda session: activate_on(session, model, version))


def activate_on(session: Session, model: str, version: str | None) -> ReleaseState:
    """On one device, with its own hook. Errors: AgentError, TransportError."""
    order = Activation(model, version, session.device.release_hook)
    timeout = _WORK_S + 2 * order.hook_timeout_s + _LARGEST / _HASHED_PER_S
    return session.ask("activate", ReleaseState, order, timeout=timeout)


def make_on(session: Session, release: Release) -> ReleaseState:
    """Errors: AgentError, TransportError."""
    return session.ask("release", ReleaseState, release, timeout=_WORK_S + 2 * release.size / _HASHED_PER_S)


def remove(
    model: str, version: str, devices: Sequence[Device], places: Places, progress: Progress, *, previous_too: bool
) -> Answers[ReleaseState]:
    """Errors: ConfigError for names that are none."""
    checked(model, version)

    def ask(session: Session) -> ReleaseState:
        order = Removal(model, version, previous_too)
        return session.ask("remove-release", ReleaseState, order, timeout=_WORK_S)

    return _on_all(devices, places, progress, f"removing {model} {version}", ask)


def checked(model: str, version: str | None) -> None:
    """Errors: ConfigError for what can name no model or no version of one."""
    try:
        check_model(model)
        if version is not None:
            check_version(version)
    except SchemaViolation as error:
        raise ConfigError(error.message, where=error.where.upper()) from None


def _on_all(
    devices: Sequence[Device], places: Places, progress: Progress, doing: str, ask: Callable[[Session], T]
) -> Answers[T]:
    def one(session: Session) -> T:
        progress(f"{session.device.name}: {doing}")
        return ask(get_ready(session))

    return ask_all(devices, places, one)
