"""The operator's own inputs: what is taken, what is refused and how it is said, and where the reference comes from."""

from __future__ import annotations

import io
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device_agents.contract import FileEntry, Precision, TensorSpec
from edge.planning import data_files
from edge.planning.data import fingerprint, prepare
from edge.planning.data_files import read
from export.artifact import Artifact, Format, GraphFacts, NotChecked, Store, hash_files
from export.data import golden
from profiles.errors import ConfigError
from profiles.schema import ImageInput

IMAGE = ImageInput(shape=(3, 4, 6))
IMAGES = (TensorSpec("images", "float32", ("batch", 3, 4, 6)),)
LOGITS = (TensorSpec("logits", "float32", ("batch", 2)),)
RANDOM = np.random.default_rng(1)
PIXELS = RANDOM.normal(size=(5, 3, 4, 6)).astype(np.float32)
SCORES = RANDOM.normal(size=(5, 2)).astype(np.float32)


def npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **{name.replace("__", ":"): np.asarray(array) for name, array in arrays.items()})
    return path


class TestAnNpz:
    @pytest.mark.parametrize("key", ["input__images", "images", "anything"])
    def test_names_its_arrays_by_the_inputs_unless_there_is_one_of_each(self, tmp_path: Path, key: str) -> None:
        data = read(npz(tmp_path / "a.npz", **{key: PIXELS}), IMAGES, LOGITS)
        assert np.array_equal(data.inputs["images"], PIXELS)
        assert data.outputs == {}
        assert data.count == 5

    def test_may_bring_its_own_reference(self, tmp_path: Path) -> None:
        data = read(npz(tmp_path / "a.npz", only=PIXELS, output__logits=SCORES.astype(np.float64)), IMAGES, LOGITS)
        assert np.array_equal(data.outputs["logits"], SCORES)
        assert data.outputs["logits"].dtype == np.float32

    @pytest.mark.parametrize("dtype", ["float16", "float64"])
    def test_of_another_float_type_is_rounded_to_what_every_precision_starts_from(
        self, tmp_path: Path, dtype: str
    ) -> None:
        data = read(npz(tmp_path / "a.npz", images=PIXELS.astype(dtype)), IMAGES, LOGITS)
        assert data.inputs["images"].dtype == np.float32
        assert np.array_equal(data.inputs["images"], PIXELS.astype(dtype).astype(np.float32))

    def test_of_whole_numbers_fits_a_model_that_takes_them(self, tmp_path: Path) -> None:
        bytes_in = (TensorSpec("images", "uint8", ("batch", 3)),)
        data = read(npz(tmp_path / "a.npz", images=np.arange(6, dtype=np.int64).reshape(2, 3)), bytes_in, LOGITS)
        assert data.inputs["images"].dtype == np.uint8

    @pytest.mark.parametrize(
        ("arrays", "said"),
        [
            ({"images": PIXELS[0]}, "input 'images' has the shape (3, 4, 6)"),
            ({"images": PIXELS.transpose(0, 2, 3, 1)}, "the model's is (samples, 3, 4, 6)"),
            ({"images": PIXELS[:0]}, "input 'images' has no samples"),
            ({"pictures": PIXELS, "labels": SCORES}, "no array for the model's input 'images' (there is 'pictures', "),
            ({"input__image": PIXELS}, "no input of array 'input:image'; it has: images"),
            ({"images": PIXELS, "output__scores": SCORES}, "no output of array 'output:scores'; it has: logits"),
            ({"output__logits": SCORES}, "no array for the model's input 'images'"),
            ({}, "no array for the model's input 'images' (there is nothing)"),
            ({"images": (PIXELS * 9).astype(np.uint8)}, "holds uint8, the model takes float32; scale and normalise"),
            ({"images": PIXELS.astype("U3")}, "holds <U3, the model takes float32"),
            ({"images": np.where(PIXELS > 2, np.nan, PIXELS)}, "input 'images' has values that are not finite"),
            ({"images": PIXELS.astype(np.float64) * 1e300}, "input 'images' has values that are not finite"),
            ({"images": PIXELS, "output__logits": SCORES[:4]}, "unlike numbers of samples (5 of images, 4 of logits)"),
            ({"images": PIXELS, "output__logits": SCORES[:, :1]}, "output 'logits' has the shape (5, 1)"),
            ({"images": PIXELS, "output__logits": SCORES * np.inf}, "output 'logits' has values that are not finite"),
            ({"images": PIXELS, "output__logits": np.full((5, 2), "a")}, "output 'logits' holds <U1, no numbers"),
        ],
    )
    def test_that_does_not_fit_is_refused_in_one_sentence(
        self, tmp_path: Path, arrays: dict[str, object], said: str
    ) -> None:
        path = npz(tmp_path / "a.npz", **arrays)
        with pytest.raises(ConfigError, match=re.escape(said)) as caught:
            read(path, IMAGES, LOGITS)
        assert "a.npz" in caught.value.where
        assert "\n" not in str(caught.value)

    def test_beyond_the_range_of_an_fp16_model_is_refused(self, tmp_path: Path) -> None:
        half = (replace(IMAGES[0], dtype="float16"),)
        assert read(npz(tmp_path / "a.npz", images=PIXELS), half, LOGITS).inputs["images"].dtype == np.float32
        with pytest.raises(ConfigError, match="beyond 65504, the largest float16"):
            read(npz(tmp_path / "b.npz", images=PIXELS * 1e6), half, LOGITS)

    @pytest.mark.parametrize(
        ("dtype", "values", "said"),
        [
            ("uint8", [[300]], "values that uint8 cannot hold"),
            ("uint8", [[1.5]], "holds float64, the model takes uint8"),
            ("bool", [[2]], "holds int64, the model takes bool"),
        ],
    )
    def test_that_would_lose_its_meaning_in_a_cast_is_refused(
        self, tmp_path: Path, dtype: str, values: object, said: str
    ) -> None:
        with pytest.raises(ConfigError, match=said):
            read(npz(tmp_path / "a.npz", x=values), (TensorSpec("x", dtype, ("batch", 1)),), LOGITS)

    @pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 torn"])
    def test_that_is_damaged_says_so(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.npz"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="not an array file that numpy reads"):
            read(path, IMAGES, LOGITS)

    @pytest.mark.parametrize("name", ["a.npy", "a.npz"])
    def test_that_says_it_is_larger_than_any_memory_says_so(self, tmp_path: Path, name: str) -> None:
        told = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            told, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 3, 400, 600)}
        )
        if name.endswith("y"):
            (tmp_path / name).write_bytes(told.getvalue())
        else:
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                archive.writestr("images.npy", told.getvalue())
        with pytest.raises(ConfigError, match="not an array file that numpy reads"):
            read(tmp_path, IMAGES, LOGITS)

    def test_that_holds_other_files_too_is_read_without_them(self, tmp_path: Path) -> None:
        path = npz(tmp_path / "a.npz", images=PIXELS)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("README", "cats")
        assert read(path, IMAGES, LOGITS).count == 5
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("images", "no array")
        with pytest.raises(ConfigError, match="there is nothing"):
            read(path, IMAGES, LOGITS)

    def test_with_pickled_objects_is_not_opened(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npz"
        np.savez(path, images=np.array([{"run": "me"}], dtype=object))
        with pytest.raises(ConfigError, match="not an array file that numpy reads"):
            read(path, IMAGES, LOGITS)

    def test_that_unpacks_to_more_than_a_device_should_get_is_not_unpacked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data_files, "_MAX_BYTES", 1 << 20)
        path = tmp_path / "bomb.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", bytes(5 << 20))
        assert path.stat().st_size < 1 << 20
        with pytest.raises(ConfigError, match="too large to be sent to devices"):
            read(path, IMAGES, LOGITS)


