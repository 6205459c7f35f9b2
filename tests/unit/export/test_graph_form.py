"""The form of a graph: names, order, batch, and nothing of the machine it was made on."""

import random

import numpy as np
import pytest

from export import graph
from profiles.errors import ExportError
from tests.unit.export import small_graphs as small

onnx = small.onnx


def network(batch: int | str = "batch", shuffle: int | None = None):
    """images (N, 3, 8, 8) -> grouped Conv (6 of 3x3, stride 2) -> Flatten -> Gemm 10. With `shuffle`, the nodes and
    constants come in another order and the constants under other names: the same network all the same."""
    suffix = "" if shuffle is None else f"_{shuffle}"
    constants = {f"w{suffix}": small.random(6, 1, 3, 3), f"v{suffix}": small.random(96, 10)}
    nodes = [
        small.node("Conv", ["images", f"w{suffix}"], ["a"], name="conv", group=3, strides=[2, 2], pads=[1, 1, 1, 1]),
        small.node("Flatten", ["a"], ["b"], name="flatten"),
        small.node("Gemm", ["b", f"v{suffix}"], ["logits"], name="fc"),
        small.node("Relu", ["a"], ["nobody_reads_this"], name="dead"),
    ]
    if shuffle is not None:
        random.Random(shuffle).shuffle(nodes)
        constants = dict(reversed(constants.items()))
    return small.graph(nodes, {"images": [batch, 3, 8, 8]}, {"logits": [batch, 10]}, constants)


def looped(turns: int = 3):
    """x (N, 4) times w (4, 4), `turns` times over, in the body of a Loop that reads w of the graph around it."""
    body = onnx.helper.make_graph(
        [small.node("Identity", ["go"], ["on"]), small.node("MatMul", ["s", "w"], ["t"], name="inner")],
        "body",
        [small.value("i", [], onnx.TensorProto.INT64), small.value("go", [], onnx.TensorProto.BOOL),
         small.value("s", None)],
        [small.value("on", [], onnx.TensorProto.BOOL), small.value("t", None)],
    )  # fmt: skip
    nodes = [small.node("Loop", ["turns", "yes", "x"], ["y"], name="loop", body=body)]
    constants = {"w": small.random(4, 4), "turns": np.array(turns), "yes": np.array(True)}
    return small.graph(nodes, {"x": ["batch", 4]}, {"y": ["batch", 4]}, constants)


def test_order_and_names_of_constants_are_those_of_the_network_not_of_the_run() -> None:
    forms = set()
    for shuffle in (None, 1, 2, 3):
        model = network(shuffle=shuffle)
        graph.put_in_order(model)
        forms.add(model.SerializeToString(deterministic=True))
    assert len(forms) == 1
    assert [node.name for node in model.graph.node] == ["conv", "flatten", "fc"]
    assert [tensor.name for tensor in model.graph.initializer] == ["conv/input_1", "fc/input_1"]
    onnx.checker.check_model(model)


def test_what_the_body_of_a_loop_reads_is_needed_and_keeps_its_name() -> None:
    model = looped()
    graph.put_in_order(model)
    onnx.checker.check_model(model)
    x = small.random(2, 4)
    assert np.array_equal(small.run(model, x=x)["y"], small.run(looped(), x=x)["y"])


def test_what_tells_of_the_machine_is_dropped() -> None:
    model = network()
    for message in (model, model.graph, model.graph.node[0], model.graph.input[0], model.graph.initializer[0]):
        message.metadata_props.add(key="file", value="/home/somebody/model.py")
        message.doc_string = "/home/somebody"
    graph.sanitise(model)
    assert b"somebody" not in model.SerializeToString()


@pytest.mark.parametrize(
    ("written", "wanted"), [("B G H, B G J -> B a J", "b c d, b c e -> b a e"), ("bij,bjk->bik", "bij,bjk->bik")]
)
def test_equations_are_in_small_letters(written: str, wanted: str) -> None:
    """torchvision's MaxViT writes great ones, which TensorRT does not read."""
    nodes = [small.node("Einsum", ["x", "w"], ["y"], equation=written)]
    model = small.graph(nodes, {"x": [2, 3, 4]}, {"y": [2, None, None]}, {"w": small.random(2, 3, 5)})
    graph.sanitise(model)
    assert model.graph.node[0].attribute[0].s.decode() == wanted


@pytest.mark.parametrize(
    ("opset", "stamped", "kept"),
    [(17, 14, 8), (18, 10, 8), (18, 7, 7), (19, 14, 9), (20, 10, 9), (21, 14, 10), (0, 14, 8)],
)
def test_the_graph_is_in_the_oldest_format_that_its_opset_has(opset: int, stamped: int, kept: int) -> None:
    """onnxruntime 1.16, the wheel of JetPack 5, reads IR 9 at most; torch stamps 10."""
    model = network()
    model.opset_import[0].version, model.ir_version = opset, stamped
    if not opset:
        model.opset_import[0].domain = "of.somebody"
    graph.sanitise(model)
    assert model.ir_version == kept


def test_inputs_and_outputs_are_renamed_where_they_are_read() -> None:
    model = network()
    graph.rename(model, {"images": "pixels", "logits": "scores"})
    onnx.checker.check_model(model)
    assert [spec.name for spec in graph.specs([*model.graph.input, *model.graph.output])] == ["pixels", "scores"]


def test_a_constant_is_renamed_in_the_body_of_a_loop_too() -> None:
    model = looped()
    graph.rename(model, {"w": "weights"})
    onnx.checker.check_model(model)
    assert "weights" in model.graph.node[0].attribute[0].g.node[1].input


def test_a_name_that_another_tensor_has_is_refused() -> None:
    with pytest.raises(ExportError, match="'images' cannot be called 'a'"):
        graph.rename(network(), {"images": "a"})


@pytest.mark.parametrize("batch", [4, "dynamic"])
def test_the_batch_is_set_at_both_ends(batch: int | str) -> None:
    model = network(2)
    graph.set_batch(model, batch)
    firsts = {spec.shape[0] for spec in graph.specs([*model.graph.input, *model.graph.output])}
    assert firsts == {4 if batch == 4 else "batch"}


def test_an_output_without_a_dimension_is_named() -> None:
    model = network()
    model.graph.output.append(small.value("mean", []))
    with pytest.raises(ExportError, match="'mean' has no dimension, so its first is not the batch; leave it out"):
        graph.set_batch(model, "dynamic")
