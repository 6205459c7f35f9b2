"""INT8 in the graph: what is quantised, where, by which scales, and what it computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.judging.parity import relative_error
from export.precision import fp16, int8
from export.precision.placement import place

RANDOM = np.random.default_rng(7)
IMAGES = RANDOM.normal(size=(8, 3, 8, 8)).astype(np.float32)


def weights(*shape: int) -> Any:
    """Channels of very unlike size, as batch norm leaves them."""
    return (RANDOM.normal(size=shape) * np.logspace(-2, 0, shape[0]).reshape(-1, *(1,) * (len(shape) - 1))).astype("f4")


def model_of(nodes: list[Any], constants: dict[str, Any], shape: list[Any], opset: int = 17) -> Any:
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "a", "b", "c"][: len(shape)])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def residual(opset: int = 17) -> Any:
    """A block with a projection on its shortcut, and one without."""
    conv = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], "stem", **conv),
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "w1"], ["b"], "main1", **conv),
        helper.make_node("Relu", ["b"], ["rb"], "relu1"),
        helper.make_node("Conv", ["rb", "w2"], ["c"], "main2", **conv),
        helper.make_node("Conv", ["r", "w3"], ["d"], "projection", kernel_shape=[1, 1]),
        helper.make_node("Add", ["c", "d"], ["s"], "sum1"),
        helper.make_node("Relu", ["s"], ["rs"], "relu2"),
        helper.make_node("Conv", ["rs", "w4"], ["e"], "main3", **conv),
        helper.make_node("Add", ["e", "rs"], ["y"], "sum2"),
    ]
    shapes = {"w0": (8, 3, 3, 3), "w1": (8, 8, 3, 3), "w2": (8, 8, 3, 3), "w3": (8, 8, 1, 1), "w4": (8, 8, 3, 3)}
    constants = {name: weights(*shape) for name, shape in shapes.items()}
    return model_of(nodes, constants, ["batch", 3, 8, 8], opset)


def run(model: Any, outputs: list[str], x: Any = IMAGES) -> list[Any]:
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in outputs if name != "y")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(outputs, {"x": x})


def ranges_of(model: Any) -> dict[str, float]:
    tensors = list(place(model.graph).tensors)
    return {name: float(np.abs(value).max()) for name, value in zip(tensors, run(model, tensors), strict=True)}


def quantised(model: Any, ranges: Mapping[str, float]) -> Any:
    made = onnx.ModelProto.FromString(model.SerializeToString())
    int8.quantise(made, place(made.graph), ranges)
    onnx.checker.check_model(made, full_check=True)
    return made


def test_inputs_and_weights_of_convolutions_are_quantised_and_their_outputs_are_not() -> None:
    made = quantised(residual(), dict.fromkeys(place(residual().graph).tensors, 1.0))
    makers = {name: node for node in made.graph.node for name in node.output}
    for node in made.graph.node:
        if node.op_type == "Conv":
            assert [makers[name].op_type for name in node.input] == ["DequantizeLinear", "DequantizeLinear"]
        if node.op_type == "Relu":
            assert makers[node.input[0]].op_type in ("Conv", "Add"), "TensorRT fuses it into what is before it"


def test_the_shortcut_of_an_addition_is_quantised_and_shares_its_pair() -> None:
    made = quantised(residual(), dict.fromkeys(place(residual().graph).tensors, 1.0))
    by_name = {node.name: node for node in made.graph.node}
    makers = {name: node.op_type for node in made.graph.node for name in node.output}
    assert [makers[name] for name in by_name["sum1"].input] == ["Conv", "DequantizeLinear"]
    assert by_name["sum1"].input[1].startswith("d/"), "the projection's output, not the main path's"
    assert by_name["sum2"].input[1] == by_name["main3"].input[0]


def test_weights_have_a_scale_for_each_output_channel_and_are_symmetric() -> None:
    model = residual()
    made = quantised(model, dict.fromkeys(place(model.graph).tensors, 1.0))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    pair = next(node for node in made.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "w1")
    np.testing.assert_allclose(constants[pair.input[1]], np.abs(constants["w1"]).max(axis=(1, 2, 3)) / 127)
    zeros = constants[pair.input[2]]
    assert (zeros.dtype, zeros.any()) == (np.int8, False)
    assert helper.get_node_attr_value(pair, "axis") == 0
    assert constants["w1"].dtype == np.float32, "TensorRT 8 folds the pair itself"


@pytest.mark.parametrize(
    ("op", "weight", "attributes", "axis"),
    [
        ("Conv", (6, 4, 1, 1), {}, 0),
        ("ConvTranspose", (4, 6, 1, 1), {}, 1),
        ("ConvTranspose", (4, 3, 1, 1), {"group": 2}, None),
        ("Gemm", (4, 6), {}, 1),
        ("Gemm", (6, 4), {"transB": 1}, 0),
        ("MatMul", (4, 6), {}, 1),
    ],
)
def test_the_axis_is_that_of_the_output_channels(
    op: str, weight: tuple[int, ...], attributes: dict[str, Any], axis: int | None
) -> None:
    node = helper.make_node(op, ["x", "w"], ["y"], **attributes)
    model = model_of([node], {"w": weights(*weight)}, ["batch", 4, 2, 2] if len(weight) == 4 else ["batch", 4])
    assert [one.axis for one in place(model.graph).weights] == [axis]
    made = quantised(model, {"x": 4.0})
    x = RANDOM.uniform(-4, 4, (16, 4, 2, 2) if len(weight) == 4 else (16, 4)).astype(np.float32)
    assert relative_error(run(model, ["y"], x)[0], run(made, ["y"], x)[0]) < 0.02


def test_a_depthwise_convolution_stays_as_it_is_and_a_grouped_one_does_not() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "deep"], ["a"], group=4),
        helper.make_node("Conv", ["a", "grouped"], ["y"], group=2),
    ]
    model = model_of(nodes, {"deep": weights(4, 1, 1, 1), "grouped": weights(4, 2, 1, 1)}, ["batch", 4, 2, 2])
    placement = place(model.graph)
    assert [one.name for one in placement.weights] == ["grouped"]
    assert placement.tensors == ("a",)


def test_products_of_two_activations_stay_as_they_are() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"]),
        helper.make_node("Softmax", ["a"], ["p"]),
        helper.make_node("MatMul", ["p", "a"], ["y"]),
    ]
    placement = place(model_of(nodes, {"w": weights(4, 4)}, [4, 4]).graph)
    assert placement.tensors == ("x",)


def test_it_computes_what_the_fp32_graph_does() -> None:
    model = residual()
    error = relative_error(run(model, ["y"])[0], run(quantised(model, ranges_of(model)), ["y"])[0])
    assert 1e-4 < error < 0.1


def test_it_is_what_onnxruntime_quantises(tmp_path: Path) -> None:
    """The same convolution by onnxruntime's own quantiser with the options that TensorRT needs."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", kernel_shape=[3, 3])
    model = model_of([node], {"w": weights(8, 3, 3, 3)}, ["batch", 3, 8, 8])

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.feeds = iter([{"x": IMAGES}])

        def get_next(self) -> Any:
            return next(self.feeds, None)

    options = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    quantize_static(
        model,
        tmp_path / "q.onnx",
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QInt8,
        per_channel=True,
        extra_options={**options, "AddQDQPairToWeight": True, "OpTypesToExcludeOutputQuantization": ["Conv"]},
    )
    theirs = run(onnx.load(tmp_path / "q.onnx"), ["y"])[0]
    ours = run(quantised(model, ranges_of(model)), ["y"])[0]
    assert relative_error(run(model, ["y"])[0], ours) > 1e-3
    assert relative_error(theirs, ours) < 1e-3


