"""torchvision models to ONNX: by torch.export (dynamo), and up to opset 17, which that does not write, by tracing.
torch is imported in functions only."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.contract import Precision
from export import golden, graph
from export.artifact import FREE_BATCH, Artifact, ExportRequest
from export.assemble import OUTPUT, Made, assemble, expect_opset
from export.cache import versions
from export.child import THREADS
from export.frameworks.torch_weights import image_input, load_model
from profiles.progress import Progress
from profiles.schema import ImageInput, ModelProfile

OPSETS = range(13, 21)
"""13 is the first with per-channel QuantizeLinear, 20 the last that TensorRT 10 reads."""

MAX_BATCH = 4096
"""torch wants an upper bound for a free dimension; nothing in the graph holds it."""

_DYNAMO_FROM = 18  # asked for less, dynamo gives 18 without a word


@dataclass(frozen=True)
class Exporter:
    """Makes the artifact of a torchvision model. `name` is what the artifact calls the model."""

    name: str
    progress: Progress

    def export(self, model: ModelProfile, request: ExportRequest, out: Path) -> Artifact:
        """Errors: ExportError, ParityError; whatever torch raises is translated by export.worker."""
        prepare()
        self.progress(f"load {self.name} with torch")
        spec = image_input(model)
        network = load_model(model, request)
        images = golden.images(spec)
        reference = {OUTPUT: forward(network, images)}
        self.progress(f"export {self.name} with torch")
        half = _half_forward(model, request, images) if request.precision is Precision.FP16 else None
        proto = _to_onnx(network, request, spec)
        dynamo = request.opset >= _DYNAMO_FROM
        produced_by = {**versions("pytorch"), "exporter": f"torch.onnx.export(dynamo={dynamo})"}
        inputs = {spec.name: images}
        made = Made(proto, inputs, reference, produced_by, spec.low, spec.high, half=half)
        return assemble(self.name, request, made, out, self.progress)


def write_weights(model: ModelProfile, request: ExportRequest, out: Path, progress: Progress) -> Path:
    """The state dict of the torchvision model as float32 arrays in an .npz, for its Keras twin."""
    prepare()
    progress(f"load the weights of {model.name} with torch")
    network = load_model(model, request)
    path = out / "weights.npz"
    with path.open("wb") as stream:
        np.savez(stream, **{name: tensor.numpy() for name, tensor in network.state_dict().items()})
    return path


def prepare() -> None:
    """The same arithmetic every time: a fixed number of threads, deterministic kernels."""
    import torch

    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)


def forward(network: Any, images: golden.Array) -> golden.Array:
    """(N, classes) float32 logits of (N, C, H, W) images, in the precision of the network."""
    import torch

    dtype = next(network.parameters()).dtype
    with torch.inference_mode():
        logits: golden.Array = network(torch.from_numpy(images).to(dtype)).float().numpy()
    return logits


def _half_forward(model: ModelProfile, request: ExportRequest, images: golden.Array) -> Callable[[], golden.Arrays]:
    """The network's own FP16 error, worked out only when the gate asks: FP16 on a CPU is slow."""
    return lambda: {OUTPUT: forward(load_model(model, request).half(), images)}


def _to_onnx(network: Any, request: ExportRequest, spec: ImageInput) -> Any:
    """An ONNX ModelProto, NCHW. FP16 is the network itself after .half(): native, no converter."""
    import torch

    dtype = torch.float32
    if request.precision is Precision.FP16:
        network, dtype = network.half(), torch.float16
    # A sample batch of 1 would be taken for a constant.
    count = request.batch if isinstance(request.batch, int) else max(2, _lowest(request))
    example = torch.zeros((count, *spec.shape), dtype=dtype)
    export = _by_dynamo if request.opset >= _DYNAMO_FROM else _by_tracing
    proto = export(network, example, request, spec.name)
    expect_opset(proto, request.opset)
    graph.set_batch(proto, request.batch)
    return proto


def _by_dynamo(network: Any, example: Any, request: ExportRequest, name: str) -> Any:
    import torch

    shapes = None
    if request.batch == "dynamic":
        low = _lowest(request)
        high = max((one.max for one in request.bounds), default=MAX_BATCH)
        # torch takes no Dim of one size.
        shapes = ({0: torch.export.Dim(FREE_BATCH, min=low, max=max(high, low + 1))},)
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        opset_version=request.opset,
        input_names=[name],
        output_names=[OUTPUT],
        dynamic_shapes=shapes,
        verbose=False,
    )
    return program.model_proto


def _lowest(request: ExportRequest) -> int:
    return min((one.min for one in request.bounds), default=1)


def _by_tracing(network: Any, example: Any, request: ExportRequest, name: str) -> Any:
    """The older exporter leaves constants as nodes and shares equal ones through Identity: onnxscript's optimiser,
    which dynamo runs as well, takes both away."""
    import onnx
    import onnxscript.optimizer
    import torch

    free = {0: FREE_BATCH}
    written = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it goes with a later torch, which TensorRT 8 will not
        torch.onnx.export(
            network,
            (example,),
            written,
            dynamo=False,
            opset_version=request.opset,
            input_names=[name],
            output_names=[OUTPUT],
            dynamic_axes={name: free, OUTPUT: free} if request.batch == "dynamic" else None,
            verbose=False,
        )
    return onnxscript.optimizer.optimize(onnx.load_from_string(written.getvalue()))
