"""FP16 in the graph: types that fit everywhere, and the same values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.precision import fp16

X = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)


def graph(nodes: list[Any], constants: dict[str, Any], *, opset: int = 17, **inputs: tuple[int, list[Any]]) -> Any:
    """A model with inputs name=(type, shape) and the float output `y`."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            values,
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "columns"])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )


def floats(nodes: list[Any], constants: dict[str, Any], **more: Any) -> Any:
    return graph(nodes, constants, x=(TensorProto.FLOAT, ["batch", 4]), **more)


def run(model: Any, **feed: Any) -> Any:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], feed)[0]


def types(model: Any) -> dict[str, int]:
    """Of every tensor, by onnx's own strict inference: wrong types do not pass it."""
    onnx.checker.check_model(model, full_check=True)
    found = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    values = (*found.input, *found.output, *found.value_info)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def ops(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def two_layers() -> Any:
    weight = np.random.default_rng(1).normal(size=(4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "w"], ["b"], "second"),
        helper.make_node("Relu", ["b"], ["y"], "last"),
    ]
    return floats(nodes, {"w": weight})


def test_everything_is_fp16_and_needs_no_cast() -> None:
    model = two_layers()
    expected = run(model, x=X)
    assert fp16.convert(model) == []
    assert set(types(model).values()) == {TensorProto.FLOAT16}
    assert "Cast" not in ops(model)
    np.testing.assert_allclose(run(model, x=X.astype(np.float16)), expected, atol=0.05)


def test_inputs_and_outputs_stay_fp32_by_choice() -> None:
    model = two_layers()
    expected = run(model, x=X)
    fp16.convert(model, io="fp32")
    kinds = types(model)
    assert (kinds["x"], kinds["a"], kinds["y"]) == (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.FLOAT)
    assert ops(model)["Cast"] == 2
    np.testing.assert_allclose(run(model, x=X), expected, atol=0.05)


def test_a_kept_node_computes_in_fp32_with_its_own_weights() -> None:
    model = two_layers()
    fp16.convert(model, {"b"})
    kinds = types(model)
    assert (kinds["a"], kinds["b"], kinds["y"]) == (TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.FLOAT16)
    assert ops(model)["Cast"] == 2
    stored = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert stored == {"w": TensorProto.FLOAT, "w/fp16": TensorProto.FLOAT16}, "the weight is needed in both types"


def test_neighbours_that_are_kept_share_tensors_without_casts() -> None:
    model = two_layers()
    fp16.convert(model, {"a", "b"})
    assert types(model)["a"] == TensorProto.FLOAT
    assert [node.op_type for node in model.graph.node] == ["Cast", "MatMul", "MatMul", "Cast", "Relu"]


def test_a_tensor_is_cast_once_for_all_its_readers() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Exp", ["a"], ["b"]),
        helper.make_node("Exp", ["a"], ["c"]),
        helper.make_node("Add", ["b", "c"], ["y"]),
    ]
    model = floats(nodes, {})
    fp16.convert(model, {"b", "c", "y"})
    types(model)
    assert ops(model)["Cast"] == 1


def test_an_output_of_a_kept_node_and_a_kept_input_stay_fp32() -> None:
    model = two_layers()
    fp16.convert(model, {"x", "y"})
    kinds = types(model)
    assert (kinds["x"], kinds["a"], kinds["y"]) == (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.FLOAT)


