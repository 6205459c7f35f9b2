"""Users' Keras and TensorFlow models of every kind: exported with parity, or refused in a sentence."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import DimRange, Precision, TensorSpec, from_json
from export import graph
from export.api import Options, export_model, parse_model
from export.artifact import MANIFEST, Artifact, Store, sha256_file
from export.data import golden
from export.draft import MODEL_FILE, Draft
from export.judging import parity
from export.request import ExportRequest, to_job

if importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("tf2onnx") is None:
    pytest.skip("TensorFlow or tf2onnx is not installed: pip install 'edgebench[tensorflow]'", allow_module_level=True)

MODELS = Path(__file__).parent / "keras_models"
ROOT = Path(__file__).parent.parent.parent
REQUEST = ExportRequest("mine", "tensorflow", Precision.FP32, "dynamic", "own")
FREE = (DimRange(16, 24, 32), DimRange(16, 32, 40))


def declared(*specs: tuple[str, tuple[Any, ...]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, "float32", shape) for name, shape in specs)


CASES: dict[str, tuple[str, str, ExportRequest]] = {
    "several": ("factory", "several", REQUEST),
    "two_ends": ("factory", "two_ends", replace(REQUEST, opset=17)),
    "kept": ("factory", "preprocessed", REQUEST),
    "stripped": ("factory", "preprocessed", replace(REQUEST, keras_layers="strip")),
    "described": ("factory", "two_ends", replace(REQUEST, mean=(0.4,), std=(0.2,))),
    "any_size": ("factory", "preprocessed", replace(REQUEST, size=FREE)),
    "another_size": ("factory", "two_ends", replace(REQUEST, size=(DimRange(20, 20, 20), DimRange(12, 12, 12)))),
    "segmenter": ("factory", "segmenter", replace(REQUEST, size=FREE)),
    "segmenter_17": ("factory", "segmenter", replace(REQUEST, size=FREE, opset=17)),
    "segmenter_unsized": ("factory", "segmenter", REQUEST),
    **{name: ("factory", name, replace(REQUEST, size=FREE)) for name in ("transposed", "skipping", "even")},
    "transposed_fixed": ("factory", "transposed", replace(REQUEST, size=(DimRange(16, 16, 16), DimRange(20, 20, 20)))),
    "resizing_stripped": ("factory", "resizing", replace(REQUEST, keras_layers="strip")),
    "recurrent": ("factory", "recurrent", REQUEST),
    "subclassed": ("factory", "Subclassed", replace(REQUEST, declared=declared(("x", ("batch", 12, 10, 3))))),
    "subclassed_untold": ("factory", "Subclassed", REQUEST),
    "two_arguments": (
        "factory",
        "TwoArguments",
        replace(REQUEST, batch=2, declared=declared(("image", (2, 9, 9, 3)), ("meta", (2, 5)))),
    ),
    "wrong_input": ("factory", "several", replace(REQUEST, declared=declared(("middle", ("batch", 24, 16, 3))))),
    "unknown_operation": ("factory", "unknown_operation", REQUEST),
    "not_a_number": ("factory", "not_a_number", REQUEST),
    "raising": ("factory", "raising", REQUEST),
    "nothing": ("factory", "nothing", REQUEST),
    "absent": ("factory", "absent", REQUEST),
    "keras_file": ("keras", "preprocessed.keras", replace(REQUEST, keras_layers="strip")),
    "h5_file": ("h5", "preprocessed.h5", REQUEST),
    "lambda": ("keras", "lambda.keras", REQUEST),
    "lambda_h5": ("h5", "lambda.h5", REQUEST),
    "lambda_unsafe": ("keras", "lambda.keras", replace(REQUEST, unsafe=True)),
    "custom": ("keras", "subclassed.keras", REQUEST),
    "junk": ("keras", "junk.keras", REQUEST),
    "junk_h5": ("h5", "junk.h5", REQUEST),
    "weights_alone": ("h5", "weights.h5", REQUEST),
    "keras_2": ("h5", "keras2.h5", REQUEST),
    "keras_2_hidden": ("h5", "keras2.h5", REQUEST),
    "exported": ("savedmodel", "exported", REQUEST),
    "fixed_signature": ("savedmodel", "one", REQUEST),
    "other_batch": ("savedmodel", "one", replace(REQUEST, batch=4)),
    "default_signature": ("savedmodel", "default", REQUEST),
    "two_signatures": ("savedmodel", "two", REQUEST),
    "no_signature": ("savedmodel", "none", REQUEST),
    "adapted_at_a_size": ("factory", "adapted", replace(REQUEST, size=(DimRange(32, 32, 32), DimRange(32, 32, 32)))),
    "adapted_fp16": ("factory", "adapted", replace(REQUEST, precision=Precision.FP16)),
    "narrow_fp16": ("factory", "narrow", replace(REQUEST, precision=Precision.FP16)),
    "untold_fp16": ("factory", "untold", replace(REQUEST, precision=Precision.FP16)),
    "uneven": ("factory", "uneven", REQUEST),
    "shown_head": ("factory", "shown_head", REQUEST),
    "shown_head_stripped": ("factory", "shown_head", replace(REQUEST, keras_layers="strip")),
    "five_channels": ("factory", "five_channels", REQUEST),
    "five_channels_stripped": ("factory", "five_channels", replace(REQUEST, keras_layers="strip")),
    "five_channels_described": ("factory", "five_channels", replace(REQUEST, mean=(0.5,) * 5, std=(0.5,) * 5)),
    "autoencoder": ("factory", "autoencoder", REQUEST),
    "named_output": ("factory", "named_output", REQUEST),
    "named_images": ("factory", "named_images", REQUEST),
    "nested_inputs": ("factory", "nested_inputs", REQUEST),
    "particular": (
        "factory",
        "Particular",
        replace(REQUEST, declared=declared(("a", ("batch", 5)), ("b", ("batch", 4)))),
    ),
    "sliced": ("factory", "sliced", REQUEST),
    "double": ("factory", "double", REQUEST),
    "declared_sides": ("factory", "segmenter", replace(REQUEST, declared=declared(("images", ("batch", 16, 24, 3))))),
    "declared_row": ("savedmodel", "odd_row", replace(REQUEST, declared=declared(("row", ("batch", 7))))),
    "declared_otherwise": (
        "factory",
        "two_ends",
        replace(REQUEST, declared=(TensorSpec("images", "int32", ("batch", 16, 16, 1)),)),
    ),
    "list_keras": ("keras", "list.keras", REQUEST),
    "damaged_h5": ("h5", "damaged.h5", REQUEST),
    "script": ("keras", "script.keras", replace(REQUEST, unsafe=True)),
    "calling": ("h5", "calling.h5", REQUEST),
    "arithmetic": ("h5", "arithmetic.h5", REQUEST),
    **{f"odd_{name}": ("savedmodel", f"odd_{name}", REQUEST) for name in ("any_rank", "scalar", "text", "nothing")},
    "half_saved": ("savedmodel", "exported", replace(REQUEST, precision=Precision.FP16)),
    "strip_saved": ("savedmodel", "exported", replace(REQUEST, keras_layers="strip")),
}


@dataclass
class Result:
    """What became of a case: its draft, or the sentence that refused it."""

    folder: Path
    error: str = ""
    made: Draft | None = None

    @property
    def draft(self) -> Draft:
        assert self.made is not None, self.error
        return self.made

    def model(self) -> Any:
        return graph.load(self.folder / MODEL_FILE)

    def inputs(self) -> dict[str, tuple[Any, ...]]:
        return {spec.name: spec.shape for spec in graph.specs(self.model().graph.input)}

    def outputs(self) -> dict[str, tuple[Any, ...]]:
        return {spec.name: spec.shape for spec in graph.specs(self.model().graph.output)}

    def operations(self) -> Counter[str]:
        return Counter(node.op_type for node in self.model().graph.node)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    out = tmp_path_factory.mktemp("keras")
    cases = {
        name: {"kind": kind, "source": source, "request": to_job(asked)}
        for name, (kind, source, asked) in CASES.items()
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env = {
        **kept,
        "PYTHONPATH": str(ROOT),
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    script = [sys.executable, str(MODELS / "drafts.py"), str(out)]
    done = subprocess.run(
        script, input=json.dumps(cases), env=env, cwd=out, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = {}
    for name in CASES:
        told = json.loads((out / "cases" / name / "result.json").read_text())
        made = from_json(Draft, told["draft"]) if "draft" in told else None
        found[name] = Result(out / "cases" / name, told.get("error", ""), made)
    return found


def errors(result: Result) -> dict[str, float]:
    """By output, the worst of all golden files, through onnxruntime as a device runs it."""
    worst: dict[str, float] = {}
    for file in result.folder.glob("golden*.npz"):
        inputs, reference = golden.load(file)
        found = parity.run(result.folder / MODEL_FILE, inputs, Precision.FP32)
        for name, value in reference.items():
            error = parity.relative_error(value, found[name])
            worst[name] = max(error, worst.get(name, 0.0))
    return worst


def test_every_model_that_was_exported_computes_what_its_framework_does(results: dict[str, Result]) -> None:
    made = {name: result for name, result in results.items() if result.made is not None}
    assert len(made) >= 36
    for name, result in made.items():
        graph.check(result.model())
        assert max(errors(result).values()) < (2e-3 if name.endswith("_fp16") else 1e-4), name


def test_several_inputs_and_a_nest_of_outputs_keep_their_names(results: dict[str, Result]) -> None:
    several = results["several"]
    images = ("batch", 3, 24, 16)
    assert several.inputs() == {"left": images, "meta": ("batch", 7), "right": images}
    assert several.outputs() == {
        "mask": ("batch", 24, 16, 2),
        "scores": ("batch", 5),
        "nest.0": ("batch", 12),
        "nest.1.again": ("batch", 5),
    }
    assert several.draft.notes == ("output 'mask' is as Keras gives it; Keras's maps are channels-last",)
    assert several.operations()["Transpose"] == 1


def test_outputs_in_a_list_go_by_their_layers_and_one_image_is_called_so(results: dict[str, Result]) -> None:
    assert results["two_ends"].inputs() == {"images": ("batch", 1, 16, 16)}
    assert results["two_ends"].outputs() == {"top": ("batch", 4), "flat": ("batch", 256)}
    assert graph.opset(results["two_ends"].model()) == 17


def test_preprocessing_layers_are_kept_or_move_into_the_manifest(results: dict[str, Result]) -> None:
    kept, stripped = results["kept"].draft, results["stripped"].draft
    pixel = np.array([0.2, 0.5, 0.9])
    (raw,), (bare,) = kept.images, stripped.images
    assert (raw.low, raw.high) == (0.0, pytest.approx(255.0))
    by_layers = ((255 * pixel / 127.5 - 1.0) - [0.1, 0.2, 0.3]) / np.sqrt([0.5, 0.6, 0.7])
    assert (pixel - bare.mean) / bare.std == pytest.approx(by_layers)
    assert "rescaling" in stripped.notes[0]
    assert "normalization" in stripped.notes[0]


def test_a_file_is_stripped_as_a_factory_is(results: dict[str, Result]) -> None:
    """The same weights, once with its layers and raw pixels, once without and normalised: the same answers."""
    (bare,) = results["keras_file"].draft.images
    raw_pixels, answers = golden.load(results["h5_file"].folder / "golden.npz")
    normalised = (raw_pixels["images"] / 255 - np.reshape(bare.mean, (3, 1, 1))) / np.reshape(bare.std, (3, 1, 1))
    model = results["keras_file"].folder / MODEL_FILE
    found = parity.run(model, {"images": normalised.astype(np.float32)}, Precision.FP32)
    assert parity.relative_error(answers["output"], found["output"]) < 1e-4


def test_a_resizing_layer_that_is_stripped_leaves_its_size(results: dict[str, Result]) -> None:
    result = results["resizing_stripped"]
    assert result.inputs() == {"images": ("batch", 3, 16, 16)}
    assert "16x16" in result.draft.notes[0]


def test_pixels_that_the_operator_describes_reach_the_manifest(results: dict[str, Result]) -> None:
    (image,) = results["described"].draft.images
    assert (image.mean, image.std, image.shape) == ((0.4,), (0.2,), (1, 16, 16))


@pytest.mark.parametrize("name", ["adapted_at_a_size", "adapted_fp16"])
def test_a_normalization_that_was_adapted_stays_so(results: dict[str, Result], name: str) -> None:
    """Pixels of 0 to 255, less their mean and over their deviation."""
    inputs, reference = golden.load(results[name].folder / "golden.npz")
    assert inputs["images"].max() > 100
    expected = (inputs["images"].mean(axis=(2, 3)) - 120) / 60
    assert np.abs(reference["output"] - expected).max() < 0.2


def test_a_name_of_ours_gives_way_to_one_of_the_users(results: dict[str, Result]) -> None:
    assert (results["named_output"].inputs().keys(), results["named_output"].outputs().keys()) == (
        {"output"},
        {"output_"},
    )
    assert (results["named_images"].inputs().keys(), results["named_images"].outputs().keys()) == (
        {"images_"},
        {"images"},
    )


def test_a_declared_size_is_taken_where_the_models_is_free(results: dict[str, Result]) -> None:
    assert results["declared_sides"].inputs() == {"images": ("batch", 3, 16, 24)}
    assert results["declared_row"].inputs() == {"row": ("batch", 7)}


def test_layer_norms_and_slices_keep_the_types_of_their_graph(results: dict[str, Result]) -> None:
    assert results["double"].operations()["LayerNormalization"] == 1
    assert results["sliced"].operations()["Transpose"] == 0


def test_a_file_of_keras_2_calls_nothing_but_arithmetic(results: dict[str, Result]) -> None:
    assert not (results["calling"].folder.parent.parent / "marker").exists()
    if importlib.util.find_spec("tf_keras") is not None:
        assert results["arithmetic"].outputs() == {"output": ("batch", 3)}


@pytest.mark.parametrize("name", ["any_size", "segmenter", "segmenter_17"])
def test_height_and_width_may_be_free(results: dict[str, Result], name: str) -> None:
    result = results[name]
    assert result.inputs() == {"images": ("batch", 3, "height", "width")}
    assert {file.name for file in result.folder.glob("golden*.npz")} == {
        "golden.npz",
        "golden-16x16.npz",
        "golden-32x40.npz",
    }
    assert result.draft.images[0].shape == (3, 24, 32)


def test_a_segmenter_resizes_by_constant_factors_and_is_turned_once(results: dict[str, Result]) -> None:
    operations = results["segmenter"].operations()
    assert results["segmenter"].outputs() == {"output": ("batch", "height", "width", 4)}
    assert (operations["Transpose"], operations["Resize"], operations["Shape"]) == (1, 2, 0)


def test_a_fixed_size_is_another_graph(results: dict[str, Result]) -> None:
    assert results["another_size"].inputs() == {"images": ("batch", 1, 20, 12)}


def test_loops_stay_loops(results: dict[str, Result]) -> None:
    assert results["recurrent"].operations()["Loop"] >= 1


def test_a_subclassed_model_takes_the_declared_inputs(results: dict[str, Result]) -> None:
    subclassed = results["subclassed"]
    assert subclassed.inputs() == {"x": ("batch", 3, 12, 10)}
    assert set(subclassed.outputs()) == {"a.b", "c.0", "c.1"}
    assert subclassed.operations()["LayerNormalization"] == 1
    assert results["two_arguments"].inputs() == {"image": (2, 3, 9, 9), "meta": (2, 5)}


def test_the_users_own_modules_are_named_with_their_hashes(results: dict[str, Result]) -> None:
    mine = str(MODELS / "mine.py")
    assert results["several"].draft.sources[mine] == sha256_file(MODELS / "mine.py")


def test_saved_models_are_served_by_their_signature(results: dict[str, Result]) -> None:
    assert results["exported"].inputs() == {"images": ("batch", 1, 16, 16)}
    assert results["exported"].outputs() == {"output_0": ("batch", 4), "output_1": ("batch", 256)}
    assert results["default_signature"].inputs() == {
        "image": ("batch", 12, 12, 3)
    }  # whole pixels stay as cameras give them
    fixed = results["fixed_signature"]
    assert (fixed.draft.batch, fixed.inputs()) == (2, {"image": (2, 3, 12, 12)})
    assert "batch of 2" in fixed.draft.notes[-1]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("segmenter_unsized", "'height' of input 'images' has no size.*--size"),
        ("subclassed_untold", "does not tell what it takes.*--input"),
        ("wrong_input", "no input 'middle'; its inputs are left, meta, right"),
        ("unknown_operation", r"mine.py:\d+.*ONNX has nothing for TensorFlow's operation BesselI0"),
        ("even", "transposed convolution pads otherwise at other sizes.*--size HEIGHTxWIDTH"),
        ("untold_fp16", r"layer 'untold' has no FP16 of its own \(NotImplementedError"),
        ("not_a_number", "weight '.*bias' has values that are not finite"),
        ("raising", r"raising raised an error \(RuntimeError: no such backbone, at mine.py:\d+\)"),
        ("nothing", r"gives .*, no Keras model; return the model"),
        ("absent", "unknown factory of .* 'absent'"),
        ("lambda", "Lambda layer.*--unsafe"),
        ("lambda_h5", "Lambda layer.*--unsafe"),
        ("custom", "code of its own for 'Subclassed'.*--unsafe"),
        ("junk", "not a .keras file"),
        ("junk_h5", "not an HDF5 file"),
        ("weights_alone", "weights and no model"),
        ("shown_head_stripped", "output of the model is what its preprocessing layers give.*kept"),
        ("five_channels_stripped", "cannot hold the preprocessing of 5 channels.*kept"),
        ("five_channels_described", "--mean and --std.*cannot hold the preprocessing of 5 channels"),
        ("autoencoder", "an output is called 'image', as an input is; give one of them another name"),
        ("nested_inputs", "input 'p' is a list of tensors; give each"),
        ("particular", r"\(ValueError: sides must be even, at mine.py:\d+\)"),
        ("declared_otherwise", "declared as int32 .*, the model's is float32"),
        ("list_keras", "not a .keras file, or a damaged one"),
        ("damaged_h5", "description of the model is damaged; save it anew"),
        ("script", "needs the class 'Mine', and does not say where it is; export a factory"),
        ("calling", "the file calls 'io.write_file'; if you trust it, pass --unsafe"),
        ("odd_any_rank", "input 'x' is of any number of dimensions"),
        ("odd_scalar", "input 't' is a scalar"),
        ("odd_text", "input 'text' is of the type string"),
        ("odd_nothing", "its signature takes nothing"),
        ("other_batch", "batch of 2; use --batch 2"),
        ("two_signatures", "2 signatures"),
        ("no_signature", "no signature"),
        ("half_saved", "no FP16 of its own"),
        ("strip_saved", "leave it out"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_sentence(results: dict[str, Result], name: str, sentence: str) -> None:
    assert results[name].made is None
    assert "\n" not in results[name].error
    with pytest.raises(AssertionError, match=sentence):
        _ = results[name].draft


def test_a_file_of_keras_2_is_read_by_keras_2(results: dict[str, Result]) -> None:
    if importlib.util.find_spec("tf_keras") is None:
        pytest.skip("Keras 2 is not installed: pip install 'edgebench[keras2]'")
    assert results["keras_2"].inputs() == {"images": ("batch", 3, 16, 16)}


def test_a_file_of_keras_2_says_what_to_install(results: dict[str, Result]) -> None:
    """With tf_keras hidden from the child that reads it."""
    assert results["keras_2_hidden"].error.endswith("it is of Keras 2; pip install 'edgebench[keras2]'")


LAYER = """
import keras
import tensorflow

