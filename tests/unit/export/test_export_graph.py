"""ONNX graphs as data: sanitised, put in order, counted."""

import random

import numpy as np
import pytest

from export import graph

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'edgebench[pytorch]'")

FLOAT = 1


def network(batch: int | str = "batch", shuffle: int | None = None):
    """images (N, 3, 8, 8) -> grouped Conv (6 of 3x3, stride 2) -> Flatten -> Gemm 10. With `shuffle`, the nodes and
    constants come in another order and the constants under other names: the same network all the same."""
    pick = np.random.default_rng(0)
    suffix = "" if shuffle is None else f"_{shuffle}"
    values = {f"w{suffix}": pick.normal(size=(6, 1, 3, 3)), f"v{suffix}": pick.normal(size=(96, 10))}
    constants = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()]
    node = onnx.helper.make_node
    nodes = [
        node("Conv", ["images", f"w{suffix}"], ["a"], name="conv", group=3, strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Flatten", ["a"], ["b"], name="flatten"),
        node("Gemm", ["b", f"v{suffix}"], ["logits"], name="fc"),
        node("Relu", ["a"], ["nobody_reads_this"], name="dead"),
    ]
    if shuffle is not None:
        random.Random(shuffle).shuffle(nodes)
        constants.reverse()
    info = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(
        nodes, "g", [info("images", FLOAT, [batch, 3, 8, 8])], [info("logits", FLOAT, [batch, 10])], constants
    )
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 18)])


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


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_macs_are_those_of_one_sample_whatever_the_batch(batch: int | str) -> None:
    facts = graph.facts(network(batch))
    assert facts.macs == 6 * 4 * 4 * 9 + 96 * 10
    assert facts.parameters == 6 * 9 + 96 * 10
    assert (facts.nodes, facts.transposes, facts.opset) == (4, 0, 18)


def test_what_tells_of_the_machine_is_dropped() -> None:
    model = network()
    for message in (model, model.graph, model.graph.node[0], model.graph.input[0], model.graph.initializer[0]):
        message.metadata_props.add(key="file", value="/home/somebody/model.py")
        message.doc_string = "/home/somebody"
    graph.sanitise(model)
    assert b"somebody" not in model.SerializeToString()


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
