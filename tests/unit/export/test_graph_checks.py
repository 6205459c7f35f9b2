"""What is wrong with a graph, in one sentence that names the node or the weight."""

import numpy as np
import pytest

from export import graph
from profiles.errors import ExportError
from tests.unit.export import small_graphs as small

onnx, node = small.onnx, small.node


def relu(inputs=("x",), outputs=("y",), constants=None, nodes=None):
    nodes = nodes or [node("Relu", ["x"], ["y"], name="relu")]
    shape = (2, 3)
    return small.graph(nodes, dict.fromkeys(inputs, shape), dict.fromkeys(outputs, shape), constants)


def test_a_graph_without_inputs_or_outputs_is_refused() -> None:
    graph.refuse_bad(relu())
    with pytest.raises(ExportError, match="takes no input"):
        graph.refuse_bad(relu(constants={"x": np.zeros((2, 3), np.float32)}))
    with pytest.raises(ExportError, match="gives no output"):
        graph.refuse_bad(relu(outputs=()))


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (node("FusedConv", ["x"], ["y"], name="fc", domain="com.microsoft"), "'fc' is a FusedConv of com.microsoft"),
        (node("NoSuchThing", ["x"], ["y"], name="odd"), "'odd' is a NoSuchThing, which ONNX does not have in opset 18"),
        (node("Gelu", ["x"], ["y"]), "node 'y' is a Gelu, which ONNX does not have in opset 18; .*higher opset"),
    ],
)
def test_operators_that_onnx_does_not_have_are_named(made: object, told: str) -> None:
    with pytest.raises(ExportError, match=told):
        graph.refuse_bad(relu(nodes=[made]))


def test_an_unknown_operator_is_found_in_the_body_of_a_branch() -> None:
    bodies = [
        onnx.helper.make_graph([node(kind, ["x"], [kind])], kind, [], [small.value(kind, [2, 3])])
        for kind in ("Relu", "Secret")
    ]
    made = node("If", ["c"], ["y"], then_branch=bodies[0], else_branch=bodies[1])
    with pytest.raises(ExportError, match="is a Secret"):
        graph.refuse_bad(relu(nodes=[made], constants={"c": np.array(True)}))


def test_operators_that_the_file_defines_itself_are_taken() -> None:
    model = relu(nodes=[node("Ours", ["x"], ["y"], domain="ours")])
    opset = [onnx.helper.make_opsetid("", 18)]
    model.functions.append(onnx.helper.make_function("ours", "Ours", ["a"], ["b"], [node("Relu", ["a"], ["b"])], opset))
    graph.refuse_bad(model)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_weights_that_are_not_finite_are_named(dtype: type) -> None:
    bad = np.ones((3, 3), dtype)
    bad[1, 1] = np.nan
    with pytest.raises(ExportError, match=r"weight 'w' holds 1 values of 9 that are not finite; the checkpoint"):
        graph.refuse_bad(relu(nodes=[node("Add", ["x", "w"], ["y"])], constants={"w": bad}))


def test_infinity_is_refused_in_what_is_multiplied_and_kept_in_masks() -> None:
    infinite = {"w": np.full((3, 3), -np.inf, np.float32)}
    graph.refuse_bad(relu(nodes=[node("Add", ["x", "w"], ["y"])], constants=infinite))
    with pytest.raises(ExportError, match="weight 'w'"):
        graph.refuse_bad(relu(nodes=[node("MatMul", ["x", "w"], ["y"])], constants=infinite))


def test_an_invalid_graph_is_told_in_the_checkers_words() -> None:
    graph.check(relu())
    with pytest.raises(ExportError, match=r"not a valid ONNX graph \(.*nobody"):
        graph.check(relu(nodes=[node("Relu", ["nobody_makes_this"], ["y"])]))


@pytest.mark.parametrize("batch", ["batch", 2])
def test_outputs_without_a_shape_get_theirs(batch: int | str) -> None:
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Flatten", ["a"], ["y"])]
    constants = {"w": small.random(4, 3, 3, 3)}
    model = small.graph(nodes, {"x": [batch, 3, 8, 8]}, {"y": None}, constants)
    graph.infer_output_shapes(model)
    assert graph.specs(model.graph.output)[0].shape == (batch, 4 * 6 * 6)


def test_a_dimension_without_a_name_at_the_batch_is_the_batch() -> None:
    nodes = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]),
             node("Concat", ["n", "rest"], ["shape"], axis=0), node("Reshape", ["x", "shape"], ["y"])]  # fmt: skip
    constants = {"zero": np.int64([0]), "rest": np.int64([2, -1])}
    model = small.graph(nodes, {"x": ["batch", 4]}, {"y": [None, 2, 2]}, constants)
    graph.infer_output_shapes(model)
    assert graph.specs(model.graph.output)[0].shape[0] == "batch"


def test_an_output_whose_shape_cannot_be_told_is_named() -> None:
    model = small.graph([node("Reshape", ["x", "s"], ["y"])], {"x": [4]}, {"y": None}, {})
    model.graph.input.append(small.value("s", ["rank"], onnx.TensorProto.INT64))
    with pytest.raises(ExportError, match="the shape of output 'y' cannot be inferred"):
        graph.infer_output_shapes(model)
