"""Asking many devices at once what they are, and before a plan is made, which runtimes they have."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from edge import bundle
from edge.choosing import Survey, worth_asking
from edge.connect import connect
from edge.inventory import Device
from edge.places import Places
from edge.session import Found, Session
from edge.transport.base import Transport
from profiles.errors import EdgebenchError
from profiles.progress import Progress

_AT_ONCE = 32


def survey(
    asked: Sequence[str], devices: Sequence[Device], places: Places, progress: Progress, *, engines: bool
) -> Survey:
    """Look on the devices for which it matters; most of what it costs a device is not spent again when it is measured.

    Errors: ConfigError for an unknown backend.
    """
    wanted = {device.name: worth_asking(asked, device, engines=engines) for device in devices}
    worth = [device for device in devices if wanted[device.name]]
    return Survey(*probe_all(worth, places, progress, wanted)) if worth else Survey()


def probe_all(
    devices: Sequence[Device], places: Places, progress: Progress, backends: Mapping[str, Sequence[str]] | None = None
) -> tuple[dict[str, dict[str, Found]], dict[str, EdgebenchError]]:
    """What every device answered of each backend, and why some did not, by name in the given order. `backends` are
    those to look for, by device; without them all."""
    opened: list[Transport] = []
    pool = ThreadPoolExecutor(min(_AT_ONCE, len(devices)), thread_name_prefix="probe")
    try:
        probe = partial(_probe, backends=backends, places=places, progress=progress, opened=opened)
        answers = dict(zip((device.name for device in devices), pool.map(probe, devices), strict=True))
    finally:  # on Ctrl-C too: a closed transport ends the call that waits on it
        for transport in opened:
            transport.close()
        pool.shutdown(wait=True, cancel_futures=True)
    failed = {name: answer for name, answer in answers.items() if isinstance(answer, EdgebenchError)}
    found = {name: answer for name, answer in answers.items() if not isinstance(answer, EdgebenchError)}
    return found, failed


def _probe(
    device: Device,
    *,
    backends: Mapping[str, Sequence[str]] | None,
    places: Places,
    progress: Progress,
    opened: list[Transport],
) -> dict[str, Found] | EdgebenchError:
    progress(f"{device.name}: probing")
    try:
        with contextlib.closing(connect(device, places)) as transport:
            opened.append(transport)
            wanted = bundle.backend_names() if backends is None else backends[device.name]
            return Session(device, transport).prepare(wanted, only_look=True)
    except EdgebenchError as error:
        return error