def test_nodes_that_say_fp32_themselves_say_fp16_now() -> None:
    nodes = [
        helper.make_node("Cast", ["n"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),  # FP32 unless it says otherwise
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("Mul", ["a", "half"], ["b"]),
        helper.make_node("Concat", ["b", "zeros"], ["y"], axis=1),
    ]
    model = graph(nodes, {"shape": np.array([2, 1])}, n=(TensorProto.INT64, [2, 3]))
    fp16.convert(model)
    kinds = types(model)
    assert {kinds[name] for name in ("a", "zeros", "b", "y")} == {TensorProto.FLOAT16}
    np.testing.assert_array_equal(run(model, n=np.full((2, 3), 3)), [[1.5, 1.5, 1.5, 0]] * 2)


def test_pixels_stay_what_they_are() -> None:
    nodes = [
        helper.make_node("Cast", ["p"], ["a"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["a", "scale"], ["y"]),
    ]
    model = graph(nodes, {"scale": np.float32(1 / 255)}, p=(TensorProto.UINT8, [1, 4]))
    fp16.convert(model)
    assert types(model)["p"] == TensorProto.UINT8
    np.testing.assert_allclose(run(model, p=np.array([[0, 51, 102, 255]], np.uint8)), [[0, 0.2, 0.4, 1]], atol=1e-3)


def test_a_cast_that_has_become_idle_is_gone() -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.FLOAT16),
        helper.make_node("Exp", ["a"], ["b"]),
        helper.make_node("Cast", ["b"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    model = floats(nodes, {})
    fp16.convert(model)
    types(model)
    assert ops(model) == {"Exp": 1, "Relu": 1}


def test_bodies_read_outer_tensors_in_fp32() -> None:
    def body(name: str, op: str) -> Any:
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(op, ["a", "w"], [name])], name, [], [output])

    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("ReduceMax", ["a"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "one"], ["big"]),
        helper.make_node("If", ["big"], ["chosen"], then_branch=body("then", "Add"), else_branch=body("else", "Sub")),
        helper.make_node("Mul", ["chosen", "w"], ["y"]),
    ]
    model = floats(nodes, {"one": np.float32(1), "w": np.arange(4, dtype=np.float32)})
    expected = [run(model, x=scale * X) for scale in (0.1, 10)]
    assert fp16.convert(model) == ["computed in FP32, as these have no other form, or work on shapes or indices: If"]
    kinds = types(model)
    assert (kinds["a"], kinds["chosen"], kinds["y"]) == (TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.FLOAT16)
    for scale, values in zip((0.1, 10), expected, strict=True):
        np.testing.assert_allclose(run(model, x=(scale * X).astype(np.float16)), values, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("io", ["model", "fp32"])
def test_bodies_read_in_fp16_what_was_so_from_the_start(io: str) -> None:
    def body(name: str, op: str) -> Any:
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT16, None)
        return helper.make_graph([helper.make_node(op, ["a", "h"], [name])], name, [], [output])

    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "one"], ["big"]),
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.FLOAT16),
        helper.make_node("If", ["big"], ["b"], then_branch=body("then", "Add"), else_branch=body("else", "Sub")),
        helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
    ]
    model = floats(nodes, {"one": np.float32(1), "h": np.float16([1, 2, 3, 4])})
    expected = run(model, x=X)
    fp16.convert(model, (), io)
    kind = types(model)["x"]
    given = X.astype(np.float16 if kind == TensorProto.FLOAT16 else np.float32)
    np.testing.assert_allclose(run(model, x=given), expected, rtol=1e-3)


def recurrent(op: str, gates: int) -> Any:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "first"], ["a"]),
        helper.make_node(op, ["a", "w", "r", "", "lengths"], ["", "h"], hidden_size=4),
        helper.make_node("Squeeze", ["h", "first"], ["y"]),
    ]
    weights = np.random.default_rng(2).normal(size=(1, gates * 4, 4)).astype(np.float32)
    return floats(nodes, {"first": np.int64([0]), "w": weights, "r": weights, "lengths": np.int32([1, 1])})


def scattered(op: str, at: list[Any], **attributes: Any) -> Any:
    nodes = [
        helper.make_node(op, ["x", "at", "by"], ["a"], **attributes),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    shape = (1, 4) if op == "ScatterND" else (1, 1)
    return floats(nodes, {"at": np.int64(at), "by": np.full(shape, 2, np.float32)}, opset=18)


def windowed(op: str) -> Any:
    return floats([helper.make_node(op, ["n"], ["a"]), helper.make_node("Mul", ["x", "a"], ["y"])], {"n": np.int64(4)})


def mel() -> Any:
    """Five bins of frequency to four: the fifth column of x is 0."""
    nodes = [
        helper.make_node("MelWeightMatrix", ["bins", "length", "rate", "low", "high"], ["m"]),
        helper.make_node("Pad", ["x", "pads"], ["a"]),
        helper.make_node("MatMul", ["a", "m"], ["y"]),
    ]
    whole = {"bins": np.int64(4), "length": np.int64(8), "rate": np.int64(8000), "pads": np.int64([0, 0, 0, 1])}
    return floats(nodes, {**whole, "low": np.float32(0), "high": np.float32(4000)})


def whitened() -> Any:
    return floats([helper.make_node("MeanVarianceNormalization", ["x"], ["y"], axes=[0, 1])], {})


FP32_ALONE: dict[str, Callable[[], Any]] = {
    **{op: lambda op=op, gates=gates: recurrent(op, gates) for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1))},
    **{op: lambda op=op: windowed(op) for op in ("HannWindow", "HammingWindow", "BlackmanWindow")},
    "MelWeightMatrix": mel,
    "ScatterND": lambda: scattered("ScatterND", [[1]], reduction="add"),
    "ScatterElements": lambda: scattered("ScatterElements", [[1]], axis=1, reduction="max"),
    "MeanVarianceNormalization": whitened,
}


@pytest.mark.parametrize("op", FP32_ALONE)
def test_what_is_invalid_in_fp16_or_unread_there_stays_fp32(op: str) -> None:
    model = FP32_ALONE[op]()
    expected = run(model, x=X)
    assert fp16.convert(model) == [f"computed in FP32, as these have no other form, or work on shapes or indices: {op}"]
    kinds = types(model)
    (node,) = (node for node in model.graph.node if node.op_type == op)
    assert {kinds[name] for name in node.output if name} == {TensorProto.FLOAT}
    np.testing.assert_allclose(run(model, x=X.astype(np.float16)), expected, atol=0.01)