@pytest.mark.parametrize("opset", [19, 20])
def test_the_rest_can_be_fp16_from_opset_19_on(opset: int) -> None:
    model = residual(opset)
    made = quantised(model, ranges_of(model))
    fp16.convert(made)
    onnx.checker.check_model(made, full_check=True)
    assert "Cast" not in {node.op_type for node in made.graph.node}
    output = run(made, ["y"], IMAGES.astype(np.float16))[0]
    assert output.dtype == np.float16
    assert relative_error(run(model, ["y"])[0], output) < 0.1


def test_pairs_of_what_fp16_does_not_hold_stay_fp32() -> None:
    model = residual(19)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights(8, 3, 3, 3) * np.float32(40_000), "w0"))
    ranges = ranges_of(model)
    assert ranges["r"] > 65_504
    made = quantised(model, ranges)
    fp16.convert(made, {"a", "r", "b", "d"} | int8.beyond(place(model.graph), ranges))
    onnx.checker.check_model(made, full_check=True)
    scale = next(node.input[1] for node in made.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "r")
    kinds = {tensor.name: tensor.data_type for tensor in made.graph.initializer}
    assert kinds[scale] == TensorProto.FLOAT
    assert np.isfinite(run(made, ["b"], IMAGES.astype(np.float16))[0]).all()


def test_a_tensor_that_was_always_0_and_a_channel_without_weights_have_a_scale() -> None:
    model = residual()
    dead = weights(8, 8, 3, 3)
    dead[3] = 0
    next(one for one in model.graph.initializer if one.name == "w1").CopyFrom(numpy_helper.from_array(dead, "w1"))
    made = quantised(model, {**ranges_of(model), "d": 0.0})
    assert np.isfinite(run(made, ["y"])[0]).all()


@pytest.mark.parametrize("damage", ["a range 16 times too small", "all ranges 4 times too large", "weights on axis 1"])
def test_a_broken_quantisation_is_far_off(damage: str) -> None:
    """What the limit of parity has to find."""
    model = residual()
    ranges, placement = ranges_of(model), place(model.graph)
    if damage.startswith("a range"):
        ranges["rs"] /= 16
    if damage.startswith("all"):
        ranges = {name: 4 * value for name, value in ranges.items()}
    broken = onnx.ModelProto.FromString(model.SerializeToString())
    int8.quantise(broken, placement, ranges)
    if damage.startswith("weights"):  # the scales of one axis used on the other
        for node in broken.graph.node:
            for one in node.attribute:
                if one.name == "axis" and node.input[0].startswith(("w1", "w2", "w4")):
                    one.i = 1
    sound = relative_error(run(model, ["y"])[0], run(quantised(model, ranges_of(model)), ["y"])[0])
    assert relative_error(run(model, ["y"])[0], run(broken, ["y"])[0]) > 3 * sound
