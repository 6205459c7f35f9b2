"""Jobs on a host with several GPUs: the real agent, a stand-in for nvidia-smi. The model runs on the processor."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from agent_lab import LONG, Lab, until

from device_agents.locks import accelerator_path
from tests import recorded


@pytest.fixture
def uuids(lab: Lab) -> Iterator[list[str]]:
    """Two GPUs, of which somebody else keeps the first busy."""
    each = [f"GPU-{uuid4()}" for _ in range(2)]
    (lab.tools / "nvidia-smi").unlink()
    busy = {"uuid": each[0], "utilization.gpu": "55", "apps": [{"pid": 7, "process_name": "train", "used_memory": "9"}]}
    recorded.gpus(lab.tools, busy, {"uuid": each[1]})
    yield each
    for uuid in each:
        accelerator_path(uuid).unlink(missing_ok=True)


def environment(pid: int) -> dict[str, str]:
    words = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(word.split("=", 1) for word in words if word)


def test_the_idle_one_is_taken_and_named_and_its_worker_sees_no_other(lab: Lab, uuids: list[str]) -> None:
    lab.run(lab.spec(timing=LONG), wait_s=0)
    _, worker = lab.warming_up()
    pinned = environment(worker)
    assert pinned["CUDA_VISIBLE_DEVICES"] == uuids[1]
    assert pinned["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    lab.call("cancel", "--job", "job-0001")

    assert lab.run(lab.spec("job-0002")).status.state == "done"
    context = lab.result("job-0002").context
    assert context["gpu_uuid"].value == uuids[1]
    assert str(context["gpu_choice"].value).startswith(f"1 ({uuids[1]}): the first idle one of 2")
    assert context["gpu_neighbours"].value == "0: 55 % busy, 1 process, 0.0 GiB used"


def test_two_gpus_run_side_by_side_and_a_third_job_waits(lab: Lab, uuids: list[str]) -> None:
    for job, gpu in (("job-0001", "0"), ("job-0002", uuids[1])):
        lab.run(lab.spec(job, timing=LONG, gpu=gpu), wait_s=0)
    workers = [lab.warming_up(job)[1] for job in ("job-0001", "job-0002")]
    assert [environment(pid)["CUDA_VISIBLE_DEVICES"] for pid in workers] == uuids
    error = lab.fails(lab.spec("job-0003", gpu="1", lock_timeout_s=0.1))
    assert error.code == "busy"
    assert f"the {uuids[1]} is held by" in error.message
    assert "(job job-0002)" in error.message
    for job in ("job-0001", "job-0002"):
        assert lab.call("cancel", "--job", job).status.state == "cancelled"


def test_a_free_choice_passes_over_what_another_job_holds(lab: Lab, uuids: list[str]) -> None:
    lab.run(lab.spec(timing=LONG), wait_s=0)
    lab.warming_up()
    assert lab.run(lab.spec("job-0002")).status.state == "done"
    assert lab.result("job-0002").context["gpu_uuid"].value == uuids[0], "busy, but nobody holds it"
    lab.call("cancel", "--job", "job-0001")


def test_one_that_is_not_there_is_an_error(lab: Lab, uuids: list[str]) -> None:
    error = lab.fails(lab.spec(gpu="5"))
    assert (error.code, error.message) == (
        "no_gpu", f"there is no GPU 5 (nvidia-smi names: 0 {uuids[0]}, 1 {uuids[1]})",
    )  # fmt: skip


def test_a_build_waits_for_another_one_of_the_host(lab: Lab, uuids: list[str]) -> None:
    """Held by this test in place of another job."""
    import fcntl

    pytest.importorskip("onnx")
    held = os.open(lab.workdir / "building.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        program = Path(__file__).parents[1] / "stand_ins" / "trtexec.py"
        (lab.tools / "trtexec").write_text(f'#!/bin/sh\nexec {lab.python} {program} "$@"\n')
        (lab.tools / "trtexec").chmod(0o755)
        spec = lab.spec(backend="trtexec", options={}, lock_timeout_s=60.0)
        lab.run(spec, wait_s=0)
        until(lambda: lab.started() and lab.status().phase == "waiting for another build on this host")
    finally:
        os.close(held)
    error = lab.wait().status.error
    assert error is not None
    assert (error.code, error.stage) != ("busy", "build"), "it went on, to a stand-in that reads no real ONNX"
    assert error.stage == "build"