@pytest.mark.parametrize("reduction", [{}, {"reduction": "none"}])
def test_what_only_writes_into_a_tensor_is_fp16(reduction: dict[str, str]) -> None:
    model = scattered("ScatterND", [[1]], **reduction)
    assert fp16.convert(model) == []
    assert types(model)["a"] == TensorProto.FLOAT16


def test_numbers_made_of_shapes_stay_exact() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Cast", ["rows"], ["n"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["n", "half"], ["m"]),
        helper.make_node("Cast", ["m"], ["k"], to=TensorProto.INT64),
        helper.make_node("Slice", ["x", "start", "k"], ["y"]),
    ]
    model = floats(nodes, {"zero": np.int64([0]), "half": np.float32(0.5), "start": np.int64([0])})
    fp16.convert(model)
    types(model)
    assert len(run(model, x=np.zeros((5002, 4), np.float16))) == 2501, "FP16 has no 2501"


def test_what_onnx_has_in_fp32_alone_stays_so() -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["a"], mode="nearest"),
        helper.make_node("Range", ["start", "end", "step"], ["r"]),
        helper.make_node("Add", ["a", "r"], ["y"]),
    ]
    constants = {"scales": np.float32([1, 2]), "start": np.float32(0), "end": np.float32(8), "step": np.float32(1)}
    model = floats(nodes, constants)
    expected = run(model, x=X)
    assert fp16.convert(model) == ["computed in FP32, as these have no other form, or work on shapes or indices: Range"]
    kinds = types(model)
    assert (kinds["a"], kinds["r"]) == (TensorProto.FLOAT16, TensorProto.FLOAT)
    np.testing.assert_allclose(run(model, x=X.astype(np.float16)), expected, rtol=1e-2)


def test_indices_that_are_sorted_as_floats_stay_whole() -> None:
    """FP16 has no 2049."""
    nodes = [
        helper.make_node("TopK", ["x", "k"], ["v", "i"], axis=1),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("TopK", ["f", "k"], ["sorted", "_"], axis=1, largest=0),
        helper.make_node("Cast", ["sorted"], ["j"], to=TensorProto.INT64),
        helper.make_node("GatherElements", ["x", "j"], ["y"], axis=1),
    ]
    model = graph(nodes, {"k": np.int64([3])}, x=(TensorProto.FLOAT, ["rows", 3000]))
    x = np.zeros((1, 3000), np.float16)
    x[0, [2049, 2051, 2999]] = 2, 3, 1
    assert fp16.convert(model) == ["computed in FP32, as these have no other form, or work on shapes or indices: TopK"]
    kinds = types(model)
    assert (kinds["v"], kinds["f"], kinds["sorted"]) == (TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.FLOAT)
    np.testing.assert_array_equal(run(model, x=x), np.float16([[2, 3, 1]]))


def test_constants_end_where_fp16_does_but_infinities_and_epsilons_remain() -> None:
    model = floats([helper.make_node("Add", ["x", "c"], ["y"])], {"c": np.float32([1e9, -np.inf, 1e-12, -0.0])})
    fp16.convert(model)
    stored = numpy_helper.to_array(model.graph.initializer[0])
    assert stored[:2].tolist() == [65504, -np.inf]
    assert 0 < stored[2] < 1e-7
    assert stored[3] == 0


def test_a_sequence_and_its_neighbours_agree() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("SequenceConstruct", ["a", "x"], ["s"]),
        helper.make_node("SequenceAt", ["s", "i"], ["b"]),
        helper.make_node("Exp", ["b"], ["y"]),
    ]
    model = floats(nodes, {"i": np.int64(1)})
    expected = run(model, x=X)
    fp16.convert(model)
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_allclose(run(model, x=X.astype(np.float16)), expected, rtol=1e-2)


@pytest.mark.parametrize("io", ["model", "fp32"])
def test_any_choice_of_kept_nodes_gives_a_valid_graph(io: str) -> None:
    expected = run(two_layers(), x=X)
    for kept in ({"a"}, {"b"}, {"y"}, {"a", "y"}, {"a", "b", "y"}, {"x", "b"}):
        model = two_layers()
        fp16.convert(model, kept, io)
        kind = types(model)["x"]
        given = X.astype(np.float32 if kind == TensorProto.FLOAT else np.float16)
        np.testing.assert_allclose(run(model, x=given), expected, atol=0.05)


def test_a_normalisation_whose_type_onnx_does_not_infer() -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x", "last"], ["a"]),
        helper.make_node("GroupNormalization", ["a", "w", "w"], ["b"], num_groups=2),
        helper.make_node("Squeeze", ["b", "last"], ["y"]),
    ]
    model = floats(nodes, {"last": np.int64([2]), "w": np.ones(4, np.float32)}, opset=21)
    model.ir_version = 10
    expected = run(model, x=X)
    assert fp16.convert(model) == []
    np.testing.assert_allclose(run(model, x=X.astype(np.float16)), expected, atol=0.01)
