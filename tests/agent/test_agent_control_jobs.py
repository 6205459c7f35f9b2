"""What a job has turned on its device is put back, whatever becomes of the job: real agents, supervisors, watchdogs and
kills, on a Jetson of stand-ins (tests/boards.py)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agent_lab import LONG, Lab, has_open, until
from agent_lab import _stat as stat

from device_agents import jobs
from device_agents.contract import Control, JobResult
from device_agents.control import holding
from device_agents.system import System
from tests.boards import FLOATING, Board

WANTED = Control(lock_clocks=True, power_mode="MODE_15W")
LOCKED_15W = ("420750000", "420750000")


@dataclass
class BoardLab(Lab):
    board: Board | None = None

    @property
    def environment(self) -> dict[str, str]:
        device = self.of.device
        return {
            **super().environment,
            "PATH": f"{device.tools}:/usr/bin:/bin",
            "EDGEBENCH_SYSTEM_ROOT": str(device.root),
        }

    @property
    def of(self) -> Board:
        assert self.board is not None
        return self.board

    @property
    def as_it_was(self) -> bool:
        return (self.of.mode, self.of.clocks) == ("MAXN", FLOATING) and not (self.workdir / "control").exists()

    def measuring(self, job: str = "job-0001") -> tuple[int, int, int]:
        """Wait until the job computes with everything turned; the pids of supervisor, worker and watchdog."""
        supervisor, worker = self.warming_up(job)
        assert (self.of.mode, self.of.clocks) == ("MODE_15W", LOCKED_15W)
        (watchdog,) = {
            pid
            for pid, line in self.processes().items()
            if pid != worker and stat(pid)[1:2] == [str(supervisor)] and " sampler " not in line
        }
        return supervisor, worker, watchdog

    def kill_all(self, job: str = "job-0001") -> None:
        """As a power cut does: nobody is left to put anything back."""
        supervisor, worker, watchdog = self.measuring(job)
        for pid in (watchdog, supervisor, worker):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not self.processes())
        assert (self.of.mode, self.of.clocks) == ("MODE_15W", LOCKED_15W)

    def probed_when_free(self) -> dict[str, Any]:
        """What a probe tells once no other test's job measures: all Jetsons on a machine have one accelerator's lock,
        and what is left is put back by who gets it."""

        def put_back() -> dict[str, Any] | None:
            context: dict[str, Any] = self.call("probe").json["context"]
            return context if "put_back" in context else None

        return until(put_back, timeout_s=120.0)


@pytest.fixture
def lab(tmp_path: Path, agent: Path, tiny: dict[str, bytes]) -> Iterator[BoardLab]:
    board = Board(tmp_path / "board")
    board.allow_all()
    made = BoardLab(agent, tmp_path / "device", tmp_path / "tools", sys.executable, tiny, board=board)
    with contextlib.closing(made) as lab:
        yield lab


def measured_at(result: JobResult) -> tuple[object, ...]:
    """Power mode, and the bounds of the GPU's clock around the first process."""
    state = result.processes[0].state
    bounds = [state[f"gpu_clock_{bound}_hz_{when}"].value for when in ("before", "after") for bound in ("min", "max")]
    return (result.identity["power_mode"].value, *bounds)


def test_it_is_measured_as_asked_and_put_back_before_the_result_is_there(lab: BoardLab) -> None:
    assert lab.run(lab.spec(control=WANTED)).status.state == "done"
    assert lab.as_it_was
    result = lab.result()
    assert measured_at(result) == ("MODE_15W", *[420750000] * 4)
    told = {one.name: (one.before, one.after, one.problem) for one in result.controlled}
    clocks = "GPU 306-421 MHz, CPU 730-2202 MHz"
    assert (told["power_mode"], told["lock_clocks"]) == (("MAXN", "MAXN", ""), (clocks, clocks, ""))
    assert "control" not in {path.name for path in lab.workdir.iterdir()}


def test_on_the_pythons_that_devices_have(lab: BoardLab, device_python: str) -> None:
    lab.python = device_python
    lab.run(lab.spec(control=WANTED, timing=LONG), wait_s=0)
    supervisor, _, _ = lab.measuring()
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: lab.as_it_was)
    assert lab.run(lab.spec("job-0002", control=WANTED)).status.state == "done"
    assert measured_at(lab.result("job-0002"))[0] == "MODE_15W"
    assert lab.as_it_was


def test_a_job_that_asks_for_nothing_changes_nothing(lab: BoardLab) -> None:
    assert lab.run(lab.spec()).status.state == "done"
    assert lab.result().controlled == ()
    assert lab.of.calls == []


def test_a_worker_that_is_killed(lab: BoardLab) -> None:
    lab.run(lab.spec(control=WANTED, timing=LONG), wait_s=0)
    _, worker, _ = lab.measuring()
    os.kill(worker, signal.SIGKILL)
    assert lab.wait().status.state == "failed"
    assert lab.as_it_was


def test_a_job_that_is_cancelled(lab: BoardLab) -> None:
    lab.run(lab.spec(control=WANTED, timing=LONG), wait_s=0)
    lab.measuring()
    assert lab.call("cancel", "--job", "job-0001").status.state == "cancelled"
    assert lab.as_it_was


