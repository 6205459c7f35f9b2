"""Zeros before a pooling, and the onnxruntime that takes them for the pooling's own padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export import graph
from tests.unit.export import small_graphs as small

ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

X = -1.0 - np.random.default_rng(0).uniform(size=(1, 1, 4, 4)).astype(np.float32)


def network(op: str, **attributes: Any) -> Any:
    return small.graph(
        [small.node("Pad", ["x", "p"], ["a"]), small.node(op, ["a"], ["y"], kernel_shape=[3, 3], **attributes)],
        {"x": [1, 1, 4, 4]},
        {"y": [1, 1, None, None]},
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
    )


def optimised(model: Any) -> Any:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": X})[0]


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_the_optimised_graph_computes_what_is_written(op: str) -> None:
    model = network(op)
    as_written = small.run(network(op), x=X)["y"]
    if op == "MaxPool":  # if this fails, onnxruntime is mended, and export/graph/pads.py may go
        assert not np.array_equal(optimised(model), as_written)
    graph.sanitise(model)
    assert [one.name for one in model.graph.node[1].attribute] == ["kernel_shape", "auto_pad"]
    small.onnx.checker.check_model(model)
    assert np.array_equal(optimised(model), as_written)


@pytest.mark.parametrize("attributes", [{"pads": [1, 1, 1, 1]}, {"ceil_mode": 1}, {"auto_pad": "SAME_UPPER"}])
def test_a_pooling_that_pads_or_rounds_up_is_left_alone(attributes: dict[str, Any]) -> None:
    model = network("MaxPool", **attributes)
    graph.sanitise(model)
    assert model == network("MaxPool", **attributes)
