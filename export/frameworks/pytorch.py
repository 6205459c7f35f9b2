"""PyTorch's models to ONNX: torchvision's by name, and users' own. torch is imported in functions only."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.contract import Dim, Precision
from export.artifact import GOLDEN
from export.cache import versions
from export.child import THREADS
from export.data import golden
from export.declared import samples
from export.draft import Draft
from export.models import ModelRef
from export.native import Written
from export.pt import catalog, exporters, native, user, values, weights
from export.pt.net import (
    Arrays,
    Net,
    of_torchvision,
    refuse_bad_answers,
    refuse_bad_weights,
    refuse_mixed,
)
from export.pt.net import (
    answers as run,
)
from export.request import FREE_BATCH, FREE_HEIGHT, FREE_WIDTH, ExportRequest
from export.user_code import failed
from profiles.errors import ExportError
from profiles.progress import Progress

OPSETS = exporters.OPSETS


@dataclass(frozen=True)
class Exporter:
    """Makes the graph of a model. `name` is what the artifact calls it."""

    name: str
    progress: Progress

    def export(self, ref: ModelRef, request: ExportRequest, out: Path) -> Draft:
        """Write model.onnx into `out`, and for FP32 golden.npz; FP16 is the network itself after .half(), judged by the
        golden data of FP32. Errors: ExportError, ConfigError; what else torch raises, export.worker translates."""
        prepare()
        self.progress(f"load {self.name} with torch")
        net = load(ref, request)
        refuse_bad_weights(net, self.name)
        half = request.precision is Precision.FP16
        self.progress(f"run {self.name} with torch")
        shapes = _shapes(net, request, self.name) if half else self._reference(net, request, out)
        if half:
            net = _halved(net)
            refuse_mixed(net, _few(net, request), self.name)
        self.progress(f"export {self.name} with torch")
        gc.collect()
        written = exporters.write(_task(net, shapes, request, self.name), out)
        return Draft(
            task=net.task,
            batch=net.batch,
            produced_by={**versions("pytorch"), "exporter": written.exporter},
            precision=Precision.FP16 if half else Precision.FP32,
            images=net.images,
            ranges={spec.name: (spec.low, spec.high) for spec in net.inputs},
            labels=net.labels,
            notes=(*net.notes, *written.notes),
            sources=net.sources,
        )

    def _reference(self, net: Net, request: ExportRequest, out: Path) -> Mapping[str, tuple[Dim, ...]]:
        shapes = {}
        for file, inputs in samples(net.inputs, net.images, request).items():
            outputs = _answered(net, inputs, self.name)
            refuse_bad_answers(outputs, self.name)
            golden.save(out / file, inputs, outputs)
            if file == GOLDEN:
                shapes = _free(outputs, net, request)
        return shapes


def answers(ref: ModelRef, request: ExportRequest, inputs: Arrays, progress: Progress) -> Arrays:
    """The framework's own outputs for `inputs`, samples first, at the request's precision."""
    prepare()
    progress(f"run {ref.name} with torch in {request.precision}")
    return run(load(ref, request), inputs, half=request.precision is Precision.FP16)


def write_values(
    ref: ModelRef, request: ExportRequest, inputs: Arrays, model: Path, out: Path, progress: Progress
) -> None:
    """What the network has on the way to its outputs, by the names of tensors in the graph at `model`. Errors:
    ExportError for a network that was traced."""
    prepare()
    progress(f"run {ref.name} with torch, step by step")
    net = load(ref, request)
    values.write(_task(net, _shapes(net, request, ref.name), request, ref.name), inputs, model, out)


def write_native(
    ref: ModelRef, request: ExportRequest, inputs: Arrays, out: Path, progress: Progress
) -> tuple[Written, Arrays]:
    """The network's weights as safetensors in `out`, with what it takes to build it around them; and what the network
    that was built so answers to `inputs`."""
    prepare()
    progress(f"write the weights of {ref.name} with torch")
    network, entry = _network(ref, request)
    return native.write(network, catalog.at_size(entry, request), request, inputs, out)


def write_weights(ref: ModelRef, request: ExportRequest, out: Path, progress: Progress) -> Path:
    """The state dict of the torchvision model as float32 arrays in an .npz, for its Keras twin, whatever size that is
    asked for."""
    prepare()
    progress(f"load the weights of {ref.name} with torch")
    network, _ = _network(ref, replace(request, size=None))
    path = out / "weights.npz"
    with path.open("wb") as stream:
        np.savez(stream, **{name: tensor.numpy() for name, tensor in network.state_dict().items()})
    return path


def prepare() -> None:
    """The same arithmetic every time: a fixed number of threads, deterministic kernels."""
    import torch

    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)


def load(ref: ModelRef, request: ExportRequest) -> Net:
    """Errors: ConfigError for an unknown name, ExportError for weights or code of the user's that do not serve."""
    if ref.profile is None:
        return user.load(ref, request)
    network, entry = _network(ref, request)
    return of_torchvision(network, catalog.at_size(entry, request), request)