def test_a_job_that_is_cancelled_has_the_time_to_put_things_back(lab: BoardLab) -> None:
    """It is not killed in the midst of it after the time that other jobs have."""
    lab.of.restore_slowly()
    lab.run(lab.spec(control=WANTED, timing=LONG), wait_s=0)
    lab.measuring()
    assert jobs.cancel(lab.workdir, "job-0001", grace_s=0.1).state == "cancelled"
    assert lab.of.calls.count("jetson_clocks --restore clocks") == 1
    assert lab.as_it_was


def test_a_supervisor_that_is_killed_and_the_job_that_waits_behind_it(lab: BoardLab) -> None:
    """The second one begins when everything is put back, and not before."""
    lab.of.restore_slowly()
    lab.run(lab.spec(control=WANTED, timing=LONG), wait_s=0)
    supervisor, _, _ = lab.measuring()
    lab.run(lab.spec("job-0002"), wait_s=0)
    until(lambda: lab.status("job-0002").phase == "waiting for the accelerator")
    os.kill(supervisor, signal.SIGKILL)
    assert lab.wait("job-0001").status.state == "lost"
    assert lab.as_it_was, "who hears of its end finds the device as it was"
    assert lab.wait("job-0002").status.state == "done"
    assert measured_at(lab.result("job-0002")) == ("MAXN", 306000000, 1300500000, 306000000, 1300500000)


def test_a_watchdog_is_not_ended_by_what_ends_a_session(lab: BoardLab) -> None:
    lab.run(lab.spec(control=WANTED, timing=LONG), wait_s=0)
    supervisor, _, watchdog = lab.measuring()
    assert not has_open(watchdog, lab.folder() / "preparing"), "by which callers know that the job measures"
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(watchdog, number)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: lab.as_it_was)


@pytest.mark.parametrize("command", ["probe", "run"])
def test_what_nobody_was_left_to_put_back_the_next_command_does(lab: BoardLab, command: str) -> None:
    lab.run(lab.spec(control=WANTED, timing=LONG), wait_s=0)
    lab.kill_all()
    if command == "probe":
        told = lab.probed_when_free()["put_back"]["value"]
        assert told.startswith("job job-0001 was killed here; what it had changed was put back now: clocks_of_mode")
    else:
        assert lab.run(lab.spec("job-0002")).status.state == "done"
        assert measured_at(lab.result("job-0002"))[:2] == ("MAXN", 306000000)
    assert lab.as_it_was


def test_after_a_restart_the_power_mode_is_put_back_and_clocks_are_left_as_booted(lab: BoardLab) -> None:
    lab.run(lab.spec(control=WANTED, timing=LONG), wait_s=0)
    lab.kill_all()
    record = lab.workdir / "control" / "job-0001.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "boot_id": "of another boot"}))
    before = len(lab.of.calls)
    lab.probed_when_free()
    assert lab.of.calls[before:] == ["nvpmodel -m 0"]
    assert not record.parent.exists()


def test_what_cannot_be_put_back_stops_jobs_and_says_what_mends_it(lab: BoardLab) -> None:
    lab.run(lab.spec(control=WANTED, timing=LONG), wait_s=0)
    lab.kill_all()
    lab.of.sudoers("")
    told = lab.call("probe").json["context"]
    assert "job job-0001 was killed here and lock_clocks: sudo does not run" in told["not_put_back"]["value"]
    record = lab.workdir / "control" / "job-0001.json"
    assert told["remedy"]["value"] == f"put it back by hand, then rm {record}"
    assert lab.run(lab.spec("job-0002")).status.error.code == "not_put_back"  # type: ignore[union-attr]
    record.unlink()
    assert lab.run(lab.spec("job-0003")).status.state == "done"


def test_a_refusal_costs_the_job_and_changes_nothing(lab: BoardLab) -> None:
    lab.of.sudoers("")
    error = lab.fails(lab.spec(control=WANTED))
    assert (error.code, error.stage) == ("sudo_refused", "control")
    assert lab.as_it_was
    assert lab.of.calls == []


def test_of_two_jobs_that_stop_the_product_the_last_one_starts_it(lab: BoardLab, tmp_path: Path) -> None:
    """Two accelerators of one host, here by locks of other names."""
    said = tmp_path / "said"
    wanted = Control(quiesce=("sh", "-c", f"echo stop >> {said}"), resume=("sh", "-c", f"echo start >> {said}"))
    system = System(lab.of.device.root)
    first = os.fork()
    if first == 0:
        code = 1
        try:
            with holding.held(lab.workdir, "job-a", wanted, system, "gpu-a", []):
                (tmp_path / "inside").touch()
                until((tmp_path / "go-on").exists)
            code = 0
        finally:
            os._exit(code)
    until((tmp_path / "inside").exists)
    with holding.held(lab.workdir, "job-b", wanted, system, "gpu-b", []) as second:
        pass
    assert second[0].after == "left to job job-a, which wants it so, too"
    assert said.read_text() == "stop\nstop\n"
    (tmp_path / "go-on").touch()
    assert os.waitpid(first, 0)[1] == 0
    assert said.read_text() == "stop\nstop\nstart\n"
