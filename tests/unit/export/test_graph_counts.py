"""What a graph costs. The published figures of whole networks are checked where those are exported (tests/e2e)."""

from pathlib import Path

import numpy as np
import pytest

from export import graph
from tests.unit.export import small_graphs as small
from tests.unit.export.test_graph_form import looped, network

onnx, node = small.onnx, small.node


def facts(model: object, folder: Path, golden=None, **sizes: int):
    return graph.facts(graph.save(model, folder), golden, sizes)


@pytest.mark.parametrize("batch", ["batch", 1, 4])
def test_all_is_that_of_one_sample_whatever_the_batch(tmp_path: Path, batch: int | str) -> None:
    found = facts(network(batch), tmp_path)
    assert found.macs == 6 * 4 * 4 * 9 + 96 * 10
    assert found.parameters == 6 * 9 + 96 * 10
    assert (found.nodes, found.transposes, found.opset) == (4, 0, 18)
    assert (found.input_bytes, found.output_bytes) == (3 * 8 * 8 * 4, 10 * 4)
    assert found.weight_bytes == found.parameters * 4
    assert found.least_bytes(2) == found.weight_bytes + 2 * (768 + 40)
    assert found.activation_bytes == (3 * 96 + 10) * 4  # what a node makes counts, whether anybody reads it or not
    assert found.most_bytes(2) == found.weight_bytes + 2 * (768 + 1192)
    assert found.unknown == {}


@pytest.mark.parametrize(
    ("made", "shapes", "macs"),
    [
        (node("Conv", ["x", "w"], ["y"], group=2), [(1, 4, 5, 5), (6, 2, 3, 3)], 6 * 3 * 3 * 2 * 9),
        (node("Conv", ["x", "w"], ["y"]), [(1, 4, 5, 5, 5), (6, 4, 3, 3, 3)], 6 * 27 * 4 * 27),
        (node("ConvTranspose", ["x", "w"], ["y"]), [(1, 4, 5, 5), (4, 6, 3, 3)], 4 * 25 * 6 * 9),
        (node("Gemm", ["x", "w"], ["y"], transB=1), [(1, 7), (5, 7)], 35),
        (node("Gemm", ["x", "w"], ["y"], transA=1), [(1, 7), (1, 5)], 35),
        (node("MatMul", ["x", "w"], ["y"]), [(1, 2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5),
        (node("Einsum", ["x", "w"], ["y"], equation="bij, jk -> bik"), [(1, 3, 4), (4, 5)], 60),
        (node("LSTM", ["x", "w", "r"], ["y"], hidden_size=3), [(5, 1, 2), (1, 12, 2), (1, 12, 3)], 5 * (24 + 36)),
    ],
    ids=lambda value: value.op_type if hasattr(value, "op_type") else None,
)
def test_operations(tmp_path: Path, made: object, shapes: list[tuple[int, ...]], macs: int) -> None:
    constants = {name: small.random(*shape) for name, shape in zip(made.input[1:], shapes[1:], strict=True)}
    model = small.graph([made], {"x": shapes[0]}, {"y": None}, constants)
    batch = shapes[0][0]
    assert facts(model, tmp_path).macs == macs // batch


def test_free_sides_are_counted_at_the_size_that_is_asked_for(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])]
    model = small.graph(nodes, {"x": ["batch", 3, "height", "width"]}, {"y": ["batch", 4, "height", "width"]},
                        {"w": small.random(4, 3, 3, 3)})  # fmt: skip
    found = facts(model, tmp_path, height=10, width=20)
    assert found.macs == 4 * 200 * 27
    assert (found.input_bytes, found.output_bytes) == (3 * 200 * 4, 4 * 200 * 4)


def test_loops_are_counted_as_often_as_they_turn(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="a loop is counted on a run")
    found = facts(looped(turns=3), tmp_path, {"x": small.random(8, 4)})
    assert found.macs == 3 * 16
    assert (found.nodes, found.parameters) == (3, 16)


def selected():
    """As many rows of x as are positive, times w: how many, only a run can tell."""
    nodes = [
        node("Greater", ["x", "zero"], ["p"]),
        node("Compress", ["x", "p"], ["s"], axis=0),
        node("Unsqueeze", ["s", "one"], ["r"]),
        node("MatMul", ["r", "w"], ["y"]),
    ]
    constants = {"zero": np.float32(0), "one": np.int64([1]), "w": small.random(1, 5)}
    return small.graph(nodes, {"x": [6]}, {"y": ["found", 5]}, constants)


def test_shapes_that_depend_on_the_data_are_those_of_the_golden_inputs(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="they are measured on a run")
    found = facts(selected(), tmp_path, {"x": np.float32([1, -1, 2, -2, 3, 4])})
    assert found.macs == 4 * 5 // 6  # of six samples
    assert found.output_bytes == 4 * 5 * 4 // 6


def test_what_cannot_be_counted_is_unknown_with_its_reason_and_fails_nothing(tmp_path: Path) -> None:
    found = facts(selected(), tmp_path)
    assert (found.macs, found.output_bytes, found.least_bytes()) == (None, None, None)
    assert found.unknown["macs"] == "its shapes depend on its inputs, and there is none to try"
    assert found.input_bytes == 4
    equation = node("Einsum", ["x", "x", "x"], ["y"], equation="i,i,i->i")
    assert "is not counted" in facts(small.graph([equation], {"x": [6]}, {"y": [6]}), tmp_path).unknown["macs"]


def test_quantised_weights_are_parameters_and_scales_are_not(tmp_path: Path) -> None:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        node("DequantizeLinear", ["wq", "ws", "wz"], ["wd"], axis=0),
        node("Conv", ["xd", "wd", "b"], ["y"]),
    ]
    constants = {
        "s": np.float32(0.1),
        "z": np.int8(0),
        "b": small.random(4),
        "wq": np.ones((4, 6, 3, 3), np.int8),
        "ws": np.ones(4, np.float32),
        "wz": np.zeros(4, np.int8),
    }
    found = facts(small.graph(nodes, {"x": ["batch", 6, 8, 8]}, {"y": ["batch", 4, 6, 6]}, constants), tmp_path)
    assert found.macs == 4 * 36 * 6 * 9
    assert found.parameters == 4 * 6 * 9 + 4
    assert found.weight_bytes == 216 + 16 + 16 + 4 + 4 + 1


def test_weights_beside_the_graph_are_counted(tmp_path: Path) -> None:
    path = graph.save(network(), tmp_path, limit=100)
    (tmp_path / "one").mkdir()
    assert graph.facts(path) == facts(network(), tmp_path / "one")
