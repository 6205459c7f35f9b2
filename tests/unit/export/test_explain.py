"""Where a graph begins to depart from its reference."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export import graph
from export.judging import explain
from export.judging.explain import against_framework, first_departure
from profiles.errors import ExportError
from tests.unit.export import small_graphs as small

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

node = small.node
X = {"x": small.random(8, 6, seed=7)}
LIMIT = 1e-3


def network(**changes: Any) -> Any:
    """x (N, 6) -> fc1 -> relu -> fc2 -> sum with relu -> fc3 -> y. `changes` replace weights."""
    nodes = [
        node("MatMul", ["x", "w1"], ["a"], name="fc1"),
        node("Relu", ["a"], ["b"], name="relu"),
        node("MatMul", ["b", "w2"], ["c"], name="fc2"),
        node("Add", ["b", "c"], ["d"], name="sum"),
        node("MatMul", ["d", "w3"], ["y"], name="fc3"),
    ]
    constants = {f"w{number}": small.random(6, 6, seed=number) for number in (1, 2, 3)} | changes
    return small.graph(nodes, {"x": ["batch", 6]}, {"y": ["batch", 6]}, constants)


def saved(model: Any, folder: Path) -> Path:
    folder.mkdir()
    return graph.save(model, folder)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return saved(network(), tmp_path / "reference")


def test_a_graph_that_agrees_has_no_departure(reference: Path, tmp_path: Path) -> None:
    slightly = small.random(6, 6, seed=2) * np.float32(1 + 1e-5)
    assert first_departure(reference, saved(network(w2=slightly), tmp_path / "other"), X, LIMIT) is None


@pytest.mark.parametrize(("weight", "culprit", "made"), [("w1", "fc1", "a"), ("w2", "fc2", "c"), ("w3", "fc3", "y")])
def test_the_node_whose_inputs_still_agree_is_named(
    reference: Path, tmp_path: Path, weight: str, culprit: str, made: str
) -> None:
    other = saved(network(**{weight: small.random(6, 6, seed=9)}), tmp_path / "other")
    found = first_departure(reference, other, X, LIMIT)
    assert found is not None
    assert (found.node, found.op, found.tensor) == (culprit, "MatMul", made)
    assert found.error > 0.1
    assert all(error == 0.0 for error in found.inputs.values())
    assert (found.compared, found.tensors) == (5, 5)
    assert f"MatMul node '{culprit}' is the first to depart: '{made}' is off by" in str(found)


def test_a_departure_that_reaches_no_output_is_no_cause(tmp_path: Path) -> None:
    """`c` is off, and multiplied by nothing; what is wrong at the output is fc3."""
    nothing = np.zeros((6, 6), np.float32)

    def made(second: int, third: int) -> Any:
        model = network(w2=small.random(6, 6, seed=second), w3=small.random(6, 6, seed=third))
        model.graph.node.insert(3, node("MatMul", ["c", "zero"], ["e"], name="forget"))
        model.graph.node[4].input[1] = "e"
        model.graph.initializer.append(small.onnx.numpy_helper.from_array(nothing, "zero"))
        return model

    theirs, ours = saved(made(2, 3), tmp_path / "one"), saved(made(8, 9), tmp_path / "two")
    found = first_departure(theirs, ours, X, LIMIT)
    assert found is not None
    assert found.node == "fc3"


def half(model: Any) -> Any:
    """The network as a converter makes it: FP16 within, a Cast at either end."""
    for tensor in model.graph.initializer:
        values = small.onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(small.onnx.numpy_helper.from_array(values, tensor.name))
    model.graph.node[0].input[0] = "x_half"
    model.graph.node[-1].output[0] = "y_half"
    model.graph.node.insert(0, node("Cast", ["x"], ["x_half"], name="in", to=small.FLOAT16))
    model.graph.node.append(node("Cast", ["y_half"], ["y"], name="out", to=small.FLOAT))
    return model


def test_overflow_in_fp16_is_found_at_the_node_that_overflows(tmp_path: Path) -> None:
    large = np.clip(small.random(6, 6, seed=2) * np.float32(60_000), -60_000, 60_000)
    reference = saved(network(w2=large), tmp_path / "one")
    found = first_departure(reference, saved(half(network(w2=large)), tmp_path / "two"), X, 2e-2)
    assert found is not None
    assert (found.node, found.error) == ("fc2", float("inf"))
    assert max(found.inputs.values()) < 2e-2


def renamed(model: Any, shift: Callable[[str], str]) -> Any:
    """Every inner tensor under another name, as another export of torch's gives them."""
    inner = [name for made in model.graph.node for name in made.output if name != "y"]
    graph.rename(model, {name: shift(name) for name in inner})
    return model