class TestAFolder:
    def test_of_arrays_is_joined_in_the_order_of_the_names(self, tmp_path: Path) -> None:
        np.save(tmp_path / "b.npy", PIXELS[1:4])
        np.save(tmp_path / "a.npy", PIXELS[0])
        with (tmp_path / "c.NPY").open("wb") as stream:
            np.save(stream, PIXELS[4])
        (tmp_path / ".hidden.npy").write_bytes(b"junk")
        (tmp_path / "labels.csv").write_text("cat\n")
        assert np.array_equal(read(tmp_path, IMAGES, LOGITS).inputs["images"], PIXELS)

    def test_of_npz_files_takes_one_sample_or_several_with_their_references(self, tmp_path: Path) -> None:
        npz(tmp_path / "1.npz", images=PIXELS[0], output__logits=SCORES[0])
        npz(tmp_path / "2.npz", images=PIXELS[1:], output__logits=SCORES[1:])
        data = read(tmp_path, IMAGES, LOGITS)
        assert np.array_equal(data.inputs["images"], PIXELS)
        assert np.array_equal(data.outputs["logits"], SCORES)

    def test_with_a_reference_in_some_files_only_is_refused(self, tmp_path: Path) -> None:
        npz(tmp_path / "1.npz", images=PIXELS[0], output__logits=SCORES[0])
        npz(tmp_path / "2.npz", images=PIXELS[1:])
        with pytest.raises(ConfigError, match="output:logits is in some files and not in others"):
            read(tmp_path, IMAGES, LOGITS)

    def test_that_holds_nothing_or_both_kinds_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"no \.npy, \.npz, \.jpg"):
            fingerprint(tmp_path)
        np.save(tmp_path / "a.npy", PIXELS)
        (tmp_path / "b.png").write_bytes(b"")
        with pytest.raises(ConfigError, match=r"arrays \(a.npy\) and images \(b.png\)"):
            fingerprint(tmp_path)

    def test_of_folders_is_told_to_name_one(self, tmp_path: Path) -> None:
        (tmp_path / "cats").mkdir()
        np.save(tmp_path / "cats" / "a.npy", PIXELS)
        with pytest.raises(ConfigError, match="folders within are not looked at"):
            fingerprint(tmp_path)

    def test_of_nameless_arrays_fits_no_model_of_two_inputs(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", PIXELS)
        with pytest.raises(ConfigError, match=r"\(there is one without a name\); name .* 'images' in an \.npz"):
            read(tmp_path, (*IMAGES, replace(IMAGES[0], name="more")), LOGITS)

    def test_that_is_too_large_is_refused_before_it_is_hashed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a.npy", "b.npy"):
            with (tmp_path / name).open("wb") as stream:
                stream.truncate(3 << 29)
        monkeypatch.setattr(data_files, "sha256_file", lambda _: pytest.fail("3 GiB were hashed"))
        with pytest.raises(ConfigError, match="too large to be sent to devices"):
            fingerprint(tmp_path)

    def test_whose_files_unpack_to_too_much_together_is_not_read_to_its_end(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(data_files, "_MAX_BYTES", 5000)
        for name in ("1.npz", "2.npz"):
            np.savez_compressed(tmp_path / name, images=np.zeros((10, 3, 4, 6), np.float32))
        (tmp_path / "3.npz").write_bytes(b"never opened")
        with pytest.raises(ConfigError, match="too large to be sent to devices"):
            read(tmp_path, IMAGES, LOGITS)

    def test_that_cannot_be_opened_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"it cannot be read \(File name too long\)"):
            fingerprint(Path("x" * 300 + ".npz"))
        os.mkfifo(tmp_path / "pipe.npz")
        with pytest.raises(ConfigError, match="neither"):
            fingerprint(tmp_path / "pipe.npz")

    def test_that_is_not_there_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no such file or folder"):
            fingerprint(tmp_path / "nowhere.npz")
        (tmp_path / "notes.txt").write_text("")
        with pytest.raises(ConfigError, match=r"neither an \.npz file nor a folder"):
            fingerprint(tmp_path / "notes.txt")


class TestImages:
    Image = pytest.importorskip("PIL.Image", reason="images are read by Pillow")

    def test_are_normalised_as_the_profile_says(self, tmp_path: Path) -> None:
        """Of the model's size already, a lossless image comes through to the last bit."""
        pixels = RANDOM.integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
        for index, image in enumerate(pixels):
            self.Image.fromarray(image).save(tmp_path / f"{index}.png")
        found = read(tmp_path, IMAGES, LOGITS, IMAGE).inputs["images"]
        mean, std = np.array(IMAGE.mean), np.array(IMAGE.std)
        wanted = ((pixels / 255.0 - mean) / std).transpose(0, 3, 1, 2)
        assert found.dtype == np.float32
        assert np.allclose(found, wanted, atol=1e-6)
        assert not np.allclose(found[:, ::-1], wanted, atol=0.1)

    def test_are_resized_whole_turned_upright_and_made_rgb(self, tmp_path: Path) -> None:
        """A grey image, lying on its side, left half black: upright its upper half is."""
        grey = np.zeros((60, 40), np.uint8)
        grey[:, 20:] = 255
        exif = self.Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
        self.Image.fromarray(grey).save(tmp_path / "a.jpg", exif=exif, quality=100)
        (found,) = read(tmp_path, IMAGES, LOGITS, IMAGE).inputs["images"]
        low = (0 - np.array(IMAGE.mean)) / np.array(IMAGE.std)
        assert found.shape == (3, 4, 6)
        assert np.allclose(found[:, 0], low[:, None], atol=0.2)
        assert (found[:, 3] > 1.5).all()

    def test_of_more_than_8_bits_are_refused_not_clipped(self, tmp_path: Path) -> None:
        """Pillow makes every value above 255 of a 16-bit image white, without a word."""
        self.Image.fromarray(np.full((4, 6), 30_000, np.uint16)).save(tmp_path / "a.png")
        with pytest.raises(ConfigError, match="more than 8 bits a channel; give arrays") as caught:
            read(tmp_path, IMAGES, LOGITS, IMAGE)
        assert caught.value.where.endswith("a.png")

    def test_are_resized_smoothly_and_counted_at_the_model_s_size(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A fine chequerboard becomes grey; a camera's files may be larger than what is made of them."""
        board = np.indices((64, 96)).sum(axis=0) % 2 * 255
        self.Image.fromarray(board.astype(np.uint8)).save(tmp_path / "a.png", compress_level=0)
        monkeypatch.setattr(data_files, "_MAX_BYTES", 4 * 3 * 4 * 6)
        assert len(fingerprint(tmp_path)) == 64
        grey = read(tmp_path, IMAGES, LOGITS, IMAGE).inputs["images"] * np.array(IMAGE.std)[:, None, None]
        assert np.allclose(grey + np.array(IMAGE.mean)[:, None, None], 0.5, atol=0.05)

    def test_of_a_model_without_a_profile_are_refused(self, tmp_path: Path) -> None:
        self.Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
        with pytest.raises(ConfigError, match="no model profile says how this model wants its images"):
            read(tmp_path, IMAGES, LOGITS)

    def test_that_are_none_are_named(self, tmp_path: Path) -> None:
        self.Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
        (tmp_path / "b.png").write_bytes(b"GIF89a")
        with pytest.raises(ConfigError, match="not an image that Pillow reads") as caught:
            read(tmp_path, IMAGES, LOGITS, IMAGE)
        assert caught.value.where.endswith("b.png")

    def test_without_pillow_say_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import importlib.util

        self.Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
        there = importlib.util.find_spec
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "PIL" else there(name))
        with pytest.raises(ConfigError, match="needs Pillow; pip install pillow"):
            read(tmp_path, IMAGES, LOGITS, IMAGE)


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    one = npz(tmp_path / "one.npz", images=PIXELS)
    two = npz(tmp_path / "two.npz", images=PIXELS)
    three = npz(tmp_path / "three.npz", images=PIXELS + 1)
    assert fingerprint(one) == fingerprint(two) != fingerprint(three)
    before = fingerprint(tmp_path)
    (tmp_path / "notes.md").write_text("not used")
    assert fingerprint(tmp_path) == before
    three.rename(tmp_path / "0.npz")  # another order is other data
    assert fingerprint(tmp_path) != before


WEIGHTS = RANDOM.normal(size=(72, 2)).astype(np.float32)


def export(folder: Path, *, broken: bool = False) -> Artifact:
    """An artifact that multiplies the flattened image by WEIGHTS; a broken one has a node that no runtime knows."""
    onnx = pytest.importorskip("onnx", reason="the reference is computed by a graph")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"]),
            helper.make_node("NoSuchThing" if broken else "MatMul", ["flat", "w"], ["logits"]),
        ],
        "net",
        [helper.make_tensor_value_info("images", floats, ["batch", 3, 4, 6])],
        [helper.make_tensor_value_info("logits", floats, ["batch", 2])],
        [onnx.numpy_helper.from_array(WEIGHTS, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    files = hash_files(folder)
    return Artifact(
        id="0" * 60 + folder.name[:4], path=folder, model="net", framework="onnx", format=Format.ONNX,
        precision=Precision.FP32, weights="random", batch="batch", inputs=IMAGES, outputs=LOGITS,
        model_file="model.onnx", files=files, parity=NotChecked("a test"), graph=GraphFacts(1, 1, 2, 0, 17),
    )  # fmt: skip


class TestTheReference:
    def test_is_what_came_with_the_data_even_where_the_export_says_otherwise(self, tmp_path: Path) -> None:
        model, store = export(tmp_path / "fp32"), Store(tmp_path / "store")
        path = npz(tmp_path / "a.npz", images=PIXELS, output__logits=SCORES)
        made = prepare(path, model, store, fp32=model)
        assert made.used == replace(made.used, reference="given with the data", checked=True, samples=5)
        _, outputs = golden.load(made.folder / made.data.file.name)
        assert np.array_equal(outputs["logits"], SCORES)

    @pytest.mark.parametrize("count", [2, 21])  # 21: in batches of eight
    def test_is_else_the_answer_of_the_fp32_export(self, tmp_path: Path, count: int) -> None:
        pytest.importorskip("onnxruntime", reason="it runs the export")
        model, store = export(tmp_path / "fp32"), Store(tmp_path / "store")
        pixels = RANDOM.normal(size=(count, 3, 4, 6)).astype(np.float32)
        half = replace(model, precision=Precision.FP16, inputs=(replace(IMAGES[0], dtype="float16"),))
        made = prepare(npz(tmp_path / "a.npz", images=pixels), half, store, fp32=model)
        assert made.used.checked
        assert re.match(r"the FP32 export 0+ in onnxruntime \d+\.\d+.* on the operator's machine", made.used.reference)
        inputs, outputs = golden.load(made.folder / made.data.file.name)
        assert np.array_equal(inputs["images"], pixels)
        assert np.allclose(outputs["logits"], pixels.reshape(count, -1) @ WEIGHTS, atol=1e-4)

    def test_is_missing_and_said_to_be_where_nobody_can_answer(self, tmp_path: Path) -> None:
        pytest.importorskip("onnxruntime", reason="it refuses the broken export")
        store, path = Store(tmp_path / "store"), npz(tmp_path / "a.npz", images=PIXELS)
        model = export(tmp_path / "fine")
        bare = prepare(path, model, store)
        assert (bare.used.checked, bare.used.reference) == (False, "none: there is no FP32 export of this model to ask")
        broken = prepare(path, model, store, fp32=export(tmp_path / "bad", broken=True))
        assert not broken.used.checked
        assert broken.used.reference.startswith("none: the FP32 export gave no answer (onnxruntime does not run")
        assert golden.load(broken.folder / "inputs.npz")[1] == {}

    def test_that_is_not_finite_is_none(self, tmp_path: Path) -> None:
        pytest.importorskip("onnxruntime", reason="it runs the export")
        model, store = export(tmp_path / "fp32"), Store(tmp_path / "store")
        made = prepare(npz(tmp_path / "a.npz", images=np.sign(PIXELS) * 3e38), model, store, fp32=model)
        assert made.used.reference == "none: the FP32 export answers with values that are not finite"
        assert not made.used.checked

    @pytest.mark.parametrize("count", [1, 3])
    def test_without_any_spread_is_none(self, tmp_path: Path, count: int) -> None:
        """One sample, or the same one again: the error measure is relative to the spread over the samples."""
        same = np.repeat(SCORES[:1], count, axis=0)
        path = npz(tmp_path / "a.npz", images=PIXELS[:count], output__logits=same)
        made = prepare(path, export(tmp_path / "fp32"), Store(tmp_path / "store"))
        assert not made.used.checked
        assert made.used.reference.endswith("so an error has no scale")

    def test_leaves_out_the_output_without_any_spread_and_says_which(self, tmp_path: Path) -> None:
        model = replace(export(tmp_path / "fp32"), outputs=(*LOGITS, TensorSpec("flag", "float32", ("batch", 1))))
        path = npz(tmp_path / "a.npz", images=PIXELS, output__logits=SCORES, output__flag=np.ones((5, 1)))
        made = prepare(path, model, Store(tmp_path / "store"))
        assert made.used.checked
        assert made.used.reference == "given with the data; not compared, as it is the same for all samples: flag"
        assert list(golden.load(made.folder / made.data.file.name)[1]) == ["logits"]


class TestWhatIsShipped:
    def test_is_prepared_once_and_named_by_its_content(self, tmp_path: Path) -> None:
        model, store = export(tmp_path / "fp32"), Store(tmp_path / "store")
        path = npz(tmp_path / "a.npz", images=PIXELS, output__logits=SCORES)
        first = prepare(path, model, store)
        stamp = (first.folder / "inputs.npz").stat().st_mtime_ns
        assert prepare(path, model, store) == first
        assert (first.folder / "inputs.npz").stat().st_mtime_ns == stamp
        assert first.used.sha256 == fingerprint(path)
        assert first.files == (first.data.file,)
        other = prepare(npz(tmp_path / "b.npz", images=PIXELS + 1, output__logits=SCORES), model, store)
        assert other.data.artifact != first.data.artifact
        assert other.folder != first.folder

    def test_is_prepared_anew_for_another_normalisation(self, tmp_path: Path) -> None:
        image = pytest.importorskip("PIL.Image", reason="images are read by Pillow")
        (tmp_path / "photos").mkdir()
        image.new("RGB", (6, 4)).save(tmp_path / "photos" / "a.png")
        model, store = export(tmp_path / "fp32"), Store(tmp_path / "store")
        made = [
            prepare(tmp_path / "photos", model, store, image=each) for each in (IMAGE, replace(IMAGE, std=(1, 1, 1)))
        ]
        assert made[0].data.artifact != made[1].data.artifact

    def test_is_what_the_device_reads(self, tmp_path: Path) -> None:
        from device_agents.contract import JobSpec
        from device_agents.inputs import read_data

        model, store = export(tmp_path / "fp32"), Store(tmp_path / "store")
        made = prepare(npz(tmp_path / "a.npz", x=PIXELS, output__logits=SCORES), model, store)
        spec = JobSpec(
            schema=1, job="job-0001", backend="onnxruntime", artifact="tiny-0001",
            files=(FileEntry("model.onnx", 1, "0" * 64),), model_file="model.onnx", precision=Precision.FP16,
            inputs=(replace(IMAGES[0], dtype="float16").at_batch(2),), outputs=(LOGITS[0].at_batch(2),), batch=2,
            data=made.data,
        )  # fmt: skip
        found = read_data(made.folder / made.data.file.name, spec)
        assert (found.count, set(found.outputs)) == (5, {"logits"})

    def test_that_was_damaged_is_said(self, tmp_path: Path) -> None:
        model, store = export(tmp_path / "fp32"), Store(tmp_path / "store")
        path = npz(tmp_path / "a.npz", images=PIXELS, output__logits=SCORES)
        made = prepare(path, model, store)
        (made.folder / "inputs.json").write_text("{")
        with pytest.raises(ConfigError, match="the prepared data is damaged"):
            prepare(path, model, store)
