"""Transposed convolutions of images of any size. TensorFlow computes their outputs' sides in its graph, and tf2onnx
pads by that in three dozen nodes that onnxruntime rejects. Where an output is by so much longer than the input's sides
times the stride, the padding is the same for every size: so it is worked out for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from profiles.errors import ExportError

SIDE = 8  # of an image, in pixels
_KIND = "Conv2DBackpropInput"
_MORE = 5  # pixels, to see whether every size is as that one

Sides = Mapping[str, tuple[int, int]]
"""(height, width) of the output for an input of SIDE x SIDE, by the node's name."""


def sides(graph: Any, where: str) -> Sides:
    """Of the transposed convolutions in a GraphDef whose images are of any size. Errors: ExportError for one whose
    output has another relation to the size of its input."""
    import tensorflow as tf

    if not any(node.op == _KIND for node in graph.node):
        return {}
    with tf.Graph().as_default() as whole:
        tf.import_graph_def(graph, name="")
        free = [operation for operation in whole.get_operations() if operation.type == _KIND and _is_free(operation)]
        with tf.compat.v1.Session(graph=whole) as session:
            return {operation.name: _grown(session, operation, where) for operation in free}


def _is_free(operation: Any) -> bool:
    source = operation.inputs[2].shape
    return operation.get_attr("data_format") == b"NHWC" and None in source[1:3].as_list()


def _grown(session: Any, operation: Any, where: str) -> tuple[int, int]:
    """Errors: ExportError."""
    strides = operation.get_attr("strides")[1:3]
    found, further = (_at(session, operation, side) for side in (SIDE, SIDE + _MORE))
    if any(far - near != _MORE * stride for near, far, stride in zip(found, further, strides, strict=True)):
        message = "a transposed convolution pads otherwise at other sizes, which no graph for any size can"
        fix = "export it at one size: --size HEIGHTxWIDTH"
        raise ExportError(message, where=f"{where}, {operation.name}", fix=fix)
    return found


def _at(session: Any, operation: Any, side: int) -> tuple[int, int]:
    """For an input of side x side. One that takes its size from another tensor, such as a skip connection, is taken to
    be as Keras makes them, the input's sides times the stride; another size is seen by the parity gate."""
    import numpy as np
    import tensorflow as tf

    asked, kernel, source = operation.inputs
    image = np.zeros((1, side, side, source.shape[3]), source.dtype.as_numpy_dtype)
    try:
        _, height, width, _ = map(int, session.run(asked, {source: image}))
    except tf.errors.InvalidArgumentError:  # the other tensor was not given
        stretch = zip(
            kernel.shape[:2], *(operation.get_attr(name)[1:3] for name in ("strides", "dilations")), strict=True
        )
        valid = operation.get_attr("padding") == b"VALID"
        height, width = (
            side * stride + max((size - 1) * step + 1 - stride, 0) * valid for size, stride, step in stretch
        )
    return height, width
