"""Drafts of many small models in one process, as TensorFlow takes seconds to start: run as a child by
test_export_keras_users.py. Cases come as JSON on stdin; each leaves a folder with its files and result.json."""

import json
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(out: Path) -> None:
    sys.path.insert(0, str(HERE))
    cases = json.load(sys.stdin)
    from export.frameworks import tensorflow

    tensorflow.prepare()
    save_files(out)
    for name, case in cases.items():
        folder = out / "cases" / name
        folder.mkdir(parents=True)
        with hidden() if name.endswith("_hidden") else nullcontext():
            (folder / "result.json").write_text(json.dumps(draft(case, folder, out)))


@contextmanager
def hidden() -> Iterator[None]:
    """tf_keras as if it were not installed."""
    kept = sys.modules.get("tf_keras")
    sys.modules["tf_keras"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules.pop("tf_keras")
        if kept is not None:
            sys.modules["tf_keras"] = kept


def draft(case: dict, folder: Path, files: Path) -> dict:
    from device_agents.contract import to_json
    from export.frameworks.tensorflow import Exporter
    from export.models import ModelRef
    from export.request import from_job
    from profiles.errors import EdgebenchError
    from profiles.progress import silent

    kind, source = case["kind"], case["source"]
    path = HERE / "mine.py" if kind == "factory" else HERE / source if source == "keras2.h5" else files / source
    ref = ModelRef(source, kind, path=path, factory=f"mine:{source}" if kind == "factory" else None)
    try:
        return {"draft": to_json(Exporter(source, silent).export(ref, from_job(case["request"]), folder))}
    except EdgebenchError as error:
        return {"error": str(error)}


def save_files(out: Path) -> None:
    import keras
    import mine
    import numpy as np
    import tensorflow as tf

    preprocessed = mine.preprocessed()
    preprocessed.save(out / "preprocessed.keras")
    preprocessed.save(out / "preprocessed.h5")
    mine.two_ends().export(out / "exported", verbose=False)
    mine.lambda_layer().save(out / "lambda.keras")
    mine.lambda_layer().save(out / "lambda.h5")
    subclassed = mine.Subclassed()
    subclassed(np.zeros((1, 12, 10, 3), np.float32))
    subclassed.save(out / "subclassed.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(out / "only.weights.h5")
    (out / "only.weights.h5").rename(out / "weights.h5")
    (out / "junk.keras").write_text("junk")
    (out / "junk.h5").write_text("junk")
    save_odd_files(out, preprocessed)

    class Module(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(np.random.default_rng(0).normal(size=(3, 3, 3, 4)).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec((2, 12, 12, 3), tf.float32, name="image")])
        def filtered(self, image):
            return {"y": tf.nn.conv2d(image, self.kernel, 1, "SAME")}

        @tf.function(input_signature=[tf.TensorSpec((None, 12, 12, 3), tf.uint8, name="image")])
        def mean(self, image):
            return tf.reduce_mean(tf.cast(image, tf.float32), (1, 2))

        @tf.function(input_signature=[tf.TensorSpec(None, tf.float32, name="x")])
        def any_rank(self, x):
            return {"y": x * 2.0}

        @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x"), tf.TensorSpec((), name="t")])
        def scalar(self, x, t):
            return {"y": x * t}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
        def text(self, text):
            return {"y": tf.strings.to_number(text)}

        @tf.function(input_signature=[])
        def nothing(self):
            return {"y": tf.ones((1, 2))}

        @tf.function(input_signature=[tf.TensorSpec((None, None), tf.float32, name="row")])
        def row(self, row):
            return {"y": tf.reduce_sum(row, 1, keepdims=True)}

    module = Module()
    for name, signatures in {
        **{f"odd_{name}": getattr(module, name) for name in ("any_rank", "scalar", "text", "nothing", "row")},
        "one": {"filter": module.filtered},
        "two": {"filter": module.filtered, "mean": module.mean},
        "default": {"filter": module.filtered, "serving_default": module.mean},
        "none": None,
    }.items():
        tf.saved_model.save(module, str(out / name), signatures=signatures)


def save_odd_files(out: Path, model) -> None:
    """Damaged ones, one of a class that has no module, and ones of Keras 2 that call what they name."""
    import h5py
    import keras

    model.save(out / "list.keras")
    with zipfile.ZipFile(out / "list.keras") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(out / "list.keras", "w") as archive:
        for name, content in {**files, "metadata.json": b"[]"}.items():
            archive.writestr(name, content)
    model.save(out / "damaged.h5")
    with h5py.File(out / "damaged.h5", "a") as file:
        file.attrs["model_config"] = "{broken"

    class Mine(keras.layers.Layer):
        def call(self, x):
            return x * 2.0

    image = keras.Input((8, 8, 3))
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(Mine()(image))).save(out / "script.keras")
    written = ["_CONSTANT_VALUE", -1, str(out / "marker"), {"contents": "ran"}]
    save_calling(out / "calling.h5", "io.write_file", written, "mean")
    save_calling(out / "arithmetic.h5", "math.add", ["mean", 0, 0, {"y": 2.0}], "call")


def save_calling(path: Path, function: str, given: list, output: str) -> None:
    """A file of Keras 2 whose model has a layer that calls a function of TensorFlow's by name, with what is `given`."""
    import h5py

    image = {"name": "image", "batch_input_shape": [None, 16, 16, 3], "dtype": "float32"}
    layers = [
        {"class_name": "InputLayer", "name": "image", "config": image, "inbound_nodes": []},
        {
            "class_name": "GlobalAveragePooling2D",
            "name": "mean",
            "config": {"name": "mean"},
            "inbound_nodes": [[["image", 0, 0, {}]]],
        },
        {
            "class_name": "TFOpLambda",
            "name": "call",
            "config": {"name": "call", "function": function},
            "inbound_nodes": [given],
        },
    ]
    ends = {"input_layers": [["image", 0, 0]], "output_layers": [[output, 0, 0]]}
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
        config = {"class_name": "Functional", "config": {"name": "net", "layers": layers, **ends}}
        file.attrs["model_config"] = json.dumps(config)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [layer["name"].encode() for layer in layers]
        for layer in layers:
            weights.create_group(layer["name"]).attrs["weight_names"] = []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