@keras.saving.register_keras_serializable("mine")
class Times(keras.layers.Layer):
    @tensorflow.function
    def call(self, values):
        return values * {factor} if tensorflow.rank(values) > 1 else values
"""
SAVED = "import keras, mylayers; row = keras.Input((4,)); keras.Model(row, mylayers.Times()(row)).save('net.keras')"
PLAIN = "keras.Model(row, keras.layers.Dense(3)(row)).save('plain.h5')"


def test_a_file_whose_code_was_edited_is_exported_anew(tmp_path: Path) -> None:
    def exported(name: str = "net.keras") -> Artifact:
        return export_model(
            parse_model(str(tmp_path / name)), framework="tensorflow", precision=Precision.FP32,
            batch="dynamic", weights="pretrained", store=Store(tmp_path / "store"),
            options=Options(unsafe=name == "net.keras"),
        )  # fmt: skip

    layers = tmp_path / "mylayers.py"
    layers.write_text(LAYER.format(factor=2.0))
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    subprocess.run([sys.executable, "-c", f"{SAVED}; {PLAIN}"], cwd=tmp_path, env=env, check=True, capture_output=True)
    doubled = exported()
    assert list(doubled.sources) == [str(layers)], "and not the file that TensorFlow makes of it for a while"
    made_at = (doubled.path / MANIFEST).stat().st_mtime_ns
    assert (exported().path / MANIFEST).stat().st_mtime_ns == made_at, "it is not made anew"
    layers.write_text(LAYER.format(factor=1000.0))
    assert exported().id != doubled.id
    assert exported("plain.h5").sources == {}, "it has no code of the user's"