@pytest.mark.parametrize("shift", [lambda name: f"val_{ord(name)}", lambda name: {"a": "c", "c": "a"}.get(name, name)])
def test_graphs_whose_names_say_nothing_are_aligned_by_their_operators(
    reference: Path, tmp_path: Path, shift: Callable[[str], str]
) -> None:
    other = saved(renamed(network(w2=small.random(6, 6, seed=9)), shift), tmp_path / "other")
    found = first_departure(reference, other, X, LIMIT)
    assert found is not None
    assert found.node == "fc2"


def test_few_tensors_are_held_at_a_time(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "_AT_ONCE_BYTES", 2 * 6 * 4)
    other = saved(network(w2=small.random(6, 6, seed=9)), tmp_path / "other")
    found = first_departure(reference, other, X, LIMIT)
    assert found is not None
    assert (found.node, found.compared) == ("fc2", 5)
    chunks = list(explain._chunks(network(), ["a", "b", "c", "d", "y"], {"x": X["x"][:2]}))
    assert len(chunks) >= 4


def test_graphs_with_weights_beside_them_are_explained_too(
    reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of more than 2 GB have them, whose copies in memory protobuf does not make."""
    save = graph.save
    monkeypatch.setattr(graph, "save", lambda model, folder: save(model, folder, limit=100))
    monkeypatch.setattr("export.graph.files.SMALL", 10)
    other = saved(network(w2=small.random(6, 6, seed=9)), tmp_path / "other")
    assert (tmp_path / "other" / "model.onnx.data").stat().st_size == 3 * 36 * 4
    found = first_departure(reference, other, X, LIMIT)
    assert found is not None
    assert found.node == "fc2"


def test_graphs_of_a_fixed_batch_are_run_as_often_as_needed(tmp_path: Path) -> None:
    paths = []
    for number, seed in enumerate((2, 9)):
        model = network(w2=small.random(6, 6, seed=seed))
        graph.set_batch(model, 1)
        paths.append(saved(model, tmp_path / str(number)))
    found = first_departure(*paths, X, LIMIT)
    assert found is not None
    assert found.node == "fc2"


def test_a_framework_s_own_values_serve_as_the_reference(reference: Path, tmp_path: Path) -> None:
    """By the names of the graph's tensors; it need not know all of them."""
    broken = network(w2=small.random(6, 6, seed=9))
    (tmp_path / "own").mkdir()
    values = explain._Exposed(network(), tmp_path / "own").values(["a", "b", "d", "y"], {"x": X["x"][:2]})
    np.savez(tmp_path / "values.npz", **values, unknown=np.zeros(3))
    assert against_framework(reference, X, tmp_path / "values.npz", LIMIT) is None
    found = against_framework(saved(broken, tmp_path / "other"), X, tmp_path / "values.npz", LIMIT)
    assert found is not None
    assert (found.node, set(found.inputs)) == ("sum", {"b"}), "c is not known, so what is before it counts"


def test_a_framework_s_images_may_be_channels_last(tmp_path: Path) -> None:
    x = {"x": small.random(4, 3, 8, 8)}
    model = small.graph([node("Conv", ["x", "w"], ["y"], name="conv")], {"x": ["batch", 3, 8, 8]},
                        {"y": ["batch", 5, 6, 6]}, {"w": small.random(5, 3, 3, 3)})  # fmt: skip
    made = small.run(model, x=x["x"][:2])["y"]
    np.savez(tmp_path / "values.npz", y=made.transpose(0, 2, 3, 1))
    assert against_framework(saved(model, tmp_path / "g"), x, tmp_path / "values.npz", LIMIT) is None


def test_what_cannot_be_compared_says_so(reference: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "values.npz", unknown=np.zeros(3))
    with pytest.raises(ExportError, match="no name that the graph has"):
        against_framework(reference, X, tmp_path / "values.npz", LIMIT)
    other = small.graph([node("Sigmoid", ["x"], ["z"])], {"x": ["batch", 6]}, {"z": ["batch", 6]})
    with pytest.raises(ExportError, match="no tensor of the graph has a counterpart"):
        first_departure(reference, saved(other, tmp_path / "other"), X, LIMIT)
