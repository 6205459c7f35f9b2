"""ONNX graphs as data: read and written, cared for, checked, counted."""

from __future__ import annotations

from export.graph.care import Care, tidy
from export.graph.checks import check, infer_output_shapes, refuse_bad
from export.graph.counts import facts
from export.graph.files import IN_ONE_FILE, load, save
from export.graph.form import opset, put_in_order, rename, sanitise, set_batch, skeleton, specs

__all__ = [
    "IN_ONE_FILE",
    "Care",
    "check",
    "facts",
    "infer_output_shapes",
    "load",
    "opset",
    "put_in_order",
    "refuse_bad",
    "rename",
    "sanitise",
    "save",
    "set_batch",
    "skeleton",
    "specs",
    "tidy",
]
