"""The main job on this machine, through the real command: export, ship, time, bring back, report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import ArtifactStore
from tests.operator import Operator
from tests.ssh.sshd import wait_until


@pytest.fixture
def with_resnet18(operator: Operator, artifact_store: ArtifactStore) -> Operator:
    """An operator whose store holds resnet18 from both frameworks already."""
    for framework in ("pytorch", "tensorflow"):
        artifact_store.get("resnet18", framework)
    (operator.home / ".cache").mkdir()
    (operator.home / ".cache" / "edgebench").symlink_to(artifact_store.store.root)
    return operator


def test_resnet18_of_both_frameworks_is_measured_and_reported(with_resnet18: Operator) -> None:
    answer = with_resnet18.run("deploy", "resnet18", "--framework", "all", "--quick", "--json", timeout=120)
    assert answer.code in (0, 4), answer.err
    rows = answer.json["measurements"]
    assert [(row["model"], row["framework"], row["batch"]) for row in rows] == [
        ("resnet18", "pytorch", 1),
        ("resnet18", "tensorflow", 1),
    ]
    for row in rows:
        assert row["samples"] >= 11
        assert row["median_ms"] > 0
        assert row["throughput_per_s"] == pytest.approx(1000 / row["mean_ms"], rel=0.1)
        assert "parity_failed" not in {finding["rule"] for finding in row["findings"]}
    assert answer.json["failed"] == []
    assert "weights random for resnet18/pytorch (the artifact that is there)" in answer.json["choices"]


def test_a_table_names_device_backend_precision_verdict_and_choices(operator: Operator, tiny_onnx: Path) -> None:
    answer = operator.run("deploy", tiny_onnx, "--quick", "--batch", "1,8")
    assert answer.code in (0, 4), answer.err
    table = answer.out.partition("\n\n")[2].splitlines()
    header, first, second = (line.split() for line in table[:3])
    assert header[:6] == ["device", "model", "framework", "backend", "precision", "batch"]
    assert first[:7] == ["local", "tiny", "onnx", "onnxruntime", "cpu", "fp32", "1"]
    assert second[6] == "8"
    for chosen in ("precision fp32 (profile local)", "backend onnxruntime (profile local)", "pattern serial"):
        assert f"chosen: {chosen}" in answer.out


def test_what_was_measured_is_listed_and_shown(operator: Operator, tiny_onnx: Path) -> None:
    made = operator.run("deploy", tiny_onnx, "--quick", "--processes", "2", "--json").json["measurements"][0]
    assert [row["id"] for row in operator.measurements()] == [made["id"]]
    assert made["id"] in operator.run("results", "list").out
    shown = operator.run("results", "show", made["id"][:6])
    assert shown.code == 0
    for word in ("verdict", "median ms", "spread of processes", "cpu_model", "agent", "parity on the device", "onnx "):
        assert word in shown.out
    full = operator.run("results", "show", made["id"], "--json").json["measurement"]
    assert len(full["result"]["processes"]) == 2
    assert full["result"]["identity"]["kernel"]["value"]
    samples = next(operator.home.rglob("samples.i64le"))
    assert samples.stat().st_size == 8 * full["result"]["samples_count"]


def test_a_program_that_is_missing_is_no_matter_of_a_python(operator: Operator, tiny_onnx: Path) -> None:
    answer = operator.run("deploy", tiny_onnx, "--quick", "--backend", "trtexec")
    assert answer.code == 1
    (line,) = [line for line in answer.out.splitlines() if line.startswith("failed on local")]
    assert "on trtexec): trtexec is not there (" in line, "the device is named once"
    assert "no trtexec: it is neither on PATH nor at" in line
    assert line.endswith("; install the package libnvinfer-bin there, or name the program with EDGEBENCH_TRTEXEC")


def test_a_soak_has_a_burst_a_steady_part_and_a_curve(operator: Operator, tiny_onnx: Path) -> None:
    answer = operator.run("deploy", tiny_onnx, "--pattern", "soak:2s", "--json")
    assert answer.code in (0, 4), answer.err
    assert "chosen: timing 1 process of 2 s; warm-up 1 s or until stable" in answer.err
    (made,) = answer.json["measurements"]
    assert (made["pattern"], made["processes"], len(made["soak"]["curve_ns"])) == ("soak:2s", 1, 40)
    assert made["soak"]["length_s"] == pytest.approx(2.0, abs=0.5)
    assert "unstable" not in [finding["rule"] for finding in made["findings"]]
    shown = operator.run("results", "show", made["id"]).out
    for word in ("burst ms", "steady ms", "medians over time", "held: unstable: not asked of a soak"):
        assert word in shown
    refused = operator.run("deploy", tiny_onnx, "--pattern", "soak:2")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "write soak:90s, soak:10m or soak:1h" in refused.err


def test_the_second_deploy_sends_no_model(operator: Operator, tiny_onnx: Path) -> None:
    first = operator.run("deploy", tiny_onnx, "--quick", "--json").json
    second = operator.run("deploy", tiny_onnx, "--quick", "--json").json
    assert first["model_bytes_sent"] > 0
    assert second["model_bytes_sent"] == 0
    assert second["run"] != first["run"], "a finished run is not taken up: it is measured anew"
    assert len(operator.measurements()) == 2


def test_without_a_model_the_fleet_file_s_are_taken(operator: Operator, tiny_onnx: Path) -> None:
    refused = operator.run("deploy")
    assert refused.code == 2
    assert "resnet18" in refused.err
    (operator.home / "fleet.toml").write_text(f"[deploy]\nmodels = [{json.dumps(str(tiny_onnx))}]\n")
    assert operator.run("deploy", "--quick", "--json").json["measurements"][0]["model"] == "tiny"


def test_the_pipelined_pattern_is_refused_by_a_runtime_that_cannot(operator: Operator, tiny_onnx: Path) -> None:
    answer = operator.run("deploy", tiny_onnx, "--quick", "--pattern", "pipelined")
    assert answer.code == 1
    assert "onnxruntime's provider cpu cannot run the load pattern pipelined" in answer.out


def test_an_option_reaches_the_runtime_and_an_unknown_one_is_refused(operator: Operator, tiny_onnx: Path) -> None:
    one = operator.run("deploy", tiny_onnx, "--quick", "--option", "threads=1", "--json").json["measurements"][0]
    shown = operator.run("results", "show", one["id"], "--json").json["measurement"]["result"]["switches"]
    assert shown["threads"] == 1
    refused = operator.run("deploy", tiny_onnx, "--quick", "--option", "treads=1")
    assert "onnxruntime has no option 'treads'; it has: " in refused.out
    assert "threads" in refused.out.partition("it has: ")[2]


def test_json_is_one_object_on_stdout_and_progress_is_on_stderr(operator: Operator, tiny_onnx: Path) -> None:
    answer = operator.run("deploy", tiny_onnx, "--quick", "--json")
    assert set(answer.json) >= {"run", "measurements", "failed", "choices", "seconds"}
    assert "local: measuring tiny/onnx fp32 batch 1" in answer.err


def test_a_controller_killed_while_measuring_collects_and_does_not_repeat(operator: Operator, tiny_onnx: Path) -> None:
    child = operator.start("deploy", tiny_onnx, "--quick", "--processes", "2")
    jobs = operator.home / ".cache" / "edgebench"
    wait_until(lambda: any('"running"' in path.read_text() for path in jobs.glob("*/jobs/*/status.json")), "a job runs")
    child.kill()
    child.wait()
    job = next(jobs.glob("*/jobs/*")).name
    answer = operator.run("deploy", tiny_onnx, "--quick", "--processes", "2", "--json")
    assert answer.code in (0, 4), answer.err
    assert [row["id"] for row in answer.json["measurements"]] == [job]
    assert [path.name for path in jobs.glob("*/jobs/*")] == [job], "no second job was started"
    assert [event["event"] for event in operator.journal()] == ["started", "submitted", "done", "finished"]
