"""What a file of Keras 2 would run while it is loaded."""

from __future__ import annotations

from typing import Any

import pytest

from export.tf.keras_2 import code_in


def holding(layer: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the layer inside another."""
    wrapper = {"class_name": "TimeDistributed", "config": {"layer": layer}}
    return {"class_name": "Functional", "config": {"name": "net", "layers": [wrapper]}}


def calling(function: Any, kind: str = "TFOpLambda") -> dict[str, Any]:
    return holding({"class_name": kind, "config": {"name": "call", "function": function}})


@pytest.mark.parametrize(
    "function",
    [
        "math.add",
        "nn.relu",
        "compat.v1.nn.relu",
        "image.resize",
        "__operators__.getitem",
        "reshape",
        "compat.v1.concat",
    ],
)
def test_arithmetic_is_called(function: str) -> None:
    assert code_in(calling(function)) is None
    assert code_in(calling(function, "SlicingOpLambda")) is None


@pytest.mark.parametrize(
    "function",
    [
        "keras.models.model_from_json", "io.write_file", "compat.v1.io.write_file", "py_function", "numpy_function",
        "nn.fixed_unigram_candidate_sampler", "nn.rnn_cell.DropoutWrapper", "raw_ops.PyFunc", "load_library", "math.",
        "reshape\n", None, ["math.add"],
    ],
)  # fmt: skip
def test_every_other_function_is_named(function: Any) -> None:
    assert code_in(calling(function)) == f"calls {str(function)!r}"
    assert code_in(calling(function, "SlicingOpLambda")) == f"calls {str(function)!r}"


@pytest.mark.parametrize(
    "kind",
    ["Lambda", "TensorFlowOpLayer", "ClassMethod", "InstanceMethod", "InstanceProperty", "ResidualWrapper"],
)
def test_layers_that_hold_code_are_named(kind: str) -> None:
    assert code_in(holding({"class_name": kind, "config": {}})) == f"needs code in a layer of the type {kind}"


def test_a_class_or_function_of_another_module_is_named() -> None:
    plain = {"module": "builtins", "class_name": "function", "config": "relu", "registered_name": "relu"}
    assert code_in(holding({"module": "keras.layers", "class_name": "Dense", "config": {"activation": plain}})) is None
    fetching = {"module": "keras.utils", "class_name": "function", "config": "get_file"}
    assert code_in(holding(fetching)) == "calls 'keras.utils.get_file'"
    assert (
        code_in(holding({"module": "tensorflow.io", "class_name": "gfile", "config": {}}))
        == "needs 'tensorflow.io.gfile'"
    )
