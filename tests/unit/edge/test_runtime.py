"""From a device and an argv of the agent to the argv that is run on it."""

from __future__ import annotations

import subprocess
from pathlib import PurePosixPath
from typing import Any

import pytest

from edge.agent.runtime import container, host_pythons, on_host, pythons, trouble
from edge.inventory.devices import Device
from edge.inventory.runtime_keys import ContainerKey
from edge.transport.base import Completed
from profiles.load import device_profile

WORKDIR = PurePosixPath("/home/me/.cache/edgebench/1")
LOOKED = "1000\n1001\nsha256:abc\n"
SHOW = ["sh", "-c", 'printf "%s|%s" "$GREETING" "$1"', "sh", "it's"]


def device(profile: str = "a100-80gb", **fields: Any) -> Device:
    return Device("board", "10.0.0.9", device_profile(profile), **fields)


def ran(argv: list[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, input=stdin, capture_output=True, check=False)


class TestOnTheHost:
    def test_a_plain_device_gets_the_argv_as_it_is(self) -> None:
        assert on_host(device(), SHOW) == SHOW

    def test_variables_are_set(self) -> None:
        assert ran(on_host(device(env=(("GREETING", "a b'c"),)), SHOW)).stdout == b"a b'c|it's"

    @pytest.mark.parametrize(
        "setup",
        [
            "export GREETING=hi",
            "export GREETING=hi # said",
            "false || export GREETING=hi",
            "GREETING=hi\nexport GREETING",
        ],
    )
    def test_setup_is_a_shell_s_text_before_the_command(self, setup: str) -> None:
        assert ran(on_host(device(setup=setup), SHOW)).stdout == b"hi|it's"

    def test_setup_neither_takes_what_the_agent_is_to_read_nor_speaks_in_its_place(self) -> None:
        done = ran(on_host(device(setup="cat; echo loaded cuda/12.6"), ["cat"]), stdin=b"the job")
        assert (done.stdout, done.stderr) == (b"the job", b"loaded cuda/12.6\n")

    def test_a_variable_of_the_file_wins_over_what_setup_says(self) -> None:
        one = device(setup="export GREETING=hi", env=(("GREETING", "hello"),))
        assert ran(on_host(one, SHOW)).stdout == b"hello|it's"

    def test_a_setup_that_fails_runs_nothing_and_its_own_words_are_found(self) -> None:
        one = device(setup="echo cuda: unknown module >&2; false")
        done = ran(on_host(one, ["echo", "ran"]))
        assert done.stdout == b""
        error = trouble(one, Completed(done.returncode, done.stdout, done.stderr))
        assert error is not None
        assert (error.code, error.message) == ("setup", "its setup failed (cuda: unknown module)")


class TestPythons:
    def test_a_host_s_own_and_the_container_s(self) -> None:
        assert pythons(device()) == host_pythons(device()) == ("/usr/bin/python3", "python3")
        assert pythons(device(python="/opt/v/bin/python")) == ("/opt/v/bin/python",)
        inside = device(container=ContainerKey("a:1"), python="/opt/v/bin/python")
        assert (pythons(inside), host_pythons(inside)) == (("/opt/v/bin/python",), ("/usr/bin/python3", "python3"))
        assert pythons(device(container=ContainerKey("a:1"))) == ("python3",)


class TestAContainer:
    def options(self, profile: str, key: ContainerKey, **fields: Any) -> tuple[str, ...]:
        one = device(profile, container=key, **fields)
        return container(one, key, LOOKED, WORKDIR, "python3").options

    @pytest.mark.parametrize(
        ("profile", "engine", "gpu"),
        [
            ("a100-80gb", "docker", ("--gpus=all",)),
            ("a100-80gb", "podman", ("--device=nvidia.com/gpu=all", "--security-opt=label=disable")),
            ("jetson-agx-orin-64gb", "docker", ("--runtime=nvidia",)),
            ("jetson-agx-orin-64gb", "podman", ("--device=nvidia.com/gpu=all", "--security-opt=label=disable")),
            ("local", "docker", ()),
        ],
    )
    def test_gets_the_gpus_as_its_kind_of_device_hands_them_on(
        self, profile: str, engine: str, gpu: tuple[str, ...]
    ) -> None:
        found = self.options(profile, ContainerKey("a:1", engine))
        assert found[0] == f"--mount=type=bind,source={WORKDIR},target={WORKDIR}"
        assert found[-len(gpu) :] == gpu if gpu else not any("gpu" in word for word in found)
        assert any("nv_tegra_release" in word for word in found) == profile.startswith("jetson")

    def test_of_docker_writes_files_as_the_user_and_podman_s_root_is_the_user(self) -> None:
        assert "--user=1000:1001" in self.options("local", ContainerKey("a:1"))
        assert not any(word.startswith("--user") for word in self.options("local", ContainerKey("a:1", "podman")))

    def test_gets_what_the_operator_adds_in_place_of_ours_where_it_is_of_the_kind(self) -> None:
        args = ("--device=nvidia.com/gpu=0", "--user", "0:0", "--network=host", "--shm-size=1g")
        found = self.options("a100-80gb", ContainerKey("a:1", args=args), env=(("A", "b c"),))
        assert found[1:] == (*args, "--env=A=b c")

    def test_is_run_by_name_and_its_image_never_fetched(self) -> None:
        key = ContainerKey("a:1")
        made = container(device("local", container=key), key, LOOKED, WORKDIR, "python3")
        argv = made.argv(["agent.pyz", "worker"], "edgebench-job-1", {"CUDA_VISIBLE_DEVICES": "GPU-1"})
        assert argv[:6] == ["docker", "run", "--rm", "--interactive", "--pull=never", "--name=edgebench-job-1"]
        assert argv[-5:] == ["--env=CUDA_VISIBLE_DEVICES=GPU-1", "a:1", "python3", "agent.pyz", "worker"]
        assert made.identity["container_image_id"].value == "sha256:abc"


class TestWhatAnEngineSays:
    """Lines of docker 28 and podman 4.3 and 5, as their sources have them; podman 4.3's, and that of a docker without
    its daemon, were seen."""

    @pytest.mark.parametrize(
        ("engine", "line", "message", "fix"),
        [
            ("docker", "sh: 3: exec: docker: not found", "docker is not there", "install docker there"),
            ("podman", "Error: inspecting object: image not known", "the image a:1 is not there", "podman pull a:1"),
            ("docker", "Error: No such image: a:1", "the image a:1 is not there", "docker pull a:1"),
            (
                "docker", "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?",
                "Docker's daemon does not run", "sudo systemctl start docker",
            ),
            (
                "docker", 'docker: could not select device driver "" with capabilities: [[gpu]]',
                "Docker knows no NVIDIA runtime", "nvidia-ctk runtime configure",
            ),
            (
                "docker", "docker: Error response from daemon: unknown or invalid runtime name: nvidia",
                "Docker knows no NVIDIA runtime", "nvidia-ctk runtime configure",
            ),
            (
                "podman", "Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all",
                "podman does not know the GPUs", "nvidia-ctk cdi generate",
            ),
            (
                "podman", "Error: stat nvidia.com/gpu=all: no such file or directory",
                "podman does not know the GPUs", "nvidia-ctk cdi generate",
            ),
            (
                "docker", "bind source path does not exist: /etc/nv_tegra_release",
                "the host is no Jetson", "`profile =` of board",
            ),
            ("podman", "Error: something", "podman does not start a:1 (Error: something)", "podman run --rm a:1"),
        ],
    )  # fmt: skip
    def test_is_explained_with_the_command_that_mends_it(self, engine: str, line: str, message: str, fix: str) -> None:
        error = trouble(device(container=ContainerKey("a:1", engine)), Completed(125, b"", f"{line}\n".encode()))
        assert error is not None
        assert error.message.startswith(message)
        assert line in error.message
        assert fix in error.fix

    def test_an_answer_of_the_agent_is_none_of_it(self) -> None:
        assert trouble(device(container=ContainerKey("a:1")), Completed(1, b'{"error": {}}', b"")) is None
        assert trouble(device(), Completed(125, b"", b"Error: No such image: a:1")) is None
