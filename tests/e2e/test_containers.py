"""A device whose runtime is in a container: the whole job, its end by every hand, what is said when it cannot start.

Each test runs with a stand-in for docker (tests/stand_ins/container_engine.py) and, where one starts containers here, a
real podman. Neither is given a GPU.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from device_agents.locks import accelerator_path
from tests.operator import BRIEF, Operator
from tests.recorded import gpus
from tests.ssh.sshd import Sshd, wait_until
from tests.stand_ins.containers import Engine, docker

Start = Callable[..., Sshd]


@pytest.fixture
def board(operator: Operator, start_sshd: Start, container_engine: Engine) -> Iterator[Sshd]:
    """A server whose runtime is in a container. It has a GPU of its own as well, by a stand-in for nvidia-smi: its jobs
    queue behind no other work on this machine."""
    server = start_sshd()
    uuid = f"GPU-{uuid4()}"
    gpus(server.folder / "smi", {"uuid": uuid})
    engine = replace(container_engine, setup=f"{container_engine.setup} && export PATH={server.folder}/smi:$PATH")
    (operator.home / "fleet.toml").write_text(server.fleet_toml() + engine.toml)
    yield server
    accelerator_path(uuid).unlink(missing_ok=True)


def deploy(operator: Operator, model: Path, *words: str) -> Any:
    answer = operator.run("deploy", model, "--device", "board", *words, "--json", timeout=180)
    assert answer.code in (0, 4), answer.err + answer.out
    return answer.json


def long_job(operator: Operator, board: Sshd, model: Path, engine: Engine, seconds: float = 100.0) -> tuple[Any, Path]:
    """A deploy that is measuring in its container for so long, and the folder of its job."""
    operator.prelude = BRIEF.replace("0.05, 20, 1.0", f"{seconds}, 20, {seconds}")
    child = operator.start("deploy", model, "--device", "board", "--quick")
    wait_until(lambda: any("process 1" in path.read_text() for path in statuses(board)), "it measures", 120)
    wait_until(engine.names, "its container is there", 30)
    return child, statuses(board)[0].parent


def statuses(board: Sshd) -> list[Path]:
    return list(board.home.glob(".cache/edgebench/*/jobs/*/status.json"))


def status(job: Path) -> Any:
    return json.loads((job / "status.json").read_text())


def test_a_model_is_timed_there_and_the_result_names_the_image(
    operator: Operator, board: Sshd, container_engine: Engine, tiny_onnx: Path
) -> None:
    operator.prelude = BRIEF
    row = deploy(operator, tiny_onnx, "--quick")["measurements"][0]
    result = operator.stored(row["id"])["result"]
    identity = result["identity"]
    assert {"cpu_busy", "cpu_foreign"} <= {series["name"] for series in result["watch"]["series"]}, "from the host"
    assert identity["container_image"]["value"] == container_engine.image
    assert len(identity["container_image_id"]["value"]) >= 64
    assert not container_engine.names(), "each worker's container is gone"


def test_a_job_outlives_link_and_controller_and_is_collected_later(
    operator: Operator, board: Sshd, container_engine: Engine, tiny_onnx: Path
) -> None:
    child, job = long_job(operator, board, tiny_onnx, container_engine, seconds=3.0)
    os.killpg(child.pid, signal.SIGKILL)
    board.cut_sessions()
    assert status(job)["state"] == "running"
    wait_until(lambda: status(job)["state"] == "done", "the job ends by itself", 60)
    found = deploy(operator, tiny_onnx, "--quick")
    assert [row["id"] for row in found["measurements"]] == [job.name]
    assert [event["event"] for event in operator.journal()].count("submitted") == 1
    assert not container_engine.names()


def test_ctrl_c_ends_the_container_too(
    operator: Operator, board: Sshd, container_engine: Engine, tiny_onnx: Path
) -> None:
    child, job = long_job(operator, board, tiny_onnx, container_engine)
    os.killpg(child.pid, signal.SIGINT)
    said = "\n".join(child.communicate(timeout=60))
    assert "the job on board was cancelled" in said
    assert status(job)["state"] == "cancelled"
    wait_until(lambda: not container_engine.names(), "no container is left", 20)
    assert {path.name for path in job.iterdir()} == {"lock", "log", "spec.json", "status.json"}


@pytest.mark.parametrize("group", [False, True], ids=["alone", "with the engine's client"])
def test_no_container_outlives_a_supervisor_that_was_killed(
    operator: Operator, board: Sshd, container_engine: Engine, tiny_onnx: Path, group: bool
) -> None:
    child, job = long_job(operator, board, tiny_onnx, container_engine)
    supervisor = int(status(job)["pid"])
    (os.killpg if group else os.kill)(supervisor, signal.SIGKILL)
    wait_until(lambda: not container_engine.names(), "the worker noticed", 20)
    said = "\n".join(child.communicate(timeout=60))
    assert "its supervisor is gone" in said


class TestTheDoctor:
    """Says what was tried and what it answered, and the command that mends it. With the stand-in alone: a real engine
    is not broken for a test."""

    @pytest.fixture
    def engine(self, tmp_path: Path) -> Engine:
        return docker(tmp_path / "engine")

    def finding(self, operator: Operator, lines: str) -> Any:
        (operator.home / "fleet.toml").write_text(f"[devices.local]\n{lines}")
        answer = operator.run("devices", "doctor", "local", "--json")
        assert answer.code == 1, answer.out
        (finding,) = answer.json["devices"]["local"]["findings"]
        return finding

    def test_an_image_that_is_absent(self, operator: Operator, engine: Engine) -> None:
        found = self.finding(operator, engine.toml.replace(engine.image, "localhost/other:1"))
        assert found["check"] == "container"
        assert found["what"].startswith("the image localhost/other:1 is not there (")
        assert found["command"] == "docker pull localhost/other:1"

    def test_an_engine_that_is_absent(self, operator: Operator, tmp_path: Path) -> None:
        bare = tmp_path / "bin"
        bare.mkdir()
        for name in ("sh", "id"):
            (bare / name).symlink_to(str(shutil.which(name)))
        lines = f'container = {{ image = "a:1", engine = "podman" }}\nsetup = "PATH={bare}"\n'
        found = self.finding(operator, lines)
        assert found["what"].startswith("podman is not there (")
        assert "podman" in found["what"].partition("(")[2]
        assert found["command"] == "install podman there"

    @pytest.mark.parametrize(
        ("fails", "what", "command"),
        [
            ("daemon", "Docker's daemon does not run", "sudo systemctl start docker"),
            ("permission", "the user may not talk to Docker's daemon", 'sudo usermod -aG docker "$USER"'),
        ],
    )
    def test_a_daemon_that_does_not_answer(
        self, operator: Operator, engine: Engine, tmp_path: Path, fails: str, what: str, command: str
    ) -> None:
        (tmp_path / "engine" / "docker" / "fails").write_text(fails)
        found = self.finding(operator, engine.toml)
        assert found["what"].startswith(f"{what} (")
        assert found["command"].startswith(command)

    def test_a_docker_without_nvidia_s_runtime(self, operator: Operator, engine: Engine, tmp_path: Path) -> None:
        (tmp_path / "engine" / "docker" / "fails").write_text("toolkit")
        found = self.finding(operator, engine.toml + 'profile = "a100-80gb"\n')
        assert found["what"].startswith("Docker knows no NVIDIA runtime (docker: Error response from daemon")
        assert "sudo nvidia-ctk runtime configure --runtime=docker" in found["command"]

    def test_an_image_without_the_interpreter(self, operator: Operator, engine: Engine) -> None:
        lines = engine.toml.splitlines()
        found = self.finding(operator, "\n".join([*lines[:2], 'python = "/opt/none/python"\n']))
        assert f"/opt/none/python in {engine.image} (docker): not there" in found["what"]
        assert "container =" in found["command"]

    def test_a_setup_that_fails_is_quoted(self, operator: Operator) -> None:
        found = self.finding(operator, 'setup = "echo no such module >&2; false"\n')
        assert (found["check"], found["what"]) == ("setup", "its setup failed (no such module)")
        assert found["command"] == "mend `setup =` of local in fleet.toml"

    def test_module_that_a_plain_shell_lacks(self, operator: Operator) -> None:
        found = self.finding(operator, 'setup = "module load cuda"\n')
        assert found["command"] == 'setup = ". /etc/profile.d/modules.sh && module load cuda" for local in fleet.toml'
