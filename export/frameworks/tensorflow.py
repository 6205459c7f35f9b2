"""Keras models to ONNX: a frozen concrete function through tf2onnx. TensorFlow is imported in functions only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from device_agents.contract import Precision
from export import golden, graph
from export.artifact import Artifact, ExportRequest
from export.assemble import OUTPUT, Made, assemble, expect_opset
from export.cache import versions
from export.child import THREADS
from export.frameworks import keras_apps, keras_models, tf2onnx_fixes
from export.precision import to_fp16
from profiles.errors import ExportError
from profiles.progress import Progress
from profiles.schema import ImageInput, ModelProfile

OPSETS = range(13, 19)
"""13 is the first with per-channel QuantizeLinear, 18 tf2onnx's last."""


@dataclass(frozen=True)
class Exporter:
    """Makes the artifact of a Keras model: of keras.applications, or the twin of a torchvision model, whose weights are
    the .npz at `request.weights_path`. `name` is what the artifact calls the model."""

    name: str
    progress: Progress

    def export(self, model: ModelProfile, request: ExportRequest, out: Path) -> Artifact:
        """Errors: ExportError, ParityError; whatever TensorFlow raises is translated by export.worker."""
        _prepare()
        self.progress(f"load {self.name} with Keras")
        spec = model.input
        network = _load(model, request)
        images = golden.images(spec)
        reference = {OUTPUT: forward(network, images)}
        self.progress(f"export {self.name} with tf2onnx")
        proto = _to_onnx(network, request, spec)
        half = None
        if request.precision is Precision.FP16:
            half = _half_forward(model, request, images)
            proto = to_fp16(proto)
        twin = model.frameworks["tensorflow"].source.startswith("twin:")
        produced_by = {**versions("tensorflow", twin=twin), "exporter": "tf2onnx.from_graph_def(inputs_as_nchw)"}
        inputs = {spec.name: images}
        made = Made(proto, inputs, reference, produced_by, spec.low, spec.high, half=half)
        return assemble(self.name, request, made, out, self.progress)


def forward(network: Any, images: golden.Array) -> golden.Array:
    """(N, classes) float32 logits of (N, C, H, W) images: Keras itself takes (N, H, W, C)."""
    logits: golden.Array = np.asarray(network(images.transpose(0, 2, 3, 1), training=False), np.float32)
    return logits


def _prepare() -> None:
    """The same arithmetic every time: a fixed number of threads, deterministic kernels."""
    import tensorflow as tf

    tf2onnx_fixes.apply()
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def _load(model: ModelProfile, request: ExportRequest) -> Any:
    library, _, name = model.frameworks["tensorflow"].source.partition(":")
    if library == "keras":
        return keras_apps.load_model(name, model.input, request)
    if request.weights_path is None:
        raise ExportError("the Keras twin was given no weights file")
    with np.load(request.weights_path, allow_pickle=False) as state:
        return keras_models.build(name, dict(state), model.input)


def _half_forward(model: ModelProfile, request: ExportRequest, images: golden.Array) -> Callable[[], golden.Arrays]:
    """The network's own FP16 error, worked out only when the gate asks: FP16 on a CPU is slow."""

    def half() -> golden.Arrays:
        import keras

        weights = _load(model, request).get_weights()
        keras.config.set_dtype_policy("float16")
        network = _load(model, request)
        network.set_weights(weights)
        return {OUTPUT: forward(network, images)}

    return half


def _to_onnx(network: Any, request: ExportRequest, spec: ImageInput) -> Any:
    """An FP32 ONNX ModelProto whose input is NCHW, as PyTorch's: tf2onnx turns the layout round inside."""
    import tensorflow as tf
    import tf2onnx
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    channels, height, width = spec.shape
    batch = None if request.batch == "dynamic" else request.batch

    def call(images: Any) -> Any:
        return tf.identity(network(images, training=False), name=OUTPUT)

    signature = tf.TensorSpec((batch, height, width, channels), tf.float32, name=spec.name)
    concrete = tf.function(call, autograph=False).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(concrete)
    (source,), (target,) = frozen.inputs, frozen.outputs
    proto, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[source.name],
        output_names=[target.name],
        opset=request.opset,
        inputs_as_nchw=[source.name],
    )
    graph.rename(proto, {source.name: spec.name, target.name: OUTPUT})
    graph.put_in_order(proto)
    expect_opset(proto, request.opset)
    graph.set_batch(proto, request.batch)
    return proto
