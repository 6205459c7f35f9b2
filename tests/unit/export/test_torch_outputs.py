"""Names of what a PyTorch network returns: each tensor keeps its own, and none is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import TensorSpec
from export import nest
from export.draft import MODEL_FILE
from export.graph import load, specs
from export.judging import parity
from export.pt import exporters
from export.pt.outputs import adapter, flatten
from profiles.errors import ExportError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

ROW = TensorSpec("x", "float32", ("batch", 4))


@pytest.mark.parametrize(
    ("returned", "name"),
    [({"a": {"b": 1.0}, "a.b": 2.0}, "a.b"), ({1: 1.0, "1": 2.0}, "1"), ({"": 1.0, "output": 2.0}, "output")],
)
def test_two_tensors_of_one_name_are_refused(returned: Any, name: str) -> None:
    with pytest.raises(ExportError, match=f"the model returns two tensors called '{name}'; give each a name"):
        nest.flatten(returned, lambda part: isinstance(part, float))


def test_an_output_called_as_an_input_gets_a_name_that_is_free() -> None:
    one, two = torch.zeros(1), torch.ones(1)
    assert list(flatten({"x": one, "y": two}, ["x", "x_out"])) == ["x_out_out", "y"]
    with pytest.raises(ExportError, match="the model returns two tensors called 'x_out'"):
        flatten({"x": one, "x_out": two}, ["x"])


def twice(x: Any) -> Any:
    y = x * 2
    return {"a": y, "b": y}


def passed_on(x: Any) -> Any:
    return {"same": x, "more": x + 1}


def in_a_tuple(x: Any) -> Any:
    return x * 2, [x + 1, x - 1], {"tensor_0": x * 3}


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize(
    ("network", "names"),
    [(twice, ["a", "b"]), (passed_on, ["same", "more"]), (in_a_tuple, ["0", "1.0", "1.1", "2.tensor_0"])],
)
def test_every_output_has_its_name_in_the_graph(
    tmp_path: Path, network: Callable[..., Any], names: list[str], opset: int
) -> None:
    values = np.arange(8, dtype=np.float32).reshape(2, 4)
    module = adapter(torch.nn.Identity(), lambda identity, x: flatten(network(identity(x)), ["x"]))
    expected = dict(zip(names, module(torch.from_numpy(values)), strict=True))
    shapes = dict.fromkeys(names, ROW.shape)
    exporters.write(exporters.Task(module, (ROW,), shapes, {"batch": 2}, opset, "mine"), tmp_path)
    graph = load(tmp_path / MODEL_FILE).graph
    assert [(spec.name, spec.shape) for spec in (*specs(graph.input), *specs(graph.output))] == [
        (name, ("batch", 4)) for name in ("x", *names)
    ]
    found = parity.run(tmp_path / MODEL_FILE, {"x": values}, parity.Precision.FP32)
    assert {name: array.tolist() for name, array in found.items()} == {
        name: tensor.tolist() for name, tensor in expected.items()
    }
