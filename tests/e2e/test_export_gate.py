"""The parity gate at work: real exported graphs, each broken in one way, against the framework's own outputs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from device_agents.contract import Precision
from export.data import golden
from export.judging import parity
from profiles.errors import ParityError

FRAMEWORKS = ("pytorch", "tensorflow")


def prepend(graph: Any, op: str, inputs: list[str], **attributes: Any) -> None:
    """A node between the graph's input and everything that reads it."""
    (image,) = graph.input
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == image.name:
                node.input[index] = "tampered"
    graph.node.insert(0, onnx.helper.make_node(op, [image.name, *inputs], ["tampered"], **attributes))


def swap_channels(graph: Any) -> None:
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 1, 0], np.int64), "bgr"))
    prepend(graph, "Gather", ["bgr"], axis=1)


def swap_height_and_width(graph: Any) -> None:
    prepend(graph, "Transpose", [], perm=[0, 1, 3, 2])


def zero_one_convolution(graph: Any) -> None:
    """The last convolution: the one whose branch the recipe for random weights makes smallest."""
    name = [node for node in graph.node if node.op_type == "Conv"][-1].input[1]
    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(onnx.numpy_helper.to_array(tensor)), name))


def zero_first_convolution_of_a_block(graph: Any) -> None:
    name = [node for node in graph.node if node.op_type == "Conv"][1].input[1]
    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(onnx.numpy_helper.to_array(tensor)), name))


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
@pytest.mark.parametrize(
    "tamper", [swap_channels, swap_height_and_width, zero_one_convolution, zero_first_convolution_of_a_block]
)
def test_a_broken_graph_does_not_pass(artifact_store, tamper: Callable[[Any], None], precision: Precision) -> None:
    artifact = artifact_store.get("resnet18", precision=precision)
    inputs, reference = golden.load(artifact.path / "golden.npz")
    proto = onnx.load_model(artifact.path / artifact.model_file)
    judge(proto, precision, inputs, reference)  # as exported, it passes
    tamper(proto.graph)
    with pytest.raises(ParityError, match="'logits' is off by"):
        judge(proto, precision, inputs, reference)


def judge(proto: Any, precision: Precision, inputs: golden.Arrays, reference: golden.Arrays) -> None:
    outputs = parity.run(proto.SerializeToString(), inputs, precision)
    parity.judge(parity.compare(reference, outputs, "classification"), precision)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("tamper", [swap_channels, swap_height_and_width, zero_one_convolution])
def test_a_broken_graph_is_far_outside_the_limit(artifact_store, tamper: Callable[[Any], None], framework: str) -> None:
    """Ten times the limit of FP16: the gate has power with random weights too."""
    artifact = artifact_store.get("resnet18", framework)
    inputs, reference = golden.load(artifact.path / "golden.npz")
    proto = onnx.load_model(artifact.path / artifact.model_file)
    tamper(proto.graph)
    broken = parity.run(proto.SerializeToString(), inputs, Precision.FP32)
    assert parity.relative_error(reference["logits"], broken["logits"]) > 0.2
