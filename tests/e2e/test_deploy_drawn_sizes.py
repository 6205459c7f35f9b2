"""Sizes that are drawn for every image, through the real commands: what is measured beside them, the overhead, where it
is shown, and what is refused before anything is sent."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import DimRange
from export.api import Options
from export.artifact import Format, Store
from tests import free_sizes
from tests.e2e.conftest import ArtifactStore
from tests.operator import BRIEF, Operator
from tests.ssh.sshd import Sshd
from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT

DEPLOY = ("deploy", "resnet18", "--framework", "pytorch", "--quick", "--pattern", "sizes:32-96")
SIZES = [32, 64, 96]


@pytest.fixture
def stocked(operator: Operator) -> Operator:
    """An operator whose store holds a network with free batch, height and width, as resnet18."""
    free_sizes.adopted(Store(operator.home / ".cache" / "edgebench"))
    operator.prelude = BRIEF
    return operator


def drawn(operator: Operator, measurement: str) -> tuple[list[int], list[int]]:
    """The timed latencies, ns, and the size of each."""
    folder = operator.home / ".local/share/edgebench/measurements" / measurement[:2] / measurement
    values = np.frombuffer((folder / "samples.i64le").read_bytes(), "<i8")
    (process,) = operator.stored(measurement)["result"]["processes"]
    places = (process["timed"], process["sizes"])
    timed, sizes = (values[place["offset"] :][: place["count"]].tolist() for place in places)
    return timed, sizes


def shown(operator: Operator, measurement: str) -> dict[str, Any]:
    answer = operator.run("results", "show", measurement, "--include-invalid", "--json")
    found: dict[str, Any] = answer.json["overhead"]
    return found


def test_every_inference_has_its_size_and_each_size_is_measured_alone(stocked: Operator) -> None:
    answer = stocked.run(*DEPLOY, "--json", timeout=180)
    assert answer.code in (0, 4), answer.err
    first, *others = answer.json["measurements"]
    assert (first["pattern"], first["size"]) == ("sizes:32-96", None)
    assert [(one["pattern"], one["size"]["height"]) for one in others] == [("serial", side) for side in SIZES]
    timed, sizes = drawn(stocked, first["id"])
    assert len(timed) == len(sizes) == first["samples"]
    assert set(sizes) == set(SIZES)
    assert [(one["size"], one["samples"]) for one in first["sizes"]] == sorted(Counter(sizes).items())
    stored = stocked.stored(first["id"])
    assert stored["origin"]["size"] == [32, 32]
    assert stored["result"]["processes"][0]["parity_after"]["error"] < 1e-3
    assert "first_of_sizes" in stored["result"]["processes"][0]["seconds"]

    over = shown(stocked, first["id"])
    assert [bucket["size"] for bucket in over["buckets"]] == SIZES
    assert [bucket["static"] for bucket in over["buckets"]] == [one["id"] for one in others]
    assert over["missing"] == []
    assert over["overall"]["value"] > 0
    told = stocked.run("results", "show", first["id"], "--include-invalid").out
    assert "each as often as it was drawn" in told
    assert f"64 px: {Counter(sizes)[64]} inferences, median " in told
    assert shown(stocked, others[0]["id"]) is None

    page = stocked.run("report", "--html", "report.html")
    if "plotly" not in page.err:
        assert page.code == 0, page.err
        text = (stocked.home / "report.html").read_text()
        document = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
        assert [one["id"] for one in document["overheads"]] == [first["id"]]
        assert [bucket["size"] for bucket in document["overheads"][0]["buckets"]] == SIZES

    exported = stocked.run("results", "export", "--out", "samples.csv", "--format", "samples-csv", first["id"])
    assert exported.code == 0, exported.err
    rows = (stocked.home / "samples.csv").read_text().splitlines()
    assert rows[-1].endswith(f",{sizes[-1]}")


def test_a_reference_that_is_missing_is_named(stocked: Operator) -> None:
    answer = stocked.run(*DEPLOY, "--json", timeout=180)
    first, *others = answer.json["measurements"]
    home = stocked.home / ".local/share/edgebench/measurements"
    for path in (home / others[1]["id"][:2] / others[1]["id"]).iterdir():
        path.unlink()
    path.parent.rmdir()
    over = shown(stocked, first["id"])
    assert "overall" not in over
    assert over["missing"] == ["64 px: no static reference of it was measured"]
    assert over["buckets"][0]["overhead"]["value"] > 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("resnet18", "--pattern", "sizes:33-96"), "33 and 96 are no multiples of the step 32"),
        (("resnet18", "--pattern", "sizes:32-96", "--size", "64"), "--size: the load pattern draws the sizes"),
        (("vit_b_16", "--pattern", "sizes:224-512"), "vit_b_16: it has positions for the patches of one size"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(stocked: Operator, arguments: tuple[str, ...], why: str) -> None:
    answer = stocked.run("deploy", *arguments)
    assert answer.code == 2
    assert why in answer.err
    assert stocked.measurements() == []


def test_sizes_that_a_file_does_not_take_are_refused_before_anything_is_sent(
    operator: Operator, tiny_onnx: Path
) -> None:
    operator.prelude = BRIEF
    answer = operator.run("deploy", tiny_onnx, "--quick", "--pattern", "sizes:32-96")
    assert answer.code == 1
    assert "tiny.onnx: its inputs have no free side that is called height or width; leave the size out" in answer.out
    assert "upload model.onnx" not in answer.err


def test_tensorrt_has_one_engine_for_the_range_and_one_for_each_size(
    stocked: Operator, start_sshd: Callable[..., Sshd], scripted_tensorrt: ScriptedTensorRT
) -> None:
    server, environment = start_sshd(name="orin-1"), scripted_tensorrt.environment("10.3")
    python = server.folder / "python"
    settings = " ".join(f"{key}={value}" for key, value in environment.items())
    python.write_text(f'#!/bin/sh\n{settings} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    fleet = server.fleet_toml("jetson-agx-orin-64gb") + f'python = "{python}"\n'
    (stocked.home / "fleet.toml").write_text(fleet)
    answer = stocked.run(*DEPLOY, "--device", "orin-1", "--precision", "fp32", "--json", timeout=240)
    assert answer.code in (0, 4), answer.err + answer.out
    first, *others = answer.json["measurements"]
    profiles = [stocked.stored(row["id"])["result"]["engine"]["report"]["profiles"][0] for row in (first, *others)]
    bounds = [tuple(one["height"][end] for end in ("min", "opt", "max")) for one in profiles]
    assert bounds == [(32, 32, 96), (32, 32, 32), (64, 64, 64), (96, 96, 96)]
    over = shown(stocked, first["id"])
    assert over["missing"] == []
    assert [bucket["static"] for bucket in over["buckets"]] == [one["id"] for one in others]


@pytest.mark.parametrize(("framework", "form"), [("pytorch", Format.SAFETENSORS), ("tensorflow", Format.SAVEDMODEL)])
def test_a_framework_itself_runs_the_sizes_that_are_drawn(
    operator: Operator, artifact_store: ArtifactStore, framework: str, form: Format
) -> None:
    side = DimRange(32, 64, 96)
    artifact_store.get("resnet18", framework, format=form, options=Options(size=(side, side)))
    operator.prelude = BRIEF
    (operator.home / ".cache").mkdir()
    (operator.home / ".cache" / "edgebench").symlink_to(artifact_store.store.root)
    asked = ("deploy", "resnet18", "--framework", framework, "--backend", framework, "--weights", "random", "--quick")
    answer = operator.run(*asked, "--pattern", "sizes:32-96", "--json", timeout=400)
    assert answer.code in (0, 4), answer.err + answer.out
    first, *others = answer.json["measurements"]
    assert len(others) == 3
    over = shown(operator, first["id"])
    assert over["missing"] == []
    assert {bucket["size"] for bucket in over["buckets"]} <= set(SIZES)
    context = operator.stored(first["id"])["result"]["context"]
    if framework == "tensorflow":
        assert context["retraces"]["value"] == 0
