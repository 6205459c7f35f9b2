"""What FP16 would not hold, found on the FP32 graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.precision import overflow
from profiles.progress import silent


def scan(tmp_path: Path, nodes: list[Any], constants: dict[str, Any], x: Any, batch: int | str = "batch") -> list[Any]:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *x.shape[1:]])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    made = helper.make_graph(nodes, "g", [value], [output], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return overflow.scan(path, [{"x": x}], silent)


def chain(scale: float) -> tuple[list[Any], dict[str, Any]]:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "before"),
        helper.make_node("Mul", ["a", "scale"], ["b"], "maker"),
        helper.make_node("Div", ["b", "scale"], ["c"], "reader"),
        helper.make_node("Exp", ["c"], ["y"], "after"),
    ]
    return nodes, {"scale": np.float32(scale)}


def test_the_nodes_that_make_and_read_a_large_value_are_named(tmp_path: Path) -> None:
    x = np.zeros((8, 2), np.float32)
    x[6, 1] = 2.0
    found = scan(tmp_path, *chain(9000), x)
    assert [(one.node, one.op, one.tensor, one.largest, one.output) for one in found] == [
        ("maker", "Mul", "b", 18000.0, "b"),
        ("reader", "Div", "b", 18000.0, "c"),
    ]


def test_values_below_the_limit_keep_nothing(tmp_path: Path) -> None:
    assert scan(tmp_path, *chain(7900), np.full((2, 2), 2, np.float32)) == []


def test_a_fixed_batch_gets_every_sample(tmp_path: Path) -> None:
    x = np.zeros((8, 2), np.float32)
    x[7, 0] = -3.0
    nodes = [helper.make_node("Mul", ["x", "scale"], ["y"], "only")]
    assert [one.largest for one in scan(tmp_path, nodes, {"scale": np.float32(9000)}, x, batch=3)] == [27000.0]


@pytest.mark.parametrize(
    ("op", "value", "largest"),
    [("ReduceMean", 5.0, 20_480.0), ("ReduceSum", 5.0, 20_480.0), ("ReduceL2", 3.0, 36_864.0)],
)
def test_the_sum_inside_a_reduction_counts(tmp_path: Path, op: str, value: float, largest: float) -> None:
    axes = {"axes": [1]} if op != "ReduceSum" else {}
    names = ["x", "axes"] if op == "ReduceSum" else ["x"]
    x = np.full((1, 4096), value, np.float32)
    if op != "ReduceL2":
        x[0, ::2] = -value  # what cancels at the end does not while it is added up
    nodes = [helper.make_node(op, names, ["y"], "mean", **axes)]
    found = scan(tmp_path, nodes, {"axes": np.int64([1])}, x)
    assert [(one.node, one.tensor) for one in found] == [("mean", "the sum inside mean")]
    assert found[0].largest == pytest.approx(largest, rel=1e-3)


def test_a_constant_beyond_fp16_keeps_its_reader_but_bounds_and_infinities_do_not(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Clip", ["x", "", "huge"], ["a"], "clip"),
        helper.make_node("Add", ["a", "mask"], ["b"], "masked"),
        helper.make_node("Softmax", ["b"], ["c"], "softmax"),
        helper.make_node("Div", ["c", "huge"], ["y"], "divided"),
    ]
    constants = {"huge": np.float32(3e38), "mask": np.float32([0, -np.inf])}
    found = scan(tmp_path, nodes, constants, np.ones((1, 2), np.float32))
    assert [(one.node, one.tensor) for one in found] == [("divided", "huge")]


def test_an_empty_tensor_is_no_trouble(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Slice", ["x", "end", "end", "axis"], ["none"]),
        helper.make_node("Concat", ["x", "none"], ["y"], axis=1),
    ]
    assert scan(tmp_path, nodes, {"end": np.int64([2]), "axis": np.int64([1])}, np.ones((1, 2), np.float32)) == []


def test_an_input_that_is_too_large_keeps_its_readers(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "small"], ["y"], "scaled")]
    found = scan(tmp_path, nodes, {"small": np.float32(1e-5)}, np.full((1, 2), 60_000, np.float32))
    assert [(one.node, one.tensor) for one in found] == [("scaled", "x")]


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_a_norm_that_is_not_fp32_is_nothing_to_keep(tmp_path: Path, kind: int) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=kind),
        helper.make_node("ReduceL2", ["a"], ["n"], axes=[1]),
        helper.make_node("Cast", ["n"], ["y"], to=TensorProto.FLOAT),
    ]
    assert scan(tmp_path, nodes, {}, np.ones((2, 4), np.float32)) == []


def test_what_is_no_number_hides_no_large_value(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Div", ["x", "x"], ["a"], "ratio"),
        helper.make_node("Mul", ["x", "scale"], ["b"], "large"),
        helper.make_node("Add", ["a", "b"], ["y"], "sum"),
    ]
    found = scan(tmp_path, nodes, {"scale": np.float32(9000)}, np.float32([[0, 2]]), batch=1)
    assert [(one.node, one.largest) for one in found] == [("large", 18_000.0), ("sum", 18_001.0)]
