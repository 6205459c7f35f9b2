"""How a job's processes start: taken apart, cold where that was asked for, with what they held by stage."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from agent_lab import SHORT, Lab, golden

from device_agents.contract import ProcessResult

WEIGHTS = 1024 * 8192
MODEL_BYTES = 4 * WEIGHTS
TWICE = dataclasses.replace(SHORT, processes=2)


def large_model() -> dict[str, bytes]:
    """32 MB of weights, so that a process that holds them is seen to."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(3).standard_normal((1024, 8192)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "first"], ["wide"]),
            helper.make_node("MatMul", ["wide", "weights"], ["long"]),
            helper.make_node("MatMul", ["long", "last"], ["scores"]),
        ],
        "large",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 4, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 5])],
        [
            numpy_helper.from_array(np.zeros((48, 1024), np.float32), "first"),
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.zeros((8192, 5), np.float32), "last"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    images = np.zeros((8, 3, 4, 4), np.float32)
    return {"model.onnx": model.SerializeToString(), "golden.npz": golden(images, np.zeros((8, 5), np.float32))}


@pytest.fixture
def large(lab: Lab) -> Lab:
    lab.model, lab.artifact = large_model(), "large-0001"
    lab.ship(lab.artifact, lab.model)
    return lab


def without_check(lab: Lab, **changes: object) -> tuple[ProcessResult, ...]:
    """Outputs that are all zero cannot be held against anything."""
    spec = lab.spec(parity_limit=None, timing=TWICE, **changes)
    assert lab.run(spec).status.state == "done"
    return lab.result().processes


def test_a_cold_job_starts_without_its_model_in_memory_and_the_next_process_finds_it(large: Lab) -> None:
    first, second = without_check(large, cold=True)
    assert first.state["page_cache_share_model"].value == 0.0
    assert second.state["page_cache_share_model"].value == 1.0
    for process in (first, second):
        share = process.state["page_cache_share"].value
        assert isinstance(share, float)
        assert 0 <= share <= 1
        assert process.state["page_cache"].value in ("cold", "partly", "warm")


def test_a_job_that_was_not_asked_to_start_cold_leaves_the_page_cache_alone(large: Lab) -> None:
    (first, _) = without_check(large)
    assert first.state["page_cache_share_model"].value == 1.0, "the agent has just hashed it"


def test_a_process_tells_every_phase_from_its_start_to_its_first_answer(large: Lab) -> None:
    (process, _) = without_check(large)
    assert {"interpreter", "start", "import", "golden", "load", "inspect", "inputs", "bind", "first_inference",
            "memory"} <= set(process.seconds)  # fmt: skip
    assert all(value >= 0 for value in process.seconds.values())
    assert process.seconds["interpreter"] > 0
    assert process.seconds["import"] == pytest.approx(process.import_ns / 1e9)


def test_loading_a_model_raises_what_the_process_holds_by_its_weights(large: Lab) -> None:
    (process, _) = without_check(large)
    stages = process.stages
    assert [name for name in ProcessResult.STAGES if name in stages] == [
        "baseline", "import", "golden", "load", "inputs", "first_inference", "check", "timed",
    ]  # fmt: skip
    assert stages["import"]["rss"] > stages["baseline"]["rss"]
    assert stages["load"]["rss_peak"] >= stages["golden"]["rss"] + MODEL_BYTES
    assert stages["timed"]["rss"] >= stages["baseline"]["rss"] + MODEL_BYTES
    assert process.peak_rss_bytes >= max(stage["rss_peak"] for stage in stages.values())
    assert process.state["memory_peaks"].value == "each stage's own"
