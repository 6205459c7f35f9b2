"""Normalisation in the graph: it takes images as cameras give them, uint8 (N, H, W, C) in RGB, whole pixels.

    uint8 -> Cast to FP32 -> Transpose to (N, C, H, W) -> [Gather: RGB to BGR] -> Mul -> Add -> [Cast to FP16] -> model

The Cast comes first as TensorRT takes uint8 at its inputs alone. It is FP32 up to the model whatever that is in: 255
times a rounded factor would lose a bit more than the model's own rounding, and runtimes fuse all of it into one kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph import rename
from profiles.errors import ExportError
from profiles.schema import ImageInput

_STEP = "/preprocess/"
"""In the names of all nodes and constants made here."""
_NAME = re.compile(rf"{_STEP}[a-z]+_\d+$")
"""Of a node made here; one that another pass put behind it has more after that."""


def in_graph(model: Any, images: Sequence[ImageInput]) -> Any:
    """The same ModelProto, changed in place: its image inputs keep their names and take uint8 pixels; videos are
    (N, T, H, W, C). Errors: ExportError when an input is not what the ImageInput says."""
    if not images:
        raise ExportError("nothing says how the model wants its images", fix="give --mean and --std")
    inputs = {value.name: value for value in model.graph.input}
    front = []
    for image in images:
        value = inputs.get(image.name)
        if value is None:
            raise ExportError(f"the graph has no image input {image.name!r}; it has {sorted(inputs)}")
        front += _front(model, value, image)
    behind = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*front, *behind])
    return model


def tensors(model: Any) -> frozenset[str]:
    """What the nodes that `in_graph` made give; of a graph without them nothing."""
    return frozenset(name for node in model.graph.node if _NAME.search(node.name) for name in node.output)


def to_pixels(array: NDArray[Any], image: ImageInput) -> NDArray[np.uint8]:
    """The uint8 (N, H, W, C) RGB pixels that normalise to these (N, C, H, W) values, or to the nearest; of a video
    (N, T, H, W, C)."""
    along = (-1, *(1,) * (len(image.shape) - 1))
    mean, std = (np.reshape(values, along) for values in (image.mean, image.std))
    shades = np.rint((array.astype(np.float64) * std + mean) * 255)
    colours = shades[:, ::-1] if image.order == "BGR" else shades
    return np.ascontiguousarray(np.moveaxis(np.clip(colours, 0, 255), 1, -1).astype(np.uint8))


def _front(model: Any, value: Any, image: ImageInput) -> list[Any]:
    """The nodes before one input, which becomes uint8 in place."""
    import onnx

    tensor = value.type.tensor_type
    types = onnx.TensorProto
    rank = len(image.shape) + 1
    if tensor.elem_type not in (types.FLOAT, types.FLOAT16) or len(tensor.shape.dim) != rank:
        found = f"{onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)} of {len(tensor.shape.dim)} dimensions"
        raise ExportError(f"input {value.name!r}: expected float32 or float16 of {rank} dimensions, found {found}")
    inner = f"{value.name}{_STEP}normalised"
    rename(model, {value.name: inner})
    value.name = image.name
    nodes = list(_nodes(model, image, inner, tensor.elem_type, rank))
    _to_pixels_last(value)
    return nodes


def _nodes(model: Any, image: ImageInput, target: str, wanted: int, rank: int) -> Iterator[Any]:
    import onnx

    at = f"{image.name}{_STEP}"
    steps: list[tuple[str, NDArray[Any] | None, dict[str, Any]]] = [
        ("Cast", None, {"to": onnx.TensorProto.FLOAT}),
        ("Transpose", None, {"perm": [0, rank - 1, *range(1, rank - 1)]}),
    ]
    if image.order == "BGR":
        steps.append(("Gather", np.arange(image.shape[0])[::-1].astype(np.int64), {"axis": 1}))
    along = (1, -1, *(1,) * (rank - 2))
    mean, std = (np.reshape(np.asarray(values, np.float64), along) for values in (image.mean, image.std))
    scale, shift = (1.0 / (255.0 * std)).astype(np.float32), (-mean / std).astype(np.float32)
    if (scale != 1.0).any():
        steps.append(("Mul", scale, {}))
    if shift.any():
        steps.append(("Add", shift, {}))
    if wanted != onnx.TensorProto.FLOAT:
        steps.append(("Cast", None, {"to": wanted}))
    source = image.name
    for number, (kind, constant, attributes) in enumerate(steps):
        name = f"{at}{kind.lower()}_{number}"
        made = target if number == len(steps) - 1 else f"{name}/output"
        reads = [source]
        if constant is not None:
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(constant), f"{name}/by"))
            reads.append(f"{name}/by")
        yield onnx.helper.make_node(kind, reads, [made], name=name, **attributes)
        source = made


def _to_pixels_last(value: Any) -> None:
    import onnx

    tensor = value.type.tensor_type
    tensor.elem_type = onnx.TensorProto.UINT8
    dims = [onnx.TensorShapeProto.Dimension.FromString(dim.SerializeToString()) for dim in tensor.shape.dim]
    del tensor.shape.dim[:]
    tensor.shape.dim.extend([dims[0], *dims[2:], dims[1]])
