"""Zeros before a pooling, and the onnxruntime that takes them for the pooling's own padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export import graph
from tests.unit.export import small_graphs as small

ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

X = -1.0 - np.random.default_rng(0).uniform(size=(1, 1, 4, 4)).astype(np.float32)


def network(op: str, opset: int = 18, **attributes: Any) -> Any:
    return small.graph(
        [small.node("Pad", ["x", "p"], ["a"]), small.node(op, ["a"], ["y"], kernel_shape=[3, 3], **attributes)],
        {"x": [1, 1, 4, 4]},
        {"y": [1, 1, None, None]},
        {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        opset=opset,
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


OWN, UP = {"pads": [1, 1, 1, 1]}, {"ceil_mode": 1, "strides": [2, 2]}


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("MaxPool", OWN),
        ("MaxPool", {**OWN, "dilations": [2, 2]}),
        ("MaxPool", {**OWN, "auto_pad": "NOTSET"}),
        ("MaxPool", UP),
        ("MaxPool", {**OWN, **UP}),
        ("AveragePool", UP),
    ],
)
def test_a_pooling_with_pads_of_its_own_keeps_them_apart(op: str, attributes: dict[str, Any], opset: int) -> None:
    model = network(op, opset, **attributes)
    as_written = small.run(network(op, opset, **attributes), x=X)["y"]
    assert not np.array_equal(optimised(model), as_written)
    graph.sanitise(model)
    small.onnx.checker.check_model(model)
    assert small.kinds(model) == ["Pad", "Max", op]
    assert np.array_equal(optimised(model), as_written)
    again = small.onnx.ModelProto.FromString(model.SerializeToString())
    graph.sanitise(again)
    assert again == model


@pytest.mark.parametrize(
    ("op", "attributes"), [("MaxPool", {"auto_pad": "SAME_UPPER"}), ("AveragePool", {**OWN, "count_include_pad": 1})]
)
def test_a_pooling_that_onnxruntime_takes_for_what_it_is_is_left_alone(op: str, attributes: dict[str, Any]) -> None:
    model = network(op, **attributes)
    assert np.array_equal(optimised(model), small.run(model, x=X)["y"])
    graph.sanitise(model)
    assert model == network(op, **attributes)


def test_two_poolings_of_one_image_get_names_of_their_own() -> None:
    model = network("MaxPool", **OWN)
    model.graph.node.append(small.node("MaxPool", ["a"], ["a_apart"], kernel_shape=[5, 5], **OWN))
    model.graph.output.append(small.value("a_apart", [1, 1, None, None]))
    as_written = small.run(model, x=X)
    graph.sanitise(model)
    small.onnx.checker.check_model(model)
    assert all(np.array_equal(value, as_written[name]) for name, value in small.run(model, x=X).items())


@pytest.mark.parametrize("where", ["branch", "function"])
def test_it_is_looked_for_in_inner_graphs_too(where: str) -> None:
    model = nested(where)
    as_written = small.run(nested(where), x=X)["y"]
    assert not np.array_equal(optimised(model), as_written)
    graph.sanitise(model)
    small.onnx.checker.check_model(model)
    assert np.array_equal(optimised(model), as_written)


def nested(where: str) -> Any:
    """The network of a MaxPool, in a branch that is taken or in a function."""
    inner = [small.node("Pad", ["x", "p"], ["a"]), small.node("MaxPool", ["a"], ["b"], kernel_shape=[3, 3])]
    constants = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "low": np.float32(0)}
    outer = {"x": [1, 1, 4, 4]}, {"y": [1, 1, None, None]}, constants
    if where == "function":
        model = small.graph([small.node("Ours", ["x", "p"], ["y"], domain="ours")], *outer)
        opsets = [small.onnx.helper.make_opsetid("", 18)]
        model.functions.append(small.onnx.helper.make_function("ours", "Ours", ["x", "p"], ["b"], inner, opsets))
        model.opset_import.append(small.onnx.helper.make_opsetid("ours", 1))
        return model
    other = [small.node("AveragePool", ["x"], ["c"], kernel_shape=[1, 1])]
    made = (("then", inner, "b"), ("else", other, "c"))
    bodies = {f"{kind}_branch": small.onnx.helper.make_graph(nodes, kind, [], [small.value(name, None)])
              for kind, nodes, name in made}  # fmt: skip
    nodes = [
        small.node("ReduceMax", ["x"], ["most"], keepdims=0),
        small.node("Less", ["most", "low"], ["dark"]),
        small.node("If", ["dark"], ["y"], **bodies),
    ]
    return small.graph(nodes, *outer)
