"""The engines that devices keep: which there are, and bringing one home."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from device_agents.contract import ENGINE_FILE, ENGINE_MANIFEST, EngineReport
from edge.agent.asking import ask_all, get_ready
from edge.agent.connect import connect
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.places import Places
from profiles.errors import ConfigError, EdgebenchError
from profiles.progress import Progress

SHORT = 12
"""Digits of a key or a hash that people see; any digits of a key that name one engine will do."""


def engines_of(
    devices: Sequence[Device], places: Places, progress: Progress
) -> tuple[dict[str, list[EngineReport]], dict[str, EdgebenchError]]:
    """The engines of every device, newest first, and why some did not answer, by name in the given order."""

    def ask(session: Session) -> list[EngineReport]:
        progress(f"{session.device.name}: listing its engines")
        return get_ready(session).engines()

    return ask_all(devices, places, ask)


def pull(key: str, device: Device, out: Path, places: Places, progress: Progress) -> EngineReport:
    """Bring the engine whose key begins with `key` into the new folder `out`, as model.engine and engine.json.

    Errors: ConfigError for a key that names none or several, or a folder that is there; TransferError, SchemaError when
    what came is not what the device said. `out` is there whole or not at all.
    """
    with _made_whole(out.absolute()) as part, contextlib.closing(connect(device, places)) as transport:
        session = Session(device, transport)
        report = _named(key, get_ready(session).engines(), device.name)
        progress(f"{device.name}: bringing home engine {report.key[:SHORT]}")
        session.pull_engine(report, part)
        # what a transport brings is the user's own alone; a file that was asked for is as any other that is made here
        (part / ENGINE_FILE).chmod((part / ENGINE_MANIFEST).stat().st_mode & 0o777)
    return report


@contextlib.contextmanager
def _made_whole(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes it when all went well, and is gone when not."""
    part = out.parent / f".{out.name}.{os.getpid()}.part"
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigError("there is something already", where=str(out), fix="name a new folder with --out")
        part.mkdir(parents=True)
        yield part
        part.rename(out)  # over an empty folder, too
    except OSError as error:
        raise ConfigError(f"cannot be written ({error.strerror or error})", where=str(out)) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _named(key: str, engines: Sequence[EngineReport], device: str) -> EngineReport:
    fits = [report for report in engines if report.key.startswith(key.lower())]
    if len(fits) == 1 and key:
        return fits[0]
    listed = ", ".join(report.key[:SHORT] for report in fits or engines)
    if fits:
        raise ConfigError(f"{len(fits)} engines begin with {key!r}: {listed}", where=device, fix="give more digits")
    there = f"it has: {listed}" if engines else "it has built none"
    raise ConfigError(f"there is no engine {key[:60]!r}; {there}", where=device)
