"""A network that is ready to be run and exported: a module of tensors, and what goes into it and comes out."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import Dim, TensorSpec
from export.data import golden
from export.declared import refuse_bounds
from export.pt.catalog import Entry
from export.pt.heads import as_module
from export.pt.raw_heads import as_raw_module
from export.pt.rounding import as_type, rounded
from export.request import FREE_BATCH, FREE_HEIGHT, FREE_WIDTH, ExportRequest
from export.user_code import failed
from profiles.errors import ConfigError, ExportError
from profiles.schema import ImageInput

Arrays = dict[str, NDArray[Any]]

_VALUES = 8 * 3 * 224 * 224
"""How many values of inputs go through a network at a time, where its batch is free: memory is bounded so."""

MOST = 2**31
"""Stands for no bound, where a size may be any."""

Batches = tuple[int, int]
"""The least and the largest."""

_MIXED = re.compile(
    r"the same|same d?type|dtypes match|dtype to be equal|match weight dtype|expected (scalar type|dtype)|mixed dtype"
    r"|promoting not supported"
)
"""What torch says of an operator that is given FP32 and FP16. Of one that has no FP16 on a CPU it says other things."""


@dataclass(frozen=True)
class Net:
    """`module` is an adapter (export.pt.outputs), FP32; free dimensions of `inputs` have names. `tracing` says why
    only the older exporter serves; `batches` are those that a free batch may be."""

    module: Any
    inputs: tuple[TensorSpec, ...]
    task: str = "other"
    images: tuple[ImageInput, ...] = ()
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    tracing: str | None = None
    batches: Batches = (1, MOST)

    @property
    def batch(self) -> Dim:
        first = self.inputs[0].shape[0]
        return "dynamic" if isinstance(first, str) else first


def of_torchvision(network: Any, entry: Entry, request: ExportRequest) -> Net:
    """At the size of `entry`'s images. Errors: ConfigError for a size or head that this kind of network cannot have."""
    images = entry.images
    batch: Dim = FREE_BATCH if request.batch == "dynamic" else request.batch
    if entry.task != "detection":
        if request.head != "full":
            raise ConfigError("only detectors have a raw head", where=entry.name, fix="leave --head out")
        specs = tuple(TensorSpec(image.name, "float32", (batch, *shape_of(image, request))) for image in images)
        return Net(as_module(network, entry), specs, entry.task, images, entry.labels)
    if request.size and any(side.min < side.max for side in request.size):
        raise ConfigError("the anchors of a detector are those of one size", where=entry.name, fix="give one --size")
    if request.head == "raw":
        notes = ["NMS is left to the host: boxes are decoded and clipped, class_logits are as the network gives them"]
        module, tracing = as_raw_module(network, entry, images[0]), None
    else:
        notes = []
        module, tracing = as_module(network, entry), "torch.export has no sizes for what NMS leaves"
        if batch == FREE_BATCH:
            refuse_bounds(1, request, entry.name, fix="leave --bounds out, or take --head raw")
            batch = 1
            notes.append("NMS works image by image: the batch is fixed to 1 (another with --batch N)")
        if hasattr(network, "roi_heads") and network.roi_heads.has_mask():
            notes.append("masks are 28 x 28 within each box: pasting them into the image is left to the host")
    specs = (TensorSpec(images[0].name, "float32", (batch, *images[0].shape)),)
    return Net(module, specs, entry.task, images, entry.labels, tuple(notes), tracing=tracing)


def shape_of(image: ImageInput, request: ExportRequest) -> tuple[Dim, ...]:
    """The image's shape at the size that is asked for: sides are free where a range is."""
    if request.size is None:
        return image.shape
    names = (FREE_HEIGHT, FREE_WIDTH)
    sides: list[Dim] = [
        name if side.min < side.max else side.opt for name, side in zip(names, request.size, strict=True)
    ]
    return (*image.shape[:-2], *sides)


def answers(net: Net, inputs: Arrays, *, half: bool = False) -> Arrays:
    """The network's own outputs by name, samples first; with `half` in FP16 as GPUs have it. Errors: ExportError for
    outputs that are not usable."""
    with rounded(net.module) if half else contextlib.nullcontext():
        return golden.in_batches(lambda part: _run(net, part), inputs, at_once(net, inputs))


def at_once(net: Net, inputs: Arrays) -> int:
    """How many samples go through the network at a time."""
    if isinstance(net.batch, int):
        return net.batch
    values = sum(math.prod(array.shape[1:]) for array in inputs.values())
    least, largest = net.batches
    return max(least, min(golden.COUNT, _VALUES // max(1, values), largest))


def refuse_mixed(net: Net, inputs: Arrays, where: str) -> None:
    """`net` is in FP16. Errors: ExportError where it makes tensors in FP32, which its weights cannot be joined with: of
    such a network torch writes a graph that is invalid. It runs in BF16, which processors have faster by far; only a
    network that cannot do that has to show that it can do FP16."""
    import torch

    few = net.batch if isinstance(net.batch, int) else net.batches[0]
    sample = {name: array[:few] for name, array in inputs.items()}
    try:
        with as_type(net.module, torch.bfloat16):
            golden.in_batches(lambda part: _run(net, part, torch.bfloat16), sample, few)
        return
    except (RuntimeError, ValueError):
        pass
    try:
        golden.in_batches(lambda part: _run(net, part, torch.float16), sample, few)
    except (RuntimeError, ValueError) as error:
        if _MIXED.search(str(error)):
            raise failed(error, "the network mixes FP32 into FP16", where, fix="--fp16-method convert") from error


def _run(net: Net, part: golden.Arrays, dtype: Any = None) -> golden.Arrays:
    """`dtype` is that of floating point inputs, None for their own."""
    import torch

    tensors = [_tensor(part[spec.name], spec, dtype) for spec in net.inputs]
    with torch.inference_mode():
        outputs = net.module(*tensors)
    count = len(tensors[0])
    found = {}
    for name, tensor in zip(net.module.names, outputs, strict=True):
        if tensor.dim() == 0 or len(tensor) != count:
            message = f"output {name!r} has the shape {tuple(tensor.shape)} for a batch of {count}"
            raise ExportError(message, fix="return tensors whose first dimension is the batch")
        found[name] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return found


def _tensor(array: NDArray[Any], spec: TensorSpec, dtype: Any) -> Any:
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(array, spec.dtype))
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def refuse_bad_weights(net: Net, where: str) -> None:
    """Errors: ExportError that names a weight with a NaN or an infinite value. A buffer may hold an infinite one: masks
    of attention do."""
    for name, tensor in net.module.network.named_parameters():
        if not tensor.isfinite().all():
            raise ExportError(f"weight {name!r} has values that are not finite", where=where)
    for name, tensor in net.module.network.named_buffers():
        if tensor.isnan().any():
            raise ExportError(f"buffer {name!r} holds NaN", where=where)


def refuse_bad_answers(outputs: Arrays, where: str) -> None:
    """Errors: ExportError that names an output which is not finite in the framework itself."""
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ExportError(f"the network itself gives values that are not finite for {name!r}", where=where)
