"""What a PyTorch network has on the way to its outputs, by the names that its export gave the tensors. torch is
imported in functions only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from export import graph
from export.data import golden
from export.data.golden import Arrays
from export.judging.explain import SAMPLES
from export.pt.exporters import DYNAMO_FROM, Task, program_of, torch_type
from profiles.errors import ExportError


def write(task: Task, inputs: Arrays, model: Path, out: Path) -> None:
    """Write an .npz of the values that the network computes itself for the first SAMPLES of `inputs`: each under the
    name of its tensor in the graph at `model`. Errors: ExportError for a network that was traced: its names are the
    tracer's own."""
    import torch

    if task.opset < DYNAMO_FROM or task.tracing is not None:
        raise ExportError("a traced graph has other names than the network")
    names = {name for node in graph.load(model).graph.node for name in node.output}
    module = program_of(task).exported_program.module()

    class Recorder(torch.fx.Interpreter):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(module)
            self.kept: dict[str, Any] = {}

        def run_node(self, node: Any) -> Any:
            value = super().run_node(node)
            if node.name in names and isinstance(value, torch.Tensor) and value.is_floating_point():
                self.kept[node.name] = np.atleast_1d(value.detach().float().numpy().copy())
            return value

    def call(part: Arrays) -> dict[str, Any]:
        recorder = Recorder()
        with torch.no_grad():
            recorder.run(*(torch.from_numpy(part[spec.name]).to(torch_type(spec.dtype)) for spec in task.inputs))
        return recorder.kept

    first = task.inputs[0].shape[0]
    step = task.at[first] if isinstance(first, str) else first
    few = {spec.name: inputs[spec.name][:SAMPLES] for spec in task.inputs}
    np.savez(out, **golden.in_batches(call, few, step))  # type: ignore[arg-type]
