"""What a controller gives a worker to begin with, while others write in the same journal: without any cluster."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_agents.contract import loads
from edge.cluster.remote import RemoteRun, Worker
from edge.planning.plan import Plan
from edge.results.store import Store
from edge.running.device_run import Failed, Orders
from edge.running.device_work import Tools
from edge.running.journal import Progress, open_journal
from edge.running.supply import Supply
from edge.transport.local import LocalTransport
from export.artifact import Store as Artifacts
from profiles.errors import RunError
from tests.plans import artifact, device
from tests.unit.edge.test_plan_journal import cell

CELL = cell()


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads take turns so often that what is not safe between them shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("busy_threads")
def test_a_run_begins_while_builders_note_their_engines(tmp_path: Path) -> None:
    journal, ended = open_journal(tmp_path, Plan((CELL,))), threading.Event()
    journal.cells.update({f"engine {number}": Progress() for number in range(5000)})
    started: list[str] = []

    def place(start: str, _check: Callable[[], None]) -> Worker:
        started.append(start)
        raise RunError("that is all")

    def build() -> None:
        while not ended.is_set():
            journal.cells["engine of another class"] = Progress()
            del journal.cells["engine of another class"]

    tools = Tools(lambda _: artifact(), lambda _: LocalTransport(), Store(tmp_path), Artifacts(tmp_path))
    orders = Orders([CELL], Supply([CELL], tools.artifact, None), {})
    runs = [RemoteRun(device(f"orin-{number}"), orders, journal, tools, place) for number in range(8)]
    builder = threading.Thread(target=build)
    builder.start()
    try:
        for run in runs:
            run.run()
    finally:
        ended.set()
        builder.join()
        journal.close()
    ends = [outcome.error.message for run in runs for outcome in run.outcomes if isinstance(outcome, Failed)]
    assert ends == ["that is all"] * 8
    assert len(loads(started[0])["progress"]) >= 5000
