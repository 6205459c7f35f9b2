"""Drafts of many small models in one process, as TensorFlow takes seconds to start: run as a child by
test_export_keras_users.py. Cases come as JSON on stdin; each leaves a folder with its files and result.json."""

import json
import sys
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

    module = Module()
    for name, signatures in {
        "one": {"filter": module.filtered},
        "two": {"filter": module.filtered, "mean": module.mean},
        "default": {"filter": module.filtered, "serving_default": module.mean},
        "none": None,
    }.items():
        tf.saved_model.save(module, str(out / name), signatures=signatures)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
