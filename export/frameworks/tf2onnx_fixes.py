"""Two repairs of tf2onnx 1.17, made in the child process that exports, before it converts anything."""

from __future__ import annotations

import os
import weakref
from typing import Any


def apply() -> None:
    # Whatever its value, tf2onnx then keeps no copy of the graph before each of its passes, and a pass that fails is an
    # error instead of a worse graph.
    os.environ["TF2ONNX_CATCH_ERRORS"] = "FALSE"
    _write_constants_once()
    _let_scalars_through_transposes()


def _write_constants_once() -> None:
    """Keep tf2onnx from writing every constant anew after each of its forty passes. Protobuf frees nothing of what a
    message held before: a ViT-B/16 came to 19 GB and two minutes, and takes 7 GB and half a minute now."""
    from tf2onnx.graph import Node

    update = Node.update_proto
    written: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def update_if_new(node: Any, external_tensor_storage: Any = None) -> None:
        value = node.get_attr("value") if node.is_const() else None
        if value is not None and written.get(node) is value and list(node._op.output) == node.output:  # noqa: SLF001
            return
        update(node, external_tensor_storage)
        written[node] = value

    Node.update_proto = update_if_new


def _let_scalars_through_transposes() -> None:
    """The pass that removes transposes takes what is added after a convolution for a bias, and fails on a scalar
    (`max()` of an empty shape), as in MobileNetV3's hard sigmoid: the graph was left with 129 transposes."""
    from tf2onnx.optimizer.transpose_optimizer import TransposeOptimizer

    handle = TransposeOptimizer._add_handler  # noqa: SLF001

    def handle_scalars_too(self: Any, transpose: Any, node: Any) -> Any:
        constants = [source for source in node.inputs if source.is_const()]
        if any(not constant.get_tensor_value(as_list=False).shape for constant in constants):
            return self._handle_node_having_branches(transpose, node)
        return handle(self, transpose, node)

    TransposeOptimizer._add_handler = handle_scalars_too  # noqa: SLF001
