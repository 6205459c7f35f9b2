"""Graphs as tf2onnx writes them, channels-last between Transposes: what is left of those, and that the numbers stay."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.graph import sanitise
from export.rewrite.fuse import simplify
from export.rewrite.layout import choose_layouts
from export.rewrite.min_cut import Cut
from export.rewrite.net import Net, Node
from export.rewrite.padding import fuse_padding
from export.rewrite.resize import use_scales
from export.rewrite.write import write
from profiles.errors import ExportError

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
RANDOM = np.random.default_rng(1)
KERNEL = RANDOM.normal(0, 0.3, (6, 6, 3, 3)).astype(np.float32)
SIDES = (5, 7)


class Graph:
    """A graph under construction: `add` returns the new tensor's name."""

    def __init__(self, opset: int = 18) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray] = {}

    def add(self, op: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        names = [self.constant(value) if isinstance(value, np.ndarray) else value for value in inputs]
        made = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(onnx.helper.make_node(op, names, made, f"n{len(self.nodes)}", **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def convolution(self, x: str, channels: int = 6) -> str:
        """As tf2onnx has it: turned before and after."""
        y = self.add("Conv", self.add("Transpose", x, perm=TO_FIRST), KERNEL[:, :channels], pads=[1, 1, 1, 1])
        return str(self.add("Transpose", y, perm=TO_LAST))

    def mean(self, x: str, *axes: int, keepdims: int = 1) -> str:
        """Its axes are an input since opset 18."""
        if self.opset < 18:
            return str(self.add("ReduceMean", x, axes=axes, keepdims=keepdims))
        return str(self.add("ReduceMean", x, np.array(axes, np.int64), keepdims=keepdims))

    def model(self, output: str, rank: int = 4, channels: int = 6) -> Any:
        tensors = [onnx.numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        floats = onnx.TensorProto.FLOAT
        x = onnx.helper.make_tensor_value_info("x", floats, ["batch", channels, *SIDES])
        y = onnx.helper.make_tensor_value_info(output, floats, ["batch"] + [None] * (rank - 1))
        graph = onnx.helper.make_graph(self.nodes, "g", [x], [y], tensors)
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", self.opset)], ir_version=8)


def run(model: Any, seed: int = 3) -> np.ndarray:
    """Fully optimised, as a device runs it."""
    channels = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    x = np.random.default_rng(seed).normal(0, 1, (2, channels, *SIDES)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": x})[0])


def rewritten(model: Any, tmp_path: Path) -> tuple[Any, Counter[str]]:
    """The graph after all passes, the same in what it computes, and its operations."""
    net = Net(model, {})
    simplify(net)
    choose_layouts(net)
    fuse_padding(net)
    use_scales(net)
    path = tmp_path / "model.onnx"
    write(net, path)
    onnx.checker.check_model(str(path), full_check=True)
    from onnx.reference import ReferenceEvaluator

    after = onnx.load(path)
    sanitise(after)  # as the gate does
    reference = ReferenceEvaluator(model)
    x = np.random.default_rng(3).normal(0, 1, (2, net.inputs[0].type.tensor_type.shape.dim[1].dim_value, *SIDES))
    expected = reference.run(None, {"x": x.astype(np.float32)})[0]
    assert np.allclose(expected, run(after), rtol=1e-4, atol=1e-5)
    return after, Counter(node.op_type for node in after.graph.node)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def shorts(*values: int) -> np.ndarray:
    """As TensorFlow has them."""
    return np.array(values, np.int32)


BETWEEN = {
    "a constant for each channel": lambda g, x: g.add("Add", x, RANDOM.normal(size=6).astype(np.float32)),
    "a constant first": lambda g, x: g.add("Sub", RANDOM.normal(size=(1, 1, 1, 6)).astype(np.float32), x),
    "a scalar": lambda g, x: g.add("Mul", x, np.array(3.0, np.float32)),
    "a constant for each place": lambda g, x: g.add("Mul", x, RANDOM.normal(size=(*SIDES, 6)).astype(np.float32)),
    "a residual": lambda g, x: g.add("Add", x, g.add("Relu", x)),
    "a concatenation": lambda g, x: g.add("Slice", g.add("Concat", x, x, axis=3), ints(3), ints(9), ints(3)),
    "a softmax over channels": lambda g, x: g.add("Softmax", x, axis=-1),
    "padding": lambda g, x: g.add("Pad", x, ints(0, 1, 0, 0, 0, 0, 2, 0)),
    "half of the channels twice": lambda g, x: g.add(
        "Tile", g.add("Slice", x, ints(0), ints(3), ints(-1)), ints(1, 1, 1, 2)
    ),
    "every second pixel": lambda g, x: g.add("Slice", x, shorts(0, 1), shorts(9, 9), shorts(1, 2), shorts(2, 2)),
    "halves": lambda g, x: g.add("Concat", *g.add("Split", x, ints(2, 4), outputs=2, axis=3)[::-1], axis=3),
    "a gate": lambda g, x: g.add("Mul", x, g.add("Sigmoid", g.mean(x, 1, 2, keepdims=1))),
    "a gate through rows": lambda g, x: g.add(
        "Mul", x, g.add("Reshape", g.mean(x, 1, 2, keepdims=0), ints(-1, 1, 1, 6))
    ),
    "its own shape": lambda g, x: g.add("Reshape", x, g.add("Shape", x)),
}  # fmt: skip


@pytest.mark.parametrize("what", BETWEEN)
@pytest.mark.parametrize("opset", [17, 18])
def test_what_lies_between_convolutions_is_done_channels_first(what: str, opset: int, tmp_path: Path) -> None:
    graph = Graph(opset)
    x = graph.convolution(graph.add("Transpose", "x", perm=TO_LAST))
    y = graph.convolution(BETWEEN[what](graph, x))
    model = graph.model(graph.add("Transpose", y, perm=TO_FIRST))
    _, ops = rewritten(model, tmp_path)
    assert ops["Transpose"] == (2 if what == "its own shape" else 0)


def test_a_linear_layer_over_channels_stays_channels_last_at_the_least_cost(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.convolution(graph.add("Transpose", "x", perm=TO_LAST))
    x = graph.add("MatMul", x, RANDOM.normal(size=(6, 24)).astype(np.float32))
    x = graph.add("MatMul", graph.add("Relu", x), RANDOM.normal(size=(24, 6)).astype(np.float32))
    y = graph.convolution(x)
    _, ops = rewritten(graph.model(graph.add("Transpose", y, perm=TO_FIRST)), tmp_path)
    assert ops["Transpose"] == 2


def test_an_output_stays_as_the_framework_gives_it(tmp_path: Path) -> None:
    graph = Graph()
    y = graph.add("Relu", graph.convolution(graph.add("Transpose", "x", perm=TO_LAST)))
    after, ops = rewritten(graph.model(y), tmp_path)
    assert ops["Transpose"] == 1
    assert run(after).shape == (2, *SIDES, 6)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gain", [True, False])
def test_a_layer_norm_as_keras_spells_it_is_one_operation(gain: bool, bias: bool, tmp_path: Path) -> None:
    graph = Graph()
    x = graph.add("Transpose", "x", perm=TO_LAST)
    mean = graph.add("ReduceMean", x, ints(-1))
    deviation = graph.add("Sub", x, mean)
    variance = graph.add("ReduceMean", graph.add("Mul", deviation, deviation), ints(-1))
    scale = graph.add("Reciprocal", graph.add("Sqrt", graph.add("Add", variance, np.array(1e-3, np.float32))))
    if gain:
        scale = graph.add("Mul", scale, RANDOM.normal(1, 0.3, 6).astype(np.float32))
    shift = graph.add("Mul", graph.add("Neg", mean), scale)
    if bias:
        shift = graph.add("Add", shift, RANDOM.normal(size=6).astype(np.float32))
    y = graph.add("Add", graph.add("Mul", x, scale), shift)
    _, ops = rewritten(graph.model(y), tmp_path)
    assert ops == {"Transpose": 1, "LayerNormalization": 1}


def test_a_norm_over_height_is_no_layer_norm(tmp_path: Path) -> None:
    graph = Graph()
    mean = graph.add("ReduceMean", "x", ints(2))
    deviation = graph.add("Sub", "x", mean)
    variance = graph.add("ReduceMean", graph.add("Mul", deviation, deviation), ints(2))
    scale = graph.add("Reciprocal", graph.add("Sqrt", graph.add("Add", variance, np.array(1e-3, np.float32))))
    y = graph.add("Add", graph.add("Mul", "x", scale), graph.add("Mul", graph.add("Neg", mean), scale))
    _, ops = rewritten(graph.model(y), tmp_path)
    assert ops["LayerNormalization"] == 0


def test_a_dense_layer_on_images_needs_no_shapes(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.add("Transpose", "x", perm=TO_LAST)
    leading = graph.add("Gather", graph.add("Shape", x), ints(0, 1, 2))
    rows = graph.add("Reshape", x, ints(-1, 6))
    product = graph.add("MatMul", rows, RANDOM.normal(size=(6, 4)).astype(np.float32))
    y = graph.add("Reshape", product, graph.add("Concat", leading, ints(4), axis=0))
    _, ops = rewritten(graph.model(y), tmp_path)
    assert ops == {"Transpose": 1, "MatMul": 1}


def test_upsampling_says_by_what_factor(tmp_path: Path) -> None:
    graph = Graph()
    x = graph.convolution(graph.add("Transpose", "x", perm=TO_LAST))
    shape = graph.add("Shape", x)
    sides = graph.add("Mul", graph.add("Slice", shape, ints(1), ints(3), ints(0)), ints(2, 3))
    first = graph.add("Transpose", x, perm=TO_FIRST)
    kept = graph.add("Slice", graph.add("Shape", first), ints(0), ints(2), ints(0))
    size = graph.add("Concat", kept, sides, axis=0)
    y = graph.add("Resize", first, "", "", size, mode="nearest", coordinate_transformation_mode="half_pixel")
    after, ops = rewritten(graph.model(y), tmp_path)
    assert ops == {"Conv": 1, "Resize": 1}
    scales = {tensor.name: onnx.numpy_helper.to_array(tensor).tolist() for tensor in after.graph.initializer}
    assert [1.0, 1.0, 2.0, 3.0] in scales.values()


@pytest.mark.parametrize("counting", ["align_corners", "half_pixel", "asymmetric"])
def test_nearest_neighbours_stay_the_same_however_pixels_are_counted(counting: str, tmp_path: Path) -> None:
    graph = Graph()
    scales = np.array([1, 1, 2, 3], np.float32)
    y = graph.add("Resize", "x", "", scales, mode="nearest", coordinate_transformation_mode=counting)
    rewritten(graph.model(y), tmp_path)  # it compares the numbers


def test_an_operation_that_onnx_lacks_is_not_computed_before_it_is_rewritten(tmp_path: Path) -> None:
    graph = Graph()
    factor = np.array(0.5, np.float32)
    net = Net(graph.model(graph.add("Mul", "x", graph.add("Erfc", graph.add("Neg", factor)))), {})
    simplify(net)
    write(net, tmp_path / "model.onnx")
    after = onnx.load(tmp_path / "model.onnx")
    assert [node.op_type for node in after.graph.node] == ["Mul"]
    assert onnx.numpy_helper.to_array(after.graph.initializer[0]) == pytest.approx(math.erfc(-0.5))


def test_a_graph_that_is_a_circle_is_refused() -> None:
    net = Net(Graph().model("x", channels=3), {})
    net.add(Node("Relu", ["x"], ["y"], {}, "first"))
    net.add(Node("Neg", ["y"], ["x"], {}, "second"))
    with pytest.raises(ExportError, match=r"circle: node '\w+' reads"):
        net.ordered()


def padded(op: str, before: Sequence[str], tmp_path: Path) -> Counter[str]:
    graph = Graph()
    x = "x"
    for name in before:
        x = graph.add(name, x)
    x = graph.add("Pad", x, ints(0, 0, 1, 1, 0, 0, 1, 1))
    more = {"kernel_shape": [3, 3], "pads": [0, 0, 0, 0]} if op == "MaxPool" else {}
    y = graph.add(op, *((x,) if op == "MaxPool" else (x, KERNEL)), **more)
    return rewritten(graph.model(y), tmp_path)[1]


def test_zeros_around_an_image_become_the_padding_of_what_reads_it(tmp_path: Path) -> None:
    assert padded("Conv", ["Neg"], tmp_path)["Pad"] == 0
    assert padded("MaxPool", ["Relu"], tmp_path)["Pad"] == 0


def test_onnxruntime_does_not_lose_the_zeros_around_a_pooling_of_negative_values(tmp_path: Path) -> None:
    assert padded("MaxPool", ["Exp", "Neg"], tmp_path)["Pad"] == 1  # `rewritten` compares the numbers


def test_large_weights_lie_in_a_file_beside_the_graph(tmp_path: Path) -> None:
    graph = Graph()
    net = Net(graph.model(graph.convolution(graph.add("Transpose", "x", perm=TO_LAST))), {})
    choose_layouts(net)
    path = tmp_path / "model.onnx"
    write(net, path)
    whole = run(onnx.load(path))
    write(net, path, limit=100)
    assert (tmp_path / "model.onnx.data").stat().st_size >= KERNEL.nbytes
    assert np.array_equal(whole, run(onnx.load(path)))


def test_the_order_of_nodes_and_their_running_numbers_leave_no_trace(tmp_path: Path) -> None:
    written = []
    for number in (7, 23):
        graph = Graph()
        x = graph.add("Transpose", "x", perm=TO_LAST)
        y = graph.add("Add", graph.add("Relu", x), graph.add("Neg", x))
        model = graph.model(y)
        for node in model.graph.node:
            node.name = f"{node.op_type}__{number}"
        middle = [model.graph.node[1], model.graph.node[2]]
        if number == 23:
            middle.reverse()
        nodes = [model.graph.node[0], *middle, model.graph.node[3]]
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        path = tmp_path / f"{number}.onnx"
        write(Net(model, {}), path)
        written.append(path.read_bytes())
    assert written[0] == written[1]


def test_a_cut_counts_a_tensor_once_however_many_read_it() -> None:
    cut = Cut()
    cut.tensor("image", cut.channels_last, ["relu"], 10)
    cut.tensor("y", "relu", ["a", "b", "c"], 4)
    for name in ("a", "b", "c"):
        cut.tensor(f"out {name}", name, [cut.channels_first], 100)
    assert cut.solve() >= {"a", "b", "c"}
    assert "relu" not in cut.solve()
