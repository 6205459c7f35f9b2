"""PyTorch and TensorFlow as backends, through the real command: the same weights as the graph's, in their own form."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from device_agents.contract import NETWORK_FILE, Precision
from export.artifact import GOLDEN, Artifact, Format, Parity, sha256_file
from tests.e2e.conftest import ArtifactStore
from tests.operator import BRIEF, Operator

FORMS = [("pytorch", Format.SAFETENSORS), ("tensorflow", Format.SAVEDMODEL)]


def files(artifact: Artifact) -> set[str]:
    return {entry.name for entry in artifact.files}


@pytest.fixture
def with_resnet18(operator: Operator, artifact_store: ArtifactStore) -> Operator:
    """An operator whose store holds resnet18 of both frameworks, as graphs and in their own form."""
    for framework, form in FORMS:
        artifact_store.get("resnet18", framework, format=form)
    operator.prelude = BRIEF
    (operator.home / ".cache").mkdir()
    (operator.home / ".cache" / "edgebench").symlink_to(artifact_store.store.root)
    return operator


def measured(operator: Operator, framework: str, *more: object) -> dict[str, Any]:
    """The one measurement and its whole result."""
    asked = ("deploy", "resnet18", "--framework", framework, "--backend", framework, "--quick", *more, "--json")
    answer = operator.run(*asked, timeout=400)
    assert answer.code in (0, 4), answer.err + answer.out
    (row,) = answer.json["measurements"]
    assert "parity_failed" not in {finding["rule"] for finding in row["findings"]}
    shown = operator.run("results", "show", row["id"], "--json").json["measurement"]
    return {"row": row, **shown["result"]}


@pytest.mark.parametrize(("framework", "form"), FORMS)
def test_what_a_framework_runs_itself_has_the_golden_data_of_its_graph(
    artifact_store: ArtifactStore, framework: str, form: Format
) -> None:
    graph = artifact_store.get("resnet18", framework)
    native = artifact_store.get("resnet18", framework, format=form)
    assert (native.format, native.parent, native.weights) == (form, graph.id, graph.weights)
    assert sha256_file(native.path / GOLDEN) == sha256_file(graph.path / GOLDEN)
    assert {NETWORK_FILE, GOLDEN, native.model_file} <= files(native)
    assert isinstance(native.parity, Parity)
    assert native.parity.error < 1e-5
    assert (native.inputs, native.outputs, native.graph.macs) == (graph.inputs, graph.outputs, graph.graph.macs)


@pytest.mark.parametrize(("framework", "form"), FORMS)
def test_the_same_request_gives_the_same_bytes(artifact_store: ArtifactStore, framework: str, form: Format) -> None:
    first = artifact_store.get("resnet18", framework, format=form)
    assert artifact_store.get("resnet18", framework, format=form, fresh=True).id == first.id


def test_fp16_weights_are_half_as_large_and_as_far_off_as_fp16_is(artifact_store: ArtifactStore) -> None:
    whole = artifact_store.get("resnet18", format=Format.SAFETENSORS)
    half = artifact_store.get("resnet18", precision=Precision.FP16, format=Format.SAFETENSORS)
    assert half.graph.weight_bytes == pytest.approx(whole.graph.weight_bytes / 2, rel=0.01)
    assert [tensor.dtype for tensor in (*half.inputs, *half.outputs)] == ["float16", "float16"]
    assert isinstance(half.parity, Parity)
    assert 1e-5 < half.parity.error < 2e-2


def test_pytorch_measures_its_own_network(with_resnet18: Operator) -> None:
    result = measured(with_resnet18, "pytorch", "--option", "channels_last=true")
    assert result["row"]["samples"] >= 1
    wanted = {"mode": "eager", "provider": "cpu", "dtype": "float32", "channels_last": True, "tf32": False}
    assert wanted.items() <= result["switches"].items()
    assert "compile" not in result["processes"][0]["seconds"]


def test_what_was_compiled_cold_is_found_warm_by_the_next_process(with_resnet18: Operator) -> None:
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler, which torch.compile calls for the processor")
    result = measured(with_resnet18, "pytorch", "--option", "mode=compile", "--processes", "2")
    cold, warm = result["processes"]
    assert [one["state"]["compile_cache"]["value"] for one in (cold, warm)] == ["cold", "warm"]
    assert cold["seconds"]["compile"] > warm["seconds"]["compile"]
    assert cold["first_inference_ns"] < 1e9 * cold["seconds"]["compile"], "compiling is no part of an inference"
    assert {name: result["context"][name]["value"] for name in ("graph_breaks", "recompiles")} == {
        "graph_breaks": 0,
        "recompiles": 0,
    }
    shown = with_resnet18.run("results", "show", result["row"]["id"]).out
    (line,) = [line for line in shown.splitlines() if line.startswith("compile seconds")]
    assert line.split()[3::2] == ["cold,", "warm"]
    assert not list(with_resnet18.home.rglob("jobs/*/compiled")), "what was compiled for a job goes with it"


@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_tensorflow_measures_its_own_model(with_resnet18: Operator, mode: str) -> None:
    result = measured(with_resnet18, "tensorflow", "--option", f"mode={mode}")
    assert {"mode": mode, "waited": True, "provider": "cpu"}.items() <= result["switches"].items()
    assert ("compile" in result["processes"][0]["seconds"]) == (mode == "xla")
    assert result["context"]["retraces"]["value"] == 0


def test_who_does_not_wait_gets_no_latency(with_resnet18: Operator) -> None:
    result = measured(with_resnet18, "tensorflow", "--option", "wait=false")
    (reason,) = [finding["reason"] for finding in result["row"]["findings"] if finding["rule"] == "not_waited"]
    assert "more after the wait had returned" in reason, "on a processor, too, the call returns before"


def test_export_native_makes_it_beforehand(with_resnet18: Operator) -> None:
    asked = ("export", "resnet18", "--weights", "random", "--framework", "all", "--native", "--out", "out")
    answer = with_resnet18.run(*asked)
    assert answer.code == 0, answer.err
    assert "resnet18 pytorch fp32 batch dynamic, safetensors:" in answer.out
    assert "resnet18 tensorflow fp32 batch dynamic, savedmodel:" in answer.out
    assert (with_resnet18.home / "out/resnet18-pytorch-fp32-dynamic-safetensors/model.safetensors").is_file()
    engine = with_resnet18.run("export", "resnet18", "--native", "--engine", "tensorrt")
    assert engine.code == 2
    assert "--native: an engine is built of a graph" in engine.err


def test_a_release_holds_a_graph_or_an_engine(with_resnet18: Operator) -> None:
    answer = with_resnet18.run(
        "deploy", "resnet18", "--framework", "pytorch", "--backend", "pytorch", "--release", "v1"
    )
    assert answer.code == 2
    assert "is a graph or an engine, and pytorch runs neither; --backend onnxruntime" in answer.err + answer.out
