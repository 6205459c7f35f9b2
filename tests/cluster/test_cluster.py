"""A sweep on a real cluster: workers of two sites reach real SSH servers, the controller keeps everything."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cluster_lab import Cluster, Process, authority, running

from tests.operator import BRIEF, SOUND, Operator
from tests.ssh.sshd import Sshd, wait_until
from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT

PATIENCE_S = 120.0
IMPATIENT = "import edge.cluster.scheduler\nedge.cluster.scheduler.WORKER_S = 2.0\n"
LONG = SOUND + BRIEF.replace("Timing(1, 0.0, 5, 0.1, 0.05, 20, 1.0)", "Timing(1, 0.0, 5, 0.1, 4.0, 20, 4.0)")
"""Cells of four seconds, in which something can be killed."""

Start = Callable[..., Sshd]


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    with running({"alpha": "site-a=1", "beta": "site-b=1", "beta-2": "site-b=1"}) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    return started.whole()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, tiny_onnx: Path) -> Path:
    """The store of an operator who has exported the model before."""
    exporter = Operator(tmp_path_factory.mktemp("exporter"))
    done = exporter.run("export", tiny_onnx, timeout=PATIENCE_S)
    assert done.code == 0, done.err
    return exporter.home / ".cache/edgebench"


@pytest.fixture
def operator(operator: Operator, exported: Path) -> Operator:
    shutil.copytree(exported, operator.home / ".cache/edgebench")
    operator.prelude = BRIEF + SOUND
    return operator


@pytest.fixture
def sweep(operator: Operator, tiny_onnx: Path) -> tuple[str, ...]:
    """The command that measures two cells on each device: the same artifact twice."""
    path = operator.home / "nightly.toml"
    path.write_text(
        f'models = ["{tiny_onnx}"]\nprecisions = ["fp32"]\nbackends = ["onnxruntime"]\nrepeats = 2\n'
        "quick = true\nprocesses = 1\n"
    )
    return ("sweep", str(path), "--scheduler")


def fleet(operator: Operator, *servers: Sshd) -> None:
    """Each is a device of the site that its name begins with."""
    lines = [
        f'{server.fleet_toml()}python = "{sys.executable}"\nsite = "site-{server.name[0]}"\n' for server in servers
    ]
    (operator.home / "fleet.toml").write_text("".join(lines))


def events(operator: Operator, *kinds: str) -> list[str]:
    journals = list((operator.home / ".local/share/edgebench/sweeps").glob("*/*.jsonl"))
    return [event["event"] for event in operator.journal() if event["event"] in kinds] if journals else []


def form(value: Any) -> Any:
    """What a result consists of, whatever was measured."""
    if isinstance(value, dict):
        return {key: form(item) for key, item in value.items()}
    return [form(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_devices_of_two_sites_as_from_this_machine(
    cluster: Cluster, operator: Operator, sweep: tuple[str, ...], start_sshd: Start
) -> None:
    plan = Path(sweep[1])
    plan.write_text(plan.read_text().replace("repeats = 2", ""))
    fleet(operator, *(start_sshd(name) for name in ("a-1", "a-2", "a-3", "b-1")))
    answer = operator.run(*sweep, cluster.address, timeout=PATIENCE_S)
    assert answer.code in (0, 4), answer.err
    assert sorted(events(operator, "submitted", "done", "failed")) == ["done"] * 4 + ["submitted"] * 4
    sent = [line for line in answer.err.splitlines() if line.startswith("sending ")]
    assert sorted(line.split()[-2] for line in sent) == ["site-a", "site-b"], "once to a site, whatever devices it has"
    assert len(cluster.workers["alpha"].received) == 1
    assert "a-3: measuring tiny/onnx fp32 batch 1 on onnxruntime ..." in answer.err
    assert "a-3: tiny/onnx fp32 batch 1 on onnxruntime: done [1 of 1]" in answer.err

    far = {one["id"] for one in operator.measurements()}
    again = operator.run(*sweep[:2], "--fresh", "--device", "a-1", timeout=PATIENCE_S)
    assert again.code in (0, 4), again.err
    near = {one["id"] for one in operator.measurements()} - far
    here = operator.stored(near.pop())
    there = next(one for one in map(operator.stored, far) if one["cell"] == here["cell"])
    assert form(there) == form(here)
    assert there["origin"] == here["origin"]


def test_a_worker_probes_and_gets_the_engine_of_a_class_and_own_data(
    cluster: Cluster,
    operator: Operator,
    tiny_onnx: Path,
    start_sshd: Start,
    scripted_tensorrt: ScriptedTensorRT,
) -> None:
    lines = []
    for name in ("b-1", "b-2"):
        server = start_sshd(name)
        python = server.folder / "python"
        given = " ".join(f"{key}={value}" for key, value in scripted_tensorrt.environment("10.3").items())
        python.write_text(f'#!/bin/sh\n{given} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        lines.append(f'{server.fleet_toml("jetson-agx-orin-64gb")}python = "{python}"\nsite = "site-b"\n')
    (operator.home / "fleet.toml").write_text("".join(lines).replace("site = ", "builder = true\nsite = ", 1))
    np.savez(operator.home / "data.npz", images=np.random.default_rng(1).random((4, 3, 32, 32), np.float32))
    pixels = pytest.importorskip("PIL.Image", reason="making images needs Pillow")
    for label in (0, 7):
        (operator.home / "photos" / str(label)).mkdir(parents=True)
        pixels.new("RGB", (40, 50), (label * 30, 99, 9)).save(operator.home / "photos" / str(label) / "a.png")
    told = ("--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
    assert operator.run("export", tiny_onnx, *told, "--precision", "fp16").code == 0
    plan = operator.home / "engines.toml"
    plan.write_text(
        f'models = ["{tiny_onnx}"]\nquick = true\nprocesses = 1\nengines = "per-class"\ninputs = "data.npz"\n'
        'dataset = "photos"\n'
    )
    answer = operator.run("sweep", plan, "--scheduler", cluster.address, timeout=PATIENCE_S)
    assert answer.code in (0, 4), answer.err + answer.out
    assert "backend tensorrt 10.3.0.30 on b-2: the first choice of its profile" in answer.out
    kept = {one["cell"]["device"]: one for one in (operator.stored(one["id"]) for one in operator.measurements())}
    assert kept["b-2"]["result"]["engine"]["why"] == "built by b-1"
    assert [one["origin"]["inputs"]["samples"] for one in kept.values()] == [4, 4]
    assert [one["origin"]["labelled"]["images"] for one in kept.values()] == [2, 2]
    assert [one["result"]["processes"][-1]["accuracy"]["images"] for one in kept.values()] == [2, 2]
    sent = [line.split(" to ")[1] for line in answer.err.splitlines() if line.startswith("sending the data (")]
    assert set(sent) == {"site-b ..."}


def test_another_worker_goes_on_where_one_is_killed(
    cluster: Cluster, operator: Operator, sweep: tuple[str, ...], start_sshd: Start
) -> None:
    child, holder = _measuring(operator, sweep, cluster, start_sshd("b-1"))
    holder.kill()
    _, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode in (0, 4), err
    assert "b-1: the worker" in err
    assert "another one goes on" in err
    assert "b-1: taking up tiny/onnx" in err
    assert events(operator, "submitted", "done") == ["submitted", "done"] * 2
    assert len(operator.measurements()) == 2


def test_a_site_that_lost_its_worker_fails_with_what_mends_it(
    cluster: Cluster, operator: Operator, sweep: tuple[str, ...], start_sshd: Start
) -> None:
    device = start_sshd("a-1")
    child, holder = _measuring(operator, sweep, cluster, device, IMPATIENT)
    holder.kill()
    out, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 1, err
    assert "failed on a-1 (scheduler" in out + err
    assert 'no worker of site site-a came in 2 s; start one: dask worker ADDRESS --resources "site-a=1"' in out + err

    cluster.whole()
    again = operator.run(*sweep, cluster.address, timeout=PATIENCE_S)
    assert again.code in (0, 4), again.err
    jobs = [path.name for path in device.home.glob(".cache/edgebench/*/jobs/*")]
    assert len(jobs) == len(operator.measurements()) == 2, "the job that was under way was collected, not repeated"


def test_a_controller_that_was_killed_is_taken_up_and_nothing_is_doubled(
    cluster: Cluster, operator: Operator, sweep: tuple[str, ...], start_sshd: Start
) -> None:
    device = start_sshd("a-1")
    child, _ = _measuring(operator, sweep, cluster, device)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert events(operator, "submitted", "done") == ["submitted"]

    again = operator.run(*sweep, cluster.address, "--resume", timeout=PATIENCE_S)
    assert again.code in (0, 4), again.err
    assert events(operator, "submitted", "done", "finished") == ["submitted", "done", "submitted", "done", "finished"]
    jobs = [path.name for path in device.home.glob(".cache/edgebench/*/jobs/*")]
    assert len(jobs) == len(operator.measurements()) == 2


def test_ctrl_c_cancels_through_the_worker(
    cluster: Cluster, operator: Operator, sweep: tuple[str, ...], start_sshd: Start
) -> None:
    device = start_sshd("a-1")
    child, _ = _measuring(operator, sweep, cluster, device)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 130, err
    assert "the job on a-1 was cancelled; what was finished is kept" in err
    assert "Traceback" not in err
    assert events(operator, "submitted", "cancelled", "done") == ["submitted", "cancelled"]
    assert '"cancelled"' in next(device.home.glob(".cache/edgebench/*/jobs/*/status.json")).read_text()


def test_a_site_without_a_worker_is_told_before_anything_begins(
    cluster: Cluster, operator: Operator, sweep: tuple[str, ...], start_sshd: Start
) -> None:
    fleet(operator, start_sshd("a-1"), start_sshd("z-1"))
    answer = operator.run(*sweep, cluster.address)
    assert answer.code == 2
    assert answer.err == (
        "edgebench: --scheduler: no worker is of site site-z: its workers are of site-a, site-b; "
        'start one there: dask worker ADDRESS --resources "site-z=1"\n'
    )
    assert not (operator.home / ".local").exists()


def test_tls_lets_in_who_has_a_certificate_of_the_same_authority(
    tmp_path: Path, operator: Operator, sweep: tuple[str, ...], start_sshd: Start
) -> None:
    fleet(operator, start_sshd("a-1"))
    ours, others = authority(tmp_path / "ours"), authority(tmp_path / "others")
    with running({"alpha": "site-a=1"}, protocol="tls", options=ours) as secure:
        answer = operator.run(*sweep, secure.address, *ours, timeout=PATIENCE_S)
        assert answer.code in (0, 4), answer.err
        assert len(operator.measurements()) == 2

        bare = operator.run(*sweep, secure.address)
        assert (bare.code, bare.err.count("\n")) == (2, 1)
        assert "tls:// needs certificates; give --tls-ca-file, --tls-cert and --tls-key" in bare.err
        stranger = operator.run(*sweep, secure.address, *others)
        assert (stranger.code, stranger.err.count("\n")) == (1, 1), stranger.err
        assert "no scheduler answers" in stranger.err


def _measuring(
    operator: Operator, sweep: tuple[str, ...], cluster: Cluster, device: Sshd, prelude: str = ""
) -> tuple[subprocess.Popen[str], Process]:
    """The command, once it measures on its one device, and the worker that follows the job."""
    operator.prelude = LONG + prelude
    fleet(operator, device)
    child = operator.start(*sweep, cluster.address)
    wait_until(lambda: events(operator, "submitted"), f"{device.name} to measure", PATIENCE_S)
    (holder,) = (worker for worker in cluster.workers.values() if worker.is_connected_to(device.port))
    return child, holder
