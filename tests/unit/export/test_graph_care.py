"""Graph care: what goes, what stays, and that nothing is computed otherwise."""

import numpy as np
import pytest

from export import graph
from profiles.errors import ExportError
from tests.unit.export import small_graphs as small
from tests.unit.export.test_graph_form import looped

pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install 'edgebench[local]'")

onnx, node = small.onnx, small.node
X = small.random(2, 6, 8, 8, seed=9)


def norm(source: str, channels: int = 4) -> tuple[object, dict[str, np.ndarray]]:
    """A BatchNormalization of `source` into `n`, and its constants."""
    made = {name: np.abs(small.random(channels, seed=seed)) + 0.5 for seed, name in enumerate("gbmv", 20)}
    return node("BatchNormalization", [source, *"gbmv"], ["n"], name="bn", epsilon=1e-3), made


def linear(kind: str, *, bias: bool) -> tuple[object, dict[str, np.ndarray], tuple[int, ...]]:
    """(a node from x to `a` of four channels, its constants, the shape of x)."""
    reads = ["x", "w", *(["c"] if bias else [])]
    constants = {"c": small.random(4, seed=3)} if bias else {}
    if kind == "Gemm":
        attributes = {"transB": 1, "alpha": 0.5, "beta": 2.0}
        return node("Gemm", reads, ["a"], name="fc", **attributes), {"w": small.random(4, 6), **constants}, (2, 6)
    shape = (4, 3, 3, 3) if kind == "Conv" else (6, 2, 3, 3)
    made = node(kind, reads, ["a"], name="conv", group=2)
    return made, {"w": small.random(*shape), **constants}, X.shape


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose", "Gemm"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("opset", [13, 18])
def test_batch_norm_is_folded_into_what_is_before_it(kind: str, bias: bool, opset: int) -> None:
    first, weights, shape = linear(kind, bias=bias)
    second, moments = norm("a")
    last = node("Relu", ["n"], ["y"], name="relu")
    model = small.graph([first, second, last], {"x": shape}, {"y": None}, weights | moments, opset=opset)
    x = X if shape == X.shape else X[:, :, 0, 0]
    before = small.run(model, x=x)["y"]
    cared = graph.tidy(model)
    onnx.checker.check_model(cared.model, full_check=True)
    assert small.kinds(cared.model) == [kind, "Relu"]
    assert [one.name for one in cared.model.graph.node] == [first.name, "relu"]
    assert cared.model.graph.node[0].output == ["n"], "the tensor after batch norm keeps its name"
    assert np.allclose(small.run(cared.model, x=x)["y"], before, atol=1e-5)
    assert (cared.dropped, cared.note) == ((), "")


def test_batch_norm_as_tensorflow_writes_it_is_folded_too() -> None:
    """Mul and Add with one value a channel after a convolution."""
    first, weights, _ = linear("Conv", bias=False)
    nodes = [first, node("Mul", ["a", "s"], ["b"]), node("Add", ["t", "b"], ["y"])]
    steps = {"s": small.random(1, 4, 1, 1, seed=5), "t": small.random(4, 1, 1, seed=6)}
    model = small.graph(nodes, {"x": X.shape}, {"y": None}, weights | steps)
    cared = graph.tidy(model)
    assert small.kinds(cared.model) == ["Conv"]
    assert np.allclose(small.run(cared.model, x=X)["y"], small.run(model, x=X)["y"], atol=1e-5)


@pytest.mark.parametrize("shape", [(4,), (1, 4, 6, 6), (1, 1, 4, 1, 1)], ids=str)
def test_what_is_not_one_value_a_channel_stays(shape: tuple[int, ...]) -> None:
    first, weights, _ = linear("Conv", bias=False)
    weights["w"] = small.random(4, 3, 5, 5)  # 8 - 4 = 4 columns, so that (4,) fits along them
    constant = small.random(*[4 if size == 6 else size for size in shape])
    model = small.graph([first, node("Mul", ["a", "s"], ["y"])], {"x": X.shape}, {"y": None}, weights | {"s": constant})
    cared = graph.tidy(model)
    assert small.kinds(cared.model) == ["Conv", "Mul"]
    assert np.array_equal(small.run(cared.model, x=X)["y"], small.run(model, x=X)["y"])