def _network(ref: ModelRef, request: ExportRequest) -> tuple[Any, catalog.Entry]:
    """torchvision's network with its weights, and what it is at its own size."""
    entry, pinned = _entry(ref)
    return weights.load(entry, request, pinned), entry


def _entry(ref: ModelRef) -> tuple[catalog.Entry, str | None]:
    """torchvision's network and the pinned weights. A profile says its own image; a bare torchvision:NAME takes that of
    its weights."""
    if ref.profile is None:
        raise ExportError("only torchvision's networks have a twin", where=ref.name)
    model = ref.profile.frameworks["pytorch"]
    entry = catalog.find(model.source.partition(":")[2])
    if not ref.profile.name.startswith("torchvision:"):
        entry = replace(entry, images=(ref.profile.input,))
    return entry, model.weights


def _task(net: Net, shapes: Mapping[str, tuple[Dim, ...]], request: ExportRequest, name: str) -> exporters.Task:
    least, largest = net.batches
    batch = min(max(2, _lowest(request), least), largest)  # 1 would be taken for a constant
    sides = {FREE_BATCH: batch, **_sides(request)}
    return exporters.Task(net.module, net.inputs, shapes, sides, request.opset, name, net.tracing)


def _shapes(net: Net, request: ExportRequest, name: str) -> Mapping[str, tuple[Dim, ...]]:
    """What comes out."""
    return _free(_answered(net, _few(net, request), name), net, request)


def _few(net: Net, request: ExportRequest) -> Arrays:
    """Two golden samples."""
    return {name: array[:2] for name, array in samples(net.inputs, net.images, request)[GOLDEN].items()}


def _answered(net: Net, inputs: Arrays, where: str) -> Arrays:
    """Errors: ExportError when the network does not take inputs of this shape."""
    try:
        return run(net, inputs)
    except (RuntimeError, AssertionError, ValueError, TypeError, IndexError, AttributeError) as error:
        shapes = ", ".join(f"{name} {array.shape[1:]}" for name, array in inputs.items())
        raise failed(error, f"the network does not take {shapes}", where) from error


def _halved(net: Net) -> Net:
    net.module.half()
    specs = (replace(spec, dtype="float16") if spec.dtype == "float32" else spec for spec in net.inputs)
    return replace(net, inputs=tuple(specs))


def _free(outputs: Arrays, net: Net, request: ExportRequest) -> dict[str, tuple[Dim, ...]]:
    """Shapes of outputs: their batch is that of the inputs, and a map as large as a free image is as free."""
    free = {dim for spec in net.inputs for dim in spec.shape}
    sides = [(name, size) for name, size in _sides(request).items() if name in free]
    first = net.inputs[0].shape[0]
    shapes = {}
    for name, array in outputs.items():
        shape: list[Dim] = [first, *array.shape[1:]]
        for side, size in sides if array.ndim >= 4 else ():
            axis = -2 if side == FREE_HEIGHT else -1
            shape[axis] = side if shape[axis] == size else shape[axis]
        shapes[name] = tuple(shape)
    return shapes


def _sides(request: ExportRequest) -> dict[str, int]:
    return {} if request.size is None else {FREE_HEIGHT: request.size[0].opt, FREE_WIDTH: request.size[1].opt}


def _lowest(request: ExportRequest) -> int:
    return min((one.min for one in request.bounds), default=1)
