"""kill -9 of the controller, the agent, its supervisor and its worker while a deploy is under way over SSH: after the
same command again every cell is measured once, by a whole artifact, and nothing runs on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import leaks
from tests.faults.devices import SHORT, arguments, deploy, entry, find, fleet, jobs, kill, status
from tests.operator import Operator
from tests.ssh.sshd import Sshd, wait_until

Moment = Callable[[Sshd], bool]


@pytest.fixture
def deploying(operator: Operator, server: Sshd) -> Operator:
    operator.prelude = SHORT
    fleet(operator, entry(server))
    return operator


def ships(server: Sshd) -> bool:
    return bool(list(server.home.glob(".cache/edgebench/*/artifacts/*")))


def measures(server: Sshd) -> bool:
    return str(status(server).get("phase")).startswith("process") and bool(find(server, " worker "))


def is_done(server: Sshd) -> bool:
    return status(server).get("state") == "done"


def measured_once(operator: Operator, server: Sshd) -> bool:
    """One measurement, of one `done` in the journal, by the artifact as it was made."""
    (row,) = operator.measurements()
    stored = operator.stored(row["id"])
    done = [event for event in operator.journal() if event["event"] == "done"]
    (made,) = operator.home.glob(f".cache/edgebench/artifacts/{stored['result']['artifact']}/model.onnx")
    (shipped,) = server.home.rglob("model.onnx")
    return len(done) == 1 and shipped.read_bytes() == made.read_bytes()


@pytest.mark.parametrize("moment", [ships, measures, is_done])
def test_the_controller(deploying: Operator, server: Sshd, tiny_onnx: Path, moment: Moment) -> None:
    child = deploying.start(*arguments(tiny_onnx))
    wait_until(lambda: moment(server) or child.poll() is not None, moment.__name__, 60)
    child.kill()
    child.wait()
    began = bool(jobs(server))
    again = deploy(deploying, tiny_onnx)
    assert again.code in (0, 4), again.err + again.out
    assert measured_once(deploying, server)
    assert len(jobs(server)) == 1 or not began, "the job that was begun is the one that is collected"


def test_the_agent_that_waits_for_the_job(deploying: Operator, server: Sshd, tiny_onnx: Path) -> None:
    """The job goes on, and the controller joins it again without a word."""
    child = deploying.start(*arguments(tiny_onnx, "--json"))
    wait_until(lambda: measures(server), "it to measure", 60)
    kill(*(pid for pid in find(server, ".pyz run ") if pid != status(server)["pid"]))
    out, err = child.communicate(timeout=60)
    assert child.returncode in (0, 4), err + out
    assert measured_once(deploying, server)
    assert len(jobs(server)) == 1


@pytest.mark.parametrize("victim", ["supervisor", "worker"])
def test_what_measures(deploying: Operator, server: Sshd, tiny_onnx: Path, victim: str) -> None:
    child = deploying.start(*arguments(tiny_onnx, "--json"))
    wait_until(lambda: measures(server), "it to measure", 60)
    kill(*([status(server)["pid"]] if victim == "supervisor" else find(server, " worker ")))
    out, err = child.communicate(timeout=60)
    assert child.returncode == 1, err
    (failed,) = json.loads(out)["failed"]
    assert failed["device"] == "board"
    assert failed["error"]["code"] == {"supervisor": "lost", "worker": "worker_killed"}[victim]
    assert failed["error"]["stage"] == "run"
    assert failed["error"]["fix"]
    leaks.assert_quiet(server)
    again = deploy(deploying, tiny_onnx)
    assert again.code in (0, 4), again.err + again.out
    assert measured_once(deploying, server)