def test_a_convolution_that_others_read_keeps_its_batch_norm() -> None:
    first, weights, _ = linear("Conv", bias=True)
    second, moments = norm("a")
    nodes = [first, second, node("Add", ["a", "n"], ["y"])]
    model = small.graph(nodes, {"x": X.shape}, {"y": None}, weights | moments)
    assert small.kinds(graph.tidy(model).model) == ["Conv", "BatchNormalization", "Add"]


def test_weights_that_two_convolutions_share_are_not_changed_for_the_other() -> None:
    first, weights, _ = linear("Conv", bias=True)
    second, moments = norm("a")
    other = node("Conv", ["x", "w", "c"], ["o"], name="other", group=2)
    model = small.graph([first, second, other, node("Add", ["n", "o"], ["y"])], {"x": X.shape}, {"y": None},
                        weights | moments)  # fmt: skip
    cared = graph.tidy(model)
    assert sorted(small.kinds(cared.model)) == ["Add", "Conv", "Conv"]
    assert np.allclose(small.run(cared.model, x=X)["y"], small.run(model, x=X)["y"], atol=1e-5)


def test_fp16_weights_are_not_folded_out_of_their_range() -> None:
    weights = {"w": np.full((4, 3, 3, 3), 60_000, np.float16), "s": np.full((1, 4, 1, 1), 2, np.float16)}
    nodes = [node("Conv", ["x", "w"], ["a"], group=2), node("Mul", ["a", "s"], ["y"])]
    model = small.graph(nodes, {"x": X.shape}, {"y": None}, weights, kind=small.FLOAT16)
    assert small.kinds(graph.tidy(model).model) == ["Conv", "Mul"]


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_identity_dropout_and_computed_constants_go(opset: int) -> None:
    nodes = [
        node("Dropout", ["x"], ["a", "mask"]),
        node("Identity", ["a"], ["b"]),
        node("Add", ["two", "three"], ["five"]),
        node("Mul", ["b", "five"], ["c"], name="mul"),
        node("Identity", ["c"], ["y"]),
        node("Relu", ["x"], ["nobody_reads_this"]),
    ]
    constants = {"two": np.float32([2.0]), "three": np.float32([3.0]), "unused": np.float32([7.0])}
    model = small.graph(nodes, {"x": ["batch", 4]}, {"y": ["batch", 4]}, constants, opset=opset)
    cared = graph.tidy(model).model
    onnx.checker.check_model(cared, full_check=True)
    assert [one.name for one in cared.graph.node] == ["mul"]
    assert [tensor.name for tensor in cared.graph.initializer] == ["five"]
    assert graph.opset(cared) == opset
    x = small.random(2, 4)
    assert np.array_equal(small.run(cared, x=x)["y"], x * 5)


def test_reshapes_to_the_shape_that_is_there_already_go() -> None:
    """TensorFlow's squeeze and excite has two of them around each convolution."""
    nodes = [
        node("GlobalAveragePool", ["x"], ["a"]),
        node("Reshape", ["a", "shape"], ["b"]),
        node("Conv", ["b", "w"], ["y"]),
    ]
    constants = {"shape": np.int64([-1, 6, 1, 1]), "w": small.random(4, 6, 1, 1)}
    model = small.graph(nodes, {"x": ["batch", 6, 8, 8]}, {"y": ["batch", 4, 1, 1]}, constants)
    assert small.kinds(graph.tidy(model).model) == ["GlobalAveragePool", "Conv"]


def test_two_outputs_of_one_tensor_are_both_kept() -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("Identity", ["a"], ["y"]), node("Identity", ["a"], ["z"])]
    cared = graph.tidy(small.graph(nodes, {"x": [2, 3]}, {"y": [2, 3], "z": [2, 3]})).model
    x = small.random(2, 3)
    found = small.run(cared, x=x)
    assert np.array_equal(found["y"], np.maximum(x, 0))
    assert np.array_equal(found["z"], found["y"])


def test_an_output_that_is_an_input_is_kept() -> None:
    cared = graph.tidy(small.graph([node("Identity", ["x"], ["y"])], {"x": [2]}, {"y": [2]})).model
    assert np.array_equal(small.run(cared, x=np.float32([1, 2]))["y"], [1, 2])


