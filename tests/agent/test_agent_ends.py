"""How jobs end other than by finishing: cancelled, killed, past their deadline, out of disk, behind a lock; and what
is left of them. No measurement outlives its supervisor, and every end has its reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent_lab import LONG, SHORT, Lab, alive, cpu_ticks, encode, has_open, tmpfs, until, worker_of

from device_agents.contract import Container
from device_agents.locks import accelerator_path

OLD = time.time() - 40 * 86_400


@pytest.fixture
def move_to_disk(lab: Lab, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Puts the lab's working folder on a disk of a given size."""
    with contextlib.ExitStack() as disks:

        def move(size: str) -> None:
            lab.workdir = tmp_path / "disk"
            try:
                disks.enter_context(tmpfs(lab.workdir, size))
            except OSError as error:
                pytest.skip(f"this user cannot mount a small file system: {error}")
            lab.ship(lab.artifact, lab.model)

        yield move


class TestCancelling:
    def test_in_the_warm_up_leaves_a_cancelled_job_and_no_process(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        supervisor, worker = lab.warming_up()
        assert lab.call("cancel", "--job", "job-0001").status.state == "cancelled"
        assert not alive(worker)
        assert not alive(supervisor)
        assert lab.left_in() == {"lock", "log", "spec.json", "status.json"}
        assert lab.wait().status.state == "cancelled"

    def test_in_the_queue_leaves_the_running_job_alone(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        _, worker = lab.warming_up()
        lab.run(lab.spec("job-0002"), wait_s=0)
        lab.started("job-0002")
        assert lab.call("cancel", "--job", "job-0002").status.state == "cancelled"
        assert alive(worker)
        assert lab.call("cancel", "--job", "job-0001").status.state == "cancelled"

    def test_a_job_that_does_not_listen_is_killed_and_tidied_up(self, lab: Lab) -> None:
        supervisor = _stopped_before_the_result(lab)
        assert {"process-trial-0.json", "process-0.i64le"} < lab.left_in()
        assert lab.call("cancel", "--job", "job-0001").status.state == "cancelled"
        until(lambda: not alive(supervisor))
        assert lab.left_in() == {"lock", "log", "spec.json", "status.json"}

    def test_twice_or_after_the_end_changes_nothing(self, lab: Lab) -> None:
        lab.run(lab.spec())
        for _ in range(2):
            assert lab.call("cancel", "--job", "job-0001").status.state == "done"
        assert lab.samples()


class TestKilling:
    def test_the_supervisor_takes_its_worker_along_and_the_job_is_lost(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        supervisor, worker = lab.warming_up()
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not alive(worker), timeout_s=2)
        found = lab.wait(timeout_s=5).status
        assert found.state == "lost"
        assert found.error is not None
        assert found.error.message.startswith("its supervisor is gone: killed")
        assert lab.run(lab.spec(timing=LONG), wait_s=0).status.state == "lost"

    def test_the_supervisor_takes_a_worker_along_that_is_still_starting(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        supervisor = lab.started()
        worker = until(lambda: worker_of(supervisor))
        os.kill(worker, signal.SIGSTOP)  # before it could ask the kernel to die with its parent
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not alive(supervisor))
        if alive(worker):
            os.kill(worker, signal.SIGCONT)
        until(lambda: not alive(worker), timeout_s=5, or_say=lambda: "the worker measures on without its supervisor")

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
    def test_the_worker_fails_the_job_with_the_signal_s_name(self, lab: Lab, number: signal.Signals) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        _, worker = lab.warming_up()
        os.kill(worker, number)
        found = lab.wait().status
        assert found.state == "failed"
        assert found.error is not None
        assert found.error.code == ("worker_killed" if number is signal.SIGKILL else "worker_died")
        assert found.error.message.startswith(f"worker 0 ended by signal {number.name}")
        assert ("out of memory" in found.error.message) == (number is signal.SIGKILL)
        assert lab.left_in() == {"lock", "log", "spec.json", "status.json"}

    def test_the_worker_by_a_signal_without_a_name_fails_the_job_with_its_number(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        _, worker = lab.warming_up()
        os.kill(worker, signal.SIGRTMIN + 6)
        error = lab.wait().status.error
        assert error is not None
        assert (error.code, error.message) == ("worker_died", "worker 0 ended by signal 40")

    @pytest.mark.parametrize(
        ("code", "how"), [(255, "with exit code 255"), (125, "with exit code 125"), (139, "by signal SIGSEGV")]
    )
    def test_a_container_s_first_process_is_told_as_its_engine_ends(self, lab: Lab, code: int, how: str) -> None:
        """By an engine whose client says why, and ends so at once: podman with 255 where its runtime failed."""
        engine = lab.tools / "engine"
        engine.write_text(f"#!/bin/sh\necho Error: no luck >&2\nexit {code}\n")
        engine.chmod(0o755)
        error = lab.fails(lab.spec(container=Container(str(engine), "image", "python3")))
        assert (error.code, error.message) == ("worker_died", f"worker 0 ended {how}; its last words: Error: no luck")

    def test_the_caller_leaves_the_job_running(self, lab: Lab) -> None:
        caller = lab.popen("run", "--timeout", 600)
        assert caller.stdin is not None
        caller.stdin.write(encode(lab.spec(timing=LONG)))
        caller.stdin.close()
        _, worker = lab.warming_up()
        caller.kill()
        with caller:
            caller.wait()
        assert alive(worker)
        assert lab.wait(timeout_s=0.1).status.state == "running"
        lab.call("cancel", "--job", "job-0001")


def test_a_job_past_its_deadline_fails(lab: Lab) -> None:
    error = lab.fails(lab.spec(timing=LONG, deadline_s=1.5))
    assert (error.code, error.message) == ("deadline", "the job ran past its deadline of 1.5 s")


class TestTheAcceleratorLock:
    def test_the_second_job_queues_until_the_first_has_ended(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        lab.warming_up()
        lab.run(lab.spec("job-0002"), wait_s=0)
        lab.started("job-0002")
        found = lab.wait("job-0002", timeout_s=0.2).status
        assert (found.state, found.phase) == ("queued", "waiting for the accelerator")
        lab.call("cancel", "--job", "job-0001")
        assert lab.wait("job-0002").status.state == "done"
        assert lab.result("job-0002").seconds["waited"] > 0.2

    def test_a_job_that_will_not_wait_that_long_fails_and_names_the_holder(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        lab.warming_up()
        error = lab.fails(lab.spec("job-0002", lock_timeout_s=0.2))
        assert (error.code, error.stage) == ("busy", "lock")
        assert error.message.startswith(f"the {lab.gpu} is held by ")
        assert "(job job-0001) since 20" in error.message
        lab.call("cancel", "--job", "job-0001")

    def test_is_free_at_once_when_its_holder_is_killed(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        supervisor, _ = lab.warming_up()
        lab.run(lab.spec("job-0002"), wait_s=0)
        lab.started("job-0002")
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: lab.status("job-0002").state != "queued", timeout_s=2)
        assert lab.wait("job-0002").status.state == "done"

    def test_outlives_a_supervisor_only_as_long_as_its_worker(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        supervisor, worker = lab.warming_up()
        assert has_open(worker, accelerator_path(lab.gpu))
        os.kill(supervisor, signal.SIGKILL)
        assert lab.run(lab.spec("job-0002")).status.state == "done"
        assert not alive(worker)


class TestAFullDisk:
    """100,000 samples are 800 kB: the small disk is full when the worker writes them, the larger one when the
    supervisor puts the result together."""

    TIMING = dataclasses.replace(SHORT, iterations=100_000, warmup_cap_s=0.05, duration_s=0.0)

    @pytest.mark.parametrize("size", ["400k", "1500k"])
    def test_fails_the_job_with_the_reason_and_leaves_nothing_half_written(
        self, lab: Lab, move_to_disk: Callable[[str], None], size: str
    ) -> None:
        move_to_disk(size)
        error = lab.fails(lab.spec(timing=self.TIMING))
        assert (error.code, error.message) == ("device_io", "No space left on device")
        assert error.fix.startswith("free space there")
        assert error.where.startswith(str(lab.folder()))

    def test_before_the_start_refuses_the_job_and_it_can_be_started_once_there_is_room(
        self, lab: Lab, move_to_disk: Callable[[str], None]
    ) -> None:
        move_to_disk("4m")
        ballast = lab.workdir / "ballast"
        _fill(ballast)
        error = lab.run(lab.spec()).error
        assert (error["code"], error["message"]) == ("device_io", "No space left on device")
        assert "spec.json" not in lab.left_in()
        ballast.unlink()
        assert lab.run(lab.spec()).status.state == "done"


class TestGarbage:
    def test_old_ended_jobs_go_young_ones_and_running_ones_stay(self, lab: Lab) -> None:
        for job in ("old-ended", "new-ended"):
            lab.run(lab.spec(job, artifact="never-shipped"))
        lab.run(lab.spec("old-running", timing=LONG), wait_s=0)
        lab.warming_up("old-running")
        _age(lab.folder("old-ended"), lab.folder("old-running"))
        _of_an_earlier_boot(lab.folder("old-ended"))
        assert lab.call("gc", "--keep-days", 30).json["removed"] == ["jobs/old-ended"]
        assert lab.status("old-running").state == "running"
        assert lab.folder("new-ended").exists()
        lab.call("cancel", "--job", "old-running")

    def test_a_clock_that_is_set_makes_no_garbage(self, lab: Lab) -> None:
        """What a board made at what it took for 1970 looks old once it knows the time: the agent of a job under way, a
        result that nobody has fetched."""
        lab.run(lab.spec("ended"))
        agent = lab.workdir / "agents" / "other.pyz"
        agent.parent.mkdir()
        agent.write_bytes(b"")
        lab.run(lab.spec("under-way", timing=LONG), wait_s=0)
        lab.warming_up("under-way")
        for path in (lab.folder("ended"), lab.folder("under-way"), agent):
            os.utime(path, (0, 0))
        assert lab.call("gc", "--keep-days", 30).json["removed"] == []
        lab.call("cancel", "--job", "under-way")
        assert lab.samples("ended")
        assert lab.call("gc", "--keep-days", 30).json["removed"] == ["agents/other.pyz"]

    def test_what_an_unfinished_job_needs_stays(self, lab: Lab) -> None:
        lab.ship("other-0001", lab.model)
        lab.run(lab.spec(timing=LONG), wait_s=0)
        lab.warming_up()
        _age(lab.workdir / "artifacts" / lab.artifact, lab.workdir / "artifacts" / "other-0001")
        assert lab.call("gc", "--keep-days", 30).json["removed"] == ["artifacts/other-0001"]
        lab.call("cancel", "--job", "job-0001")

    def test_a_lost_job_is_an_ended_one(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        supervisor, worker = lab.warming_up()
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not alive(worker))
        _age(lab.folder())
        _of_an_earlier_boot(lab.folder())
        assert lab.call("gc", "--keep-days", 30).json["removed"] == ["jobs/job-0001"]

    def test_folders_that_never_became_jobs_go_too_and_stop_nothing(self, lab: Lab) -> None:
        lab.folder("empty").mkdir(parents=True)
        lab.folder("damaged").mkdir()
        (lab.folder("damaged") / "status.json").write_bytes(b"{")
        _age(lab.folder("empty"), lab.folder("damaged"))
        answer = lab.call("gc", "--keep-days", 30)
        assert answer.json["removed"] == ["jobs/damaged", "jobs/empty"]
        assert answer.json["free_bytes"] > 0

    def test_a_working_folder_that_is_not_there_holds_no_garbage(self, lab: Lab) -> None:
        lab.workdir.rename(lab.workdir.with_name("gone"))
        assert lab.call("gc", "--keep-days", 30).error["code"] == "device_io"

    def test_the_agent_at_work_is_not_garbage(self, lab: Lab) -> None:
        agents = lab.workdir / "agents"
        agents.mkdir()
        kept, gone = agents / "new.pyz", agents / "old.pyz"
        for path in (kept, gone):
            path.write_bytes(lab.bundle.read_bytes())
            _age(path)
        lab.bundle = kept
        assert lab.call("gc", "--keep-days", 30).json["removed"] == ["agents/old.pyz"]


def test_a_supervisor_sleeps_while_its_worker_measures(lab: Lab) -> None:
    lab.run(lab.spec(timing=LONG), wait_s=0)
    supervisor, worker = lab.warming_up()
    before, ticks = _wake_ups(supervisor), cpu_ticks(worker)
    until(lambda: cpu_ticks(worker) > ticks + 50)
    assert _wake_ups(supervisor) == before
    lab.call("cancel", "--job", "job-0001")


def test_what_the_agent_itself_cannot_read_fails_the_job_with_the_reason(lab: Lab) -> None:
    supervisor = _stopped_before_the_result(lab)
    (lab.folder() / "process-trial-0.json").write_bytes(b"{}")
    os.kill(supervisor, signal.SIGCONT)
    found = lab.wait().status
    assert found.state == "failed"
    assert found.error is not None
    assert found.error.code == "agent_failed"
    assert "the key 'index' is missing" in found.error.message
    assert lab.left_in() == {"lock", "log", "spec.json", "status.json"}


def test_a_damaged_status_is_named_and_not_overwritten(lab: Lab) -> None:
    lab.run(lab.spec())
    (lab.folder() / "status.json").write_bytes(b'{"state"')
    for answer in (lab.wait(), lab.run(lab.spec()), lab.call("cancel", "--job", "job-0001")):
        assert answer.error["code"] == "damaged_job"
        assert answer.error["where"] == str(lab.folder())
    assert lab.samples()


def _stopped_before_the_result(lab: Lab) -> int:
    """Run a short job whose supervisor stands still once its worker measures; its pid, when the worker has ended."""
    lab.run(lab.spec(), wait_s=0)
    supervisor = lab.started()
    until(lambda: worker_of(supervisor))
    os.kill(supervisor, signal.SIGSTOP)
    until((lab.folder() / "process-trial-0.json").exists)
    return supervisor


def _wake_ups(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def _age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (OLD, OLD))


def _of_an_earlier_boot(job: Path) -> None:
    status = json.loads((job / "status.json").read_bytes())
    (job / "status.json").write_text(json.dumps({**status, "boot_id": "an-earlier-boot"}))


def _fill(path: Path) -> None:
    try:
        with path.open("wb", buffering=0) as stream:
            while stream.write(bytes(4096)):
                pass
    except OSError:
        return
