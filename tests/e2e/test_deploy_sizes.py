"""One model at several sizes of its images, through the real commands: onnxruntime on this machine, a real TensorRT-RTX
that builds, and a scripted TensorRT behind OpenSSH servers that runs what it builds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.api import Options
from export.artifact import Artifact, Store
from export.asking import make_request
from export.cache import remember
from export.models import parse_model
from tests import free_sizes
from tests.operator import BRIEF, Operator
from tests.ssh.sshd import Sshd
from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT

DEPLOY = ("deploy", "resnet18", "--framework", "pytorch", "--quick")
PROFILE = {"batch": {"min": 1, "opt": 2, "max": 8}, "height": {"min": 32, "opt": 48, "max": 96},
           "width": {"min": 32, "opt": 64, "max": 96}}  # fmt: skip


@pytest.fixture
def stocked(operator: Operator) -> Operator:
    """An operator whose store holds a network with free batch, height and width, as resnet18."""
    free_sizes.adopted(Store(operator.home / ".cache" / "edgebench"))
    operator.prelude = BRIEF
    return operator


def test_every_size_is_measured_and_checked_where_there_is_golden_data_for_it(stocked: Operator) -> None:
    command = (*DEPLOY, "--batch", "1,3", "--size", "32,48x64,96,40x56")
    answer = stocked.run(*command, "--json")
    assert answer.code in (0, 4), answer.err
    rows = answer.json["measurements"]
    sizes = [(row["batch"], row["size"]["height"], row["size"]["width"]) for row in rows]
    assert sizes == [(batch, *size) for batch in (1, 3) for size in ((32, 32), (48, 64), (96, 96), (40, 56))]
    for row in rows:
        unknown = [finding["reason"] for finding in row["findings"] if finding["rule"] == "parity_unknown"]
        parity = stocked.stored(row["id"])["result"]["processes"][0].get("parity_after")
        if row["size"] == {"height": 40, "width": 56}:
            assert parity is None
            assert "the artifact has no reference for 40x56" in unknown[0]
        else:
            assert parity["error"] < parity["limit"] == 1e-3
            assert unknown == []
    again = stocked.run(*command)
    header, *lines = again.out.partition("\n\n")[2].splitlines()
    assert "size" in header.split()
    assert all(told in "\n".join(lines) for told in ("32x32", "48x64", "96x96", "40x56"))
    shown = stocked.run("results", "show", rows[0]["id"])
    assert "resnet18/pytorch fp32 batch 1 at 32x32 on onnxruntime" in shown.out


def test_without_a_size_it_is_the_one_that_the_artifact_is_tuned_for(stocked: Operator) -> None:
    answer = stocked.run(*DEPLOY, "--json")
    assert answer.code in (0, 4), answer.err
    assert [row["size"] for row in answer.json["measurements"]] == [{"height": 48, "width": 64}]
    assert "size 48x64 of resnet18/pytorch (what the artifact that is there is for)" in answer.json["choices"]


def test_data_of_the_operator_s_has_to_be_of_the_size(stocked: Operator) -> None:
    images = np.random.default_rng(0).uniform(-2, 2, (6, 3, 40, 56)).astype(np.float32)
    np.savez(stocked.home / "mine.npz", images=images)
    answer = stocked.run(*DEPLOY, "--inputs", "mine.npz", "--size", "40x56", "--json")
    assert answer.code in (0, 4), answer.err
    (row,) = answer.json["measurements"]
    assert row["inputs"]["checked"], row["inputs"]["reference"]
    parity = stocked.stored(row["id"])["result"]["processes"][0]["parity_after"]
    assert parity["error"] < parity["limit"]
    other = stocked.run(*DEPLOY, "--inputs", "mine.npz", "--size", "48x64")
    assert other.code != 0
    assert "has the shape (6, 3, 40, 56), the model's is (samples, 3, 48, 64)" in other.out + other.err


def test_the_real_builder_takes_all_three_ranges(stocked: Operator) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install 'edgebench[tensorrt-rtx]'")
    known(stocked)
    export = ("export", "resnet18", "--framework", "pytorch", "--weights", "random", "--precision", "fp32")
    asked = ("--size", "32:48:96x32:64:96", "--bounds", "1:2:8", "--engine", "tensorrt-rtx", "--target", "sm80")
    answer = stocked.run(*export, *asked, "--json", timeout=300)
    assert answer.code == 0, answer.err
    (engine,) = answer.json["artifacts"]
    assert (engine["batch"], engine["profiles"]) == ("dynamic", [PROFILE])
    assert engine["inputs"][0]["shape"] == ["batch", 3, "height", "width"]
    assert json.loads((Path(engine["path"]) / "engine.json").read_text())["profiles"] == [PROFILE]
    listed = stocked.run("engines", "list")
    assert "batch 1:2:8, height 32:48:96, width 32:64:96" in listed.out


def known(operator: Operator) -> Artifact:
    """The network as the answer to its export, so that the command finds it."""
    store = Store(operator.home / ".cache" / "edgebench")
    made, ref = free_sizes.adopted(store), parse_model("resnet18")
    size = (free_sizes.SIDES["height"], free_sizes.SIDES["width"])
    request = make_request(
        ref, "pytorch", made.precision, "dynamic", "random", bounds=(free_sizes.BATCHES,), options=Options(size=size)
    )
    remember(ref, request, store, made)
    return made


def test_a_class_shares_one_engine_for_all_sizes(
    stocked: Operator, start_sshd: Callable[..., Sshd], scripted_tensorrt: ScriptedTensorRT
) -> None:
    fleet, environment = "", scripted_tensorrt.environment("10.3")
    servers = {name: start_sshd(name=name) for name in ("orin-1", "orin-2")}
    for name, server in servers.items():
        python = server.folder / "python"
        settings = " ".join(f"{key}={value}" for key, value in environment.items())
        python.write_text(f'#!/bin/sh\n{settings} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        fleet += server.fleet_toml("jetson-agx-orin-64gb") + f'python = "{python}"\n'
        fleet += "builder = true\n" if name == "orin-1" else ""
    (stocked.home / "fleet.toml").write_text(fleet)
    options = ("--precision", "fp32", "--engines", "per-class", "--size", "32x96,96", "--batch", "1,8")
    answer = stocked.run(*DEPLOY, "--device", "orin", *options, "--json", timeout=180)
    assert answer.code in (0, 4), answer.err + answer.out
    results = [stocked.stored(row["id"])["result"] for row in answer.json["measurements"]]
    assert len(results) == 8
    assert len({result["engine"]["report"]["file"]["sha256"] for result in results}) == 1
    assert [len(list(server.home.rglob("engines/*/model.engine"))) for server in servers.values()] == [1, 0]
    assert [result["engine"]["report"]["profiles"] for result in results] == [[PROFILE]] * 8
    shapes = {result["command"].partition(" --shapes=")[2].split()[0] for result in results}
    assert shapes == {f"images:{batch}x3x{size}" for batch in (1, 8) for size in ("32x96", "96x96")}
    checked = [result for result, row in zip(results, answer.json["measurements"], strict=True) if _square(row)]
    assert len(checked) == 4
    assert all(one["processes"][0]["parity_after"]["error"] < 1e-3 for one in checked)


def _square(row: dict[str, Any]) -> bool:
    return bool(row["size"]["height"] == row["size"]["width"])
