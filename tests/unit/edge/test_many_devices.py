"""What must not grow with the fleet: devices are asked at once, and rows are there when the last device ends."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from edge.agent.asking import ask_all
from edge.agent.session import Session
from edge.deploy import Rows
from edge.places import Places
from edge.results.store import Store
from profiles.errors import ResultError
from tests.plans import device
from tests.unit.edge.test_result_store import VALUES, measurement


def test_all_devices_are_asked_at_once(tmp_path: Path) -> None:
    devices = [device(f"orin-{number}") for number in range(100)]
    all_there = threading.Barrier(len(devices))

    def ask(session: Session) -> str:
        all_there.wait(20.0)
        return session.device.name

    answers, failed = ask_all(devices, Places(tmp_path, tmp_path, tmp_path), ask)
    assert list(answers) == list(answers.values()) == [one.name for one in devices]
    assert not failed


class TestRows:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        store = Store(tmp_path)
        store.add(measurement("aaaa1111"), VALUES.tobytes())
        return store

    def test_one_that_is_made_is_not_read_again(self, store: Store) -> None:
        rows = Rows(store)
        verdict = rows.judge(measurement("aaaa1111"), VALUES)
        shutil.rmtree(store.folder("aaaa1111"))
        row = rows.of("aaaa1111")
        assert (row.measurement, row.verdict) == (measurement("aaaa1111"), verdict)

    def test_one_that_was_not_made_is_read(self, store: Store) -> None:
        assert Rows(store).of("aaaa1111").measurement == measurement("aaaa1111")

    def test_one_that_is_not_there_is_an_error(self, store: Store) -> None:
        rows = Rows(store)
        with pytest.raises(ResultError, match="cannot be read"):
            rows.of("bbbb2222")