def test_inputs_that_nothing_reads_are_dropped_and_named() -> None:
    """tf2onnx has given EfficientNet two of them."""
    model = small.graph([node("Relu", ["x"], ["y"])], {"x": [2], "false": [3], "w": [1]}, {"y": [2]}, {"w": [1.0]})
    cared = graph.tidy(model)
    assert cared.dropped == ("false",), "w is a constant that old formats list as an input"
    assert [one.name for one in cared.model.graph.input] == ["x"]


def test_loops_are_left_as_they_compute() -> None:
    x = small.random(2, 4)
    assert np.allclose(small.run(graph.tidy(looped()).model, x=x)["y"], small.run(looped(), x=x)["y"])


def test_quantised_weights_are_not_computed_back_to_floats() -> None:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        node("DequantizeLinear", ["wq", "s", "z"], ["wd"]),
        node("Conv", ["xd", "wd"], ["y"]),
    ]
    constants = {"s": np.float32(0.1), "z": np.int8(0), "wq": np.ones((4, 6, 1, 1), np.int8)}
    cared = graph.tidy(small.graph(nodes, {"x": X.shape}, {"y": None}, constants)).model
    assert sorted(small.kinds(cared)) == sorted(one.op_type for one in nodes)


def test_the_same_graph_gives_the_same_bytes_and_is_then_left_alone() -> None:
    def made() -> object:
        first, weights, _ = linear("Conv", bias=False)
        second, moments = norm("a")
        return small.graph([first, second, node("Identity", ["n"], ["y"])], {"x": X.shape}, {"y": None},
                           weights | moments)  # fmt: skip

    once, again = (graph.tidy(made()).model.SerializeToString(deterministic=True) for _ in range(2))
    assert once == again
    assert graph.tidy(onnx.load_model_from_string(once)).model.SerializeToString(deterministic=True) == once


def test_functions_are_written_out() -> None:
    model = small.graph([node("Twice", ["x"], ["y"], domain="ours")], {"x": [2]}, {"y": [2]})
    opset = [onnx.helper.make_opsetid("", 18)]
    model.functions.append(
        onnx.helper.make_function("ours", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], opset)
    )
    model.opset_import.append(onnx.helper.make_opsetid("ours", 1))
    cared = graph.tidy(model).model
    assert small.kinds(cared) == ["Add"]
    assert [entry.domain for entry in cared.opset_import] == [""]


@pytest.mark.parametrize("kind", ["BatchNormalization", "Dropout"])
def test_training_mode_is_refused_by_the_node(kind: str) -> None:
    second, constants = norm("x", 6)
    if kind == "Dropout":
        second = node("Dropout", ["x", "ratio", "yes"], ["n"], name="drop")
        constants = {"ratio": np.float32(0.5), "yes": np.array(True)}
    else:
        second.attribute.append(onnx.helper.make_attribute("training_mode", 1))
        second.output.extend(["mean", "variance"])
    model = small.graph([second, node("Relu", ["n"], ["y"])], {"x": X.shape}, {"y": None}, constants)
    with pytest.raises(ExportError, match=rf"node '{second.name}' \({kind}\) is in training mode; .*model.eval"):
        graph.tidy(model)


def test_training_mode_in_a_function_is_refused_too() -> None:
    """Whether it trains, the caller may say."""
    inner = [node("Constant", [], ["r"], value_float=0.5), node("Dropout", ["a", "r", "t"], ["b"], name="drop")]
    model = small.graph(
        [node("Drops", ["x", "yes"], ["y"], domain="ours")], {"x": [2]}, {"y": [2]}, {"yes": np.array(True)}
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    model.functions.append(onnx.helper.make_function("ours", "Drops", ["a", "t"], ["b"], inner, opset))
    model.opset_import.append(onnx.helper.make_opsetid("ours", 1))
    with pytest.raises(ExportError, match=r"\(Dropout\) is in training mode"):
        graph.tidy(model)


def test_a_graph_that_the_optimizer_cannot_take_is_kept_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxscript import optimizer

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no rule for this")

    monkeypatch.setattr(optimizer, "fold_constants_ir", fail)
    nodes = [node("Identity", ["x"], ["a"]), node("Relu", ["a"], ["y"])]
    cared = graph.tidy(small.graph(nodes, {"x": [2]}, {"y": [2]}))
    assert "no rule for this" in cared.note
    assert small.kinds(cared.model) == ["Relu"]
