"""Asking many devices one thing at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from edge.agent.connect import connect
from edge.agent.session import Session
from edge.inventory.devices import Device
from edge.places import Places
from edge.transport.base import Transport
from profiles.errors import EdgebenchError

AT_ONCE = 1024
"""Devices that are worked on at once, a thread each, which waits for its device nearly all of the time."""

T = TypeVar("T")


def ask_all(
    devices: Sequence[Device], places: Places, ask: Callable[[Session], T]
) -> tuple[dict[str, T], dict[str, EdgebenchError]]:
    """What every device answered, and why some did not, by name in the given order. `ask` is called in many threads,
    with a session that is not prepared yet."""
    opened: list[Transport] = []
    stopped = threading.Event()
    answers: dict[str, T] = {}
    failed: dict[str, EdgebenchError] = {}

    def one(device: Device) -> None:
        try:
            with contextlib.closing(connect(device, places)) as transport:
                opened.append(transport)
                if stopped.is_set():  # too late for whoever closes them all
                    return
                answers[device.name] = ask(Session(device, transport))
        except EdgebenchError as error:
            failed[device.name] = error

    pool = ThreadPoolExecutor(min(AT_ONCE, len(devices)), thread_name_prefix="ask")
    try:
        list(pool.map(one, devices))
    finally:  # on Ctrl-C too: a closed transport ends the call that waits on it
        stopped.set()
        for transport in opened:
            transport.close()
        pool.shutdown(wait=True, cancel_futures=True)
    names = [device.name for device in devices]
    return {name: answers[name] for name in names if name in answers}, {n: failed[n] for n in names if n in failed}


def get_ready(session: Session) -> Session:
    """The session with the agent installed, and any Python of the host that runs it, whatever it can import."""
    session.prepare(())
    return session
