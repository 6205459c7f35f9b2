"""Asking many devices at once what they are."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from edge import bundle
from edge.connect import connect
from edge.inventory import Device
from edge.places import Places
from edge.session import Found, Session
from profiles.errors import EdgebenchError
from profiles.progress import Progress

_AT_ONCE = 32


def probe_all(
    devices: Sequence[Device], places: Places, progress: Progress
) -> tuple[dict[str, Found], dict[str, EdgebenchError]]:
    """What every device answered, and why some did not, by name in the given order."""

    def probe(device: Device) -> Found | EdgebenchError:
        progress(f"{device.name}: probing")
        try:
            with contextlib.closing(connect(device, places)) as transport:
                return Session(device, transport).prepare(bundle.backend_names())
        except EdgebenchError as error:
            return error

    with ThreadPoolExecutor(min(_AT_ONCE, len(devices)), thread_name_prefix="probe") as pool:
        answers = dict(zip((device.name for device in devices), pool.map(probe, devices), strict=True))
    found = {name: answer for name, answer in answers.items() if isinstance(answer, Found)}
    failed = {name: answer for name, answer in answers.items() if isinstance(answer, EdgebenchError)}
    return found, failed
