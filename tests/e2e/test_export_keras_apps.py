"""keras.applications: lean graphs of the networks that are known as traps, and the pixels that each of them wants."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from device_agents.contract import DimRange, Precision
from export import graph
from export.artifact import Parity
from export.asking import Options
from export.keras_pixels import keras_input

LAYERS_OF_CONVNEXT_TINY = 18


@pytest.mark.parametrize(
    ("name", "nodes", "transposes"),
    [
        ("MobileNetV3Small", 200, 0),  # tf2onnx left 129 Transposes in its larger sister
        ("EfficientNetB0", 250, 0),  # and gave this one two false inputs
        ("EfficientNetV2B0", 280, 0),  # and 17 Transposes
        ("ResNet50V2", 170, 0),  # onnxruntime loses the zeros around its first pooling
        # Grouped convolutions that XLA compiles; its linear layers are over channels, so each block turns twice.
        ("ConvNeXtTiny", 260, 2 * LAYERS_OF_CONVNEXT_TINY + 4),
    ],
)
def test_a_network_that_is_known_as_a_trap_is_lean(artifact_store, name: str, nodes: int, transposes: int) -> None:
    artifact = artifact_store.get(f"keras:{name}", "tensorflow", opset=17 if name == "EfficientNetV2B0" else 18)
    assert isinstance(artifact.parity, Parity)
    assert artifact.parity.error < 1e-4
    side = keras_input(name).shape[1]
    assert [(spec.name, spec.shape) for spec in artifact.inputs] == [("images", ("batch", 3, side, side))]
    assert [(spec.name, spec.shape) for spec in artifact.outputs] == [("logits", ("batch", 1000))]
    assert artifact.graph.nodes <= nodes
    assert artifact.graph.transposes <= transposes


def test_convnext_has_its_layer_norms_and_no_function(artifact_store) -> None:
    artifact = artifact_store.get("keras:ConvNeXtTiny", "tensorflow")
    operations = [node.op_type for node in graph.load(artifact.path / artifact.model_file).graph.node]
    assert operations.count("LayerNormalization") == LAYERS_OF_CONVNEXT_TINY + 5
    assert "StatefulPartitionedCall" not in operations


def test_random_weights_keep_the_rounding_errors_of_fp16_small(artifact_store) -> None:
    """MobileNet has no shortcuts: with Keras's own initial weights it loses a tenth of its answer."""
    artifact = artifact_store.get("keras:MobileNet", "tensorflow", Precision.FP16)
    assert isinstance(artifact.parity, Parity)
    assert artifact.parity.error < 2e-2


def test_preprocessing_is_stripped_and_sides_are_free(artifact_store) -> None:
    free = (DimRange(96, 128, 160), DimRange(96, 128, 160))
    options = Options(keras_layers="strip", size=free)
    artifact = artifact_store.get("keras:MobileNetV3Small", "tensorflow", options=options)
    assert isinstance(artifact.parity, Parity)
    assert artifact.parity.error < 1e-4
    assert artifact.inputs[0].shape == ("batch", 3, "height", "width")
    assert (artifact.inputs[0].low, artifact.inputs[0].high) == (-1.0, 1.0)
    assert any("rescaling" in note for note in artifact.notes)


def in_keras(script: str) -> Any:
    """What the script prints as JSON, from a process of its own: TensorFlow and torch share none."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("Keras is not installed: pip install 'edgebench[tensorflow]'")
    env = {**os.environ, "KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_another_size_keeps_what_the_pretrained_network_does_to_pixels() -> None:
    """With imagenet's weights EfficientNet has a Rescaling more, and its Normalization is adapted; how much it pads
    depends on the size. Weights are not downloaded: what is adapted comes from here."""
    script = (
        "import json, sys, keras\n"
        "from keras.src.applications import efficientnet\n"
        "from export.tf import apps\n"
        "efficientnet.file_utils.get_file = lambda *_, **__: ''\n"
        "keras.Model.load_weights = lambda *_, **__: None\n"
        "network = apps._build('EfficientNetB0', (224, 224, 3), weights='imagenet')\n"
        "norm = next(one for one in network.layers if isinstance(one, keras.layers.Normalization))\n"
        "norm.adapt_mean.assign([0.1, 0.2, 0.3]), norm.finalize_state()\n"
        "other = apps._of_weights('EfficientNetB0', (98, 98, 3), network)\n"
        "kinds = [type(one).__name__ for one in other.layers[:4]]\n"
        "mean = next(one.mean for one in other.layers if isinstance(one, keras.layers.Normalization))\n"
        "pads = [one.padding for one in other.layers if isinstance(one, keras.layers.ZeroPadding2D)]\n"
        "json.dump([kinds, keras.ops.convert_to_numpy(mean).ravel().tolist(), pads], sys.stdout)\n"
    )
    kinds, mean, pads = in_keras(script)
    assert kinds == ["InputLayer", "Rescaling", "Normalization", "Rescaling"]
    assert mean == pytest.approx([0.1, 0.2, 0.3])
    assert pads[:2] == [[[0, 1], [0, 1]], [[1, 1], [1, 1]]]  # the second sees 49 pixels a side


def test_every_constructor_gets_the_pixels_that_its_own_preprocessing_makes() -> None:
    script = (
        "import json, sys, keras, numpy as np\n"
        "from keras import applications as a\n"
        "pixels = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3) * 20\n"
        "found = {}\n"
        "for name, make in vars(a).items():\n"
        "    if name[0].isupper() and callable(make):\n"
        "        prepare = sys.modules[make.__module__].preprocess_input\n"
        "        found[name] = np.asarray(prepare(pixels.copy())).tolist()\n"
        "json.dump(found, sys.stdout)\n"
    )
    theirs = in_keras(script)
    assert len(theirs) >= 40
    pixels = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3) * 20 / 255
    for name, values in theirs.items():
        image = keras_input(name)
        ordered = pixels[..., ::-1] if image.order == "BGR" else pixels
        assert np.allclose((ordered - image.mean) / image.std, values, atol=1e-3), name
