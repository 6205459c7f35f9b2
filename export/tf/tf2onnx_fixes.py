"""Repairs of tf2onnx 1.17, made in the child process that exports, before it converts anything."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from export.tf.transposed import SIDE, Sides

_SIDES: ContextVar[Sides] = ContextVar("_SIDES", default={})  # noqa: B039  nothing writes into it
_FAILED = re.compile(r"Failed to convert node '?(?P<node>[^' ]+)'?")


def apply() -> None:
    from tf2onnx import optimizer

    # Whatever its value, tf2onnx then keeps no copy of the graph before each of its passes, and a pass that fails is an
    # error instead of a worse graph.
    os.environ["TF2ONNX_CATCH_ERRORS"] = "FALSE"
    # It left 129 Transposes in MobileNetV3 and 17 in EfficientNetV2B0, and took most of the time of large networks:
    # export.rewrite.layout does its work.
    optimizer._optimizers.pop("optimize_transpose", None)  # noqa: SLF001
    _pad_transposed_convolutions()


def _pad_transposed_convolutions() -> None:
    """Those of images of any size as export.tf.transposed tells; and where an output is longer than the kernel reaches,
    tf2onnx writes negative pads, which ONNX calls output_padding."""
    from tf2onnx.onnx_opset.nn import ConvTranspose

    if getattr(ConvTranspose.version_1, "of_any_size", False):
        return
    convert = ConvTranspose.version_1.__func__

    def version_1(cls: Any, ctx: Any, node: Any, /, **kwargs: Any) -> None:
        source = node.input[2]
        shape = ctx.get_shape(source)
        if node.name not in _SIDES.get():
            convert(cls, ctx, node, **kwargs)
        else:
            sizes = ctx.make_const(f"{node.name}_sizes", np.array([1, *_SIDES.get()[node.name], 1], np.int32))
            ctx.replace_input(node, node.input[0], sizes.output[0], 0)
            ctx.set_shape(source, [shape[0], SIDE, SIDE, shape[3]])
            convert(cls, ctx, node, **kwargs)
            ctx.set_shape(source, shape)
        _pad_the_output(node)

    version_1.of_any_size = True  # type: ignore[attr-defined]
    ConvTranspose.version_1 = classmethod(version_1)


def _pad_the_output(node: Any) -> None:
    """In place: pads that are negative in sum."""
    pads = node.get_attr("pads").ints if node.get_attr("pads") else ()
    sums = [first + last for first, last in zip(pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True)]
    if any(one < 0 for one in sums):
        kept = [axis for axis in range(len(pads)) if sums[axis % len(sums)] >= 0]
        node.set_attr("pads", [pads[axis] if axis in kept else 0 for axis in range(len(pads))])
        node.set_attr("output_padding", [max(-one, 0) for one in sums])


@contextmanager
def transposed(sides: Sides) -> Iterator[None]:
    """What tf2onnx converts within has transposed convolutions with these outputs."""
    token = _SIDES.set(sides)
    try:
        yield
    finally:
        _SIDES.reset(token)


class Complaints(logging.Handler):
    """What tf2onnx reports and then goes on: operations that it failed on."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.failed: dict[str, str] = {}

    def __enter__(self) -> Complaints:
        logging.getLogger("tf2onnx").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("tf2onnx").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        failed = _FAILED.search(record.getMessage())
        if failed:
            error = record.exc_info[1] if record.exc_info else None
            self.failed[failed["node"]] = f"{type(error).__name__}: {error}" if error else "no reason given"
