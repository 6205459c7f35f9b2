"""Small networks of PyTorch on their way to a graph, for the tests here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from export.data import golden
from export.draft import MODEL_FILE, Draft
from export.frameworks.pytorch import Exporter
from export.graph import load, specs
from export.judging import parity
from export.models import ModelRef
from export.request import ExportRequest
from profiles.progress import silent


def export(ref: ModelRef, request: ExportRequest, out: Path) -> tuple[Draft, dict[str, tuple[Any, ...]], float]:
    """(the draft, shapes of the graph's inputs and outputs, the worst error of all golden files)."""
    out.mkdir()
    draft = Exporter(ref.name, silent).export(ref, request, out)
    graph = load(out / MODEL_FILE).graph
    shapes = {spec.name: spec.shape for spec in (*specs(graph.input), *specs(graph.output))}
    worst = 0.0
    for file in out.glob("golden*.npz"):
        inputs, reference = golden.load(file)
        found = parity.run(out / MODEL_FILE, inputs, request.precision)
        worst = max(worst, *parity.compare(reference, found).errors.values())
    return draft, shapes, worst
