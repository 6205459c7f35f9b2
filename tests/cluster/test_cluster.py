"""A sweep on a real cluster: workers of two sites reach real SSH servers, the controller keeps everything."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.lab import Cluster, running
from tests.operator import BRIEF, Operator
from tests.ssh.sshd import Sshd, wait_until

PATIENCE_S = 120.0

LONG = BRIEF.replace("Timing(1, 0.0, 5, 0.1, 0.05, 20, 1.0)", "Timing(1, 0.0, 5, 0.1, 3.0, 20, 3.0)")
"""Cells of three seconds, in which something can be killed."""


@pytest.fixture(scope="module")
def started() -> Iterator[Cluster]:
    with running({"alpha": "site-a=1", "beta": "site-b=1", "beta-2": "site-b=1"}) as cluster:
        yield cluster


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    return started.whole()


@pytest.fixture
def operator(operator: Operator) -> Operator:
    operator.prelude = BRIEF
    return operator


def fleet(operator: Operator, *devices: tuple[Sshd, str]) -> Path:
    """A fleet file in which each server is a device of that site."""
    path = operator.home / "fleet.toml"
    path.write_text("".join(server.fleet_toml() + (f'site = "{site}"\n' if site else "") for server, site in devices))
    return path


def plan(operator: Operator, model: Path, *, batches: tuple[int, ...] = (1,)) -> Path:
    path = operator.home / "nightly.toml"
    path.write_text(
        f'models = ["{model}"]\nprecisions = ["fp32"]\nbackends = ["onnxruntime"]\nbatches = {list(batches)}\n'
        "quick = true\nprocesses = 1\nweights = \"pretrained\"\n"
    )
    return path


def test_many_devices_of_two_sites(
    cluster: Cluster, operator: Operator, start_sshd: Callable[..., Sshd], tiny_onnx: Path
) -> None:
    servers = [start_sshd(name) for name in ("a-1", "a-2", "a-3", "b-1")]
    fleet(operator, *((server, f"site-{server.name[0]}") for server in servers))
    arguments = ("sweep", plan(operator, tiny_onnx, batches=(1, 2)), "--json")
    answer = operator.run(*arguments, "--scheduler", cluster.address, timeout=PATIENCE_S)
    print(answer.err, answer.out, cluster.workers["alpha"].log)
    assert answer.code in (0, 4), answer.err
