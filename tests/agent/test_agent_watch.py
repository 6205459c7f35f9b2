"""The device is watched while a job runs, by a process of its own that outlives nothing: the real agent, real /proc."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from agent_lab import LONG, SHORT, Lab, alive, until

from device_agents.contract import QUANTITIES, JobResult
from edge.results.watched import Watched
from tests import recorded


def watched(lab: Lab) -> tuple[JobResult, Watched]:
    result = lab.result()
    return result, Watched(result, np.array(lab.samples()))


def sampler_of(lab: Lab) -> int:
    """The process that watches, once it runs."""

    def look() -> int | None:
        return next((pid for pid, line in lab.processes().items() if " sampler --job " in line), None)

    return int(until(look) or 0)


class TestAJob:
    def test_is_watched_from_the_idle_window_to_the_end_of_its_last_process(self, lab: Lab) -> None:
        assert lab.run(lab.spec(timing=replace(SHORT, processes=2, duration_s=0.5))).status.state == "done"
        result, seen = watched(lab)
        watch, whole = seen.watch, seen.whole("memory_used")
        assert watch is not None
        assert whole is not None
        assert watch.rate_hz >= 10
        assert 0 < watch.cost < 0.5
        last = result.processes[-1]
        assert watch.idle_until_ns - watch.idle_from_ns >= 500_000_000
        assert whole.times_ns[0] < watch.idle_from_ns < watch.idle_until_ns < result.processes[0].began_ns
        assert whole.times_ns[-1] > last.began_ns + last.elapsed_ns
        assert (np.diff(whole.times_ns) > 0).all()

    def test_has_values_in_each_timed_part_and_in_the_idle_window(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=replace(SHORT, processes=2, duration_s=0.5)))
        _, seen = watched(lab)
        assert [len(track) >= 3 for track in seen.timed("cpu_busy")] == [True, True]
        memory = seen.during("memory_used")
        assert memory is not None
        assert 1 << 20 < memory.least <= memory.most < 1 << 50
        assert seen.idle("cpu_foreign") is not None

    def test_has_its_own_work_told_from_that_of_others(self, lab: Lab) -> None:
        """One processor computes all the time, which is ours as far as others leave it to us."""
        lab.run(lab.spec(timing=replace(SHORT, warmup_s=1.0, warmup_cap_s=2.0, duration_s=1.0)))
        _, seen = watched(lab)
        busy, foreign = seen.during("cpu_busy"), seen.during("cpu_foreign")
        assert busy is not None
        assert foreign is not None
        assert busy.mean - foreign.mean > 0.05

    def test_says_of_what_is_not_watched_why(self, lab: Lab) -> None:
        lab.run(lab.spec())
        _, seen = watched(lab)
        assert seen.watch is not None
        missing = set(QUANTITIES) - set(seen.names)
        of_processors = {
            "cpu_clock",
            "cpu_busy",
            "cpu_foreign",
            "temperature",
            "energy",
            "throttled_limit",
            "memory_used",
        }
        assert set(seen.watch.unknown) >= missing & of_processors
        assert all(len(reason) > 10 for reason in seen.watch.unknown.values())

    def test_on_a_jetson_has_the_series_of_its_kind(self, tmp_path: Path, agent: Path, tiny: dict[str, bytes]) -> None:
        """A recorded board: its files never change, and what is read of them says where it is from."""
        board = recorded.tree(tmp_path / "orin", "orin-nx-jetpack6")
        with closing(Lab(agent, tmp_path / "device", tmp_path / "tools", str(board.python()), tiny)) as lab:
            assert lab.run(lab.spec()).status.state == "done"
            result, seen = watched(lab)
        power, idle = seen.during("power"), seen.idle("power")
        assert power is not None
        assert idle is not None
        assert power.least == power.most == pytest.approx(5.263, abs=1e-3)
        assert idle.source == power.source == "VDD_IN, the input of the module"
        assert {"gpu_clock", "gpu_busy", "temperature.tj", "throttled_thermal", "fan"} <= set(seen.names)
        assert result.context["jetson_clocks"].value == "not locked: GPU, policy0"

    def test_that_fails_leaves_no_watcher(self, lab: Lab) -> None:
        lab.fails(lab.spec(timing=LONG, deadline_s=2.5))
        assert not any(" sampler " in line for line in lab.processes().values())


class TestTheWatcher:
    def test_dies_with_its_supervisor(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        supervisor, _ = lab.warming_up()
        sampler = sampler_of(lab)
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not alive(sampler), timeout_s=2)

    def test_that_is_killed_costs_no_measurement_and_says_so(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=replace(SHORT, warmup_s=1.0, warmup_cap_s=2.0)), wait_s=0)
        os.kill(sampler_of(lab), signal.SIGKILL)
        assert lab.wait().status.state == "done"
        result, seen = watched(lab)
        assert result.processes[0].timed.count >= SHORT.iterations
        assert seen.names == ()
        assert seen.why_unknown("cpu_busy").startswith("what watched the device ended by signal SIGKILL")

    def test_that_is_ended_by_a_signal_without_a_name_is_told_by_its_number(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=replace(SHORT, warmup_s=1.0, warmup_cap_s=2.0)), wait_s=0)
        os.kill(sampler_of(lab), signal.SIGRTMIN + 6)
        assert lab.wait().status.state == "done"
        assert " ended by signal 40 while" in watched(lab)[1].why_unknown("cpu_busy")

    def test_holds_no_lock_of_the_job(self, lab: Lab) -> None:
        """Else whoever waits for the accelerator would wait for it, too."""
        lab.run(lab.spec(timing=LONG), wait_s=0)
        lab.warming_up()
        held = [str(link.readlink()) for link in _descriptors(sampler_of(lab))]
        assert not [path for path in held if path.endswith(("lock", "preparing"))]
        lab.call("cancel", "--job", "job-0001")


def _descriptors(pid: int) -> list[Path]:
    return [path for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
