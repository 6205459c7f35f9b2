"""Repairs of tf2onnx 1.17, made in the child process that exports, before it converts anything."""

from __future__ import annotations

import logging
import os
import re
from typing import Any

import numpy as np

_SIDE = 8  # of an image, in pixels: whatever it is, the padding is the same
_FAILED = re.compile(r"Failed to convert node '?(?P<node>[^' ]+)'?")


def apply() -> None:
    from tf2onnx import optimizer

    # Whatever its value, tf2onnx then keeps no copy of the graph before each of its passes, and a pass that fails is an
    # error instead of a worse graph.
    os.environ["TF2ONNX_CATCH_ERRORS"] = "FALSE"
    # It left 129 Transposes in MobileNetV3 and 17 in EfficientNetV2B0, and took most of the time of large networks:
    # export.rewrite.layout does its work.
    optimizer._optimizers.pop("optimize_transpose", None)  # noqa: SLF001
    _pad_transposed_convolutions_of_any_size()


def _pad_transposed_convolutions_of_any_size() -> None:
    """Of an image whose size is not known, a transposed convolution's padding is computed in the graph, in three dozen
    nodes that onnxruntime rejects. As Keras makes its outputs (the input's sides times the stride), the padding is the
    same for every size: so let tf2onnx work it out for one. (Another size is seen by the parity gate.)"""
    from tf2onnx.onnx_opset.nn import ConvTranspose

    if getattr(ConvTranspose.version_1, "of_any_size", False):
        return
    convert = ConvTranspose.version_1.__func__

    def version_1(cls: Any, ctx: Any, node: Any, /, **kwargs: Any) -> None:
        shape = ctx.get_shape(node.input[2])
        attributes = {name: node.get_attr_value(name) for name in ("strides", "dilations", "padding", "data_format")}
        if len(shape) != 4 or -1 not in shape[1:3] or attributes["data_format"] != b"NHWC":
            convert(cls, ctx, node, **kwargs)
            return
        kernel, strides = ctx.get_shape(node.input[1])[:2], attributes["strides"][1:3]
        reach = [
            (size - 1) * step + 1 for size, step in zip(kernel, (attributes["dilations"] or [1] * 4)[1:3], strict=True)
        ]
        grown = [
            max(size - stride, 0) * (attributes["padding"] == b"VALID")
            for size, stride in zip(reach, strides, strict=True)
        ]
        sides = [_SIDE * stride + more for stride, more in zip(strides, grown, strict=True)]
        sizes = ctx.make_const(f"{node.name}_sizes", np.array([1, *sides, 1], np.int32))
        ctx.replace_input(node, node.input[0], sizes.output[0], 0)
        source = node.input[2]
        ctx.set_shape(source, [shape[0], _SIDE, _SIDE, shape[3]])
        convert(cls, ctx, node, **kwargs)
        ctx.set_shape(source, shape)

    version_1.of_any_size = True  # type: ignore[attr-defined]
    ConvTranspose.version_1 = classmethod(version_1)


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
