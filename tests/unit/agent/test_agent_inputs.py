"""What goes into a model and what is made of its outputs: golden batches, the error measure, seeded noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from device_agents import inputs
from device_agents.contract import JobSpec, Precision, TensorSpec
from device_agents.errors import DeviceError
from export.judging.parity import compare, relative_error
from tests.jobs import job_spec

COUNT = 8


def spec(batch: int = 1, dtype: str = "float32", shape: tuple[int, ...] = (3, 4, 4), **changes: object) -> JobSpec:
    fields: dict[str, object] = {
        "inputs": (TensorSpec("image", dtype, (batch, *shape), low=-2.0, high=3.0),),
        "outputs": (TensorSpec("scores", "float32", (batch, 5)),),
        "batch": batch,
    }
    return job_spec(**{**fields, **changes})


def golden(outputs: np.ndarray | None = None) -> inputs.Golden:
    images = np.arange(COUNT * 48, dtype=np.float32).reshape(COUNT, 3, 4, 4)
    scores = np.random.default_rng(1).standard_normal((COUNT, 5)).astype(np.float32) if outputs is None else outputs
    return inputs.Golden({"image": images}, {"scores": scores})


class TestGoldenBatches:
    @pytest.mark.parametrize(("batch", "calls"), [(1, 8), (3, 3), (8, 1), (32, 1)])
    def test_hold_every_sample_in_order_and_begin_again_to_fill_the_last(self, batch: int, calls: int) -> None:
        batches = [found["image"] for found in golden().batches(spec(batch))]
        assert [found.shape for found in batches] == [(batch, 3, 4, 4)] * calls
        order = [int(image[0, 0, 0]) // 48 for found in batches for image in found]
        assert order == [index % COUNT for index in range(batch * calls)]

    @pytest.mark.parametrize("dtype", ["float16", "uint8", "float32"])
    def test_have_the_dtype_that_the_model_takes(self, dtype: str) -> None:
        assert golden().batches(spec(2, dtype))[0]["image"].dtype == dtype

    @pytest.mark.parametrize("batch", [1, 3, 8, 32])
    def test_judge_each_sample_once_whatever_the_batch(self, batch: int) -> None:
        """What fills the last batch is computed and not counted."""
        reference = golden().outputs["scores"]
        rows = np.arange(-(-COUNT // batch) * batch) % COUNT
        answers = [{"scores": reference[part] * np.float32(1.01)} for part in rows.reshape(-1, batch)]
        assert golden().compare(answers, 1.0).error == pytest.approx(
            relative_error(reference, reference * np.float32(1.01))
        )

    def test_are_read_by_the_names_of_the_spec(self, tmp_path: Path) -> None:
        path = tmp_path / "golden.npz"
        made = golden()
        np.savez(path, **{"input:image": made.inputs["image"], "output:scores": made.outputs["scores"], "other": 1})
        found = inputs.read_golden(path, spec())
        assert found.count == COUNT
        assert np.array_equal(found.outputs["scores"], made.outputs["scores"])

    def test_of_another_shape_than_the_reference_are_damaged(self) -> None:
        with pytest.raises(DeviceError, match=r"'scores' of the golden samples is \(8, 6\), the reference \(8, 5\)"):
            golden().compare([{"scores": np.zeros((COUNT, 6))}], 1.0)

    def test_without_an_array_are_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "golden.npz"
        np.savez(path, **{"input:image": golden().inputs["image"]})
        with pytest.raises(DeviceError) as caught:
            inputs.read_golden(path, spec())
        assert caught.value.info.code == "artifact_damaged"
        assert "'output:scores'" in caught.value.info.message


class TestTheErrorMeasure:
    @pytest.mark.parametrize("seed", range(5))
    def test_is_the_one_that_exports_are_judged_by(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        reference = random.standard_normal((COUNT, 7, 2)).astype(np.float32) + 5
        output = reference + random.standard_normal(reference.shape).astype(np.float32) * 0.01
        check = golden(reference).compare([{"scores": output}], 1e-3)
        assert check.error == pytest.approx(relative_error(reference, output), rel=1e-12)
        assert not check.passed

    def test_of_equal_outputs_is_zero(self) -> None:
        check = golden().compare([{"scores": golden().outputs["scores"]}], 0.0)
        assert (check.error, check.passed, check.tensor) == (0.0, True, "scores")

    def test_names_the_worst_tensor(self) -> None:
        random = np.random.default_rng(3)
        outputs = {name: random.standard_normal((COUNT, 4)) for name in ("boxes", "masks", "scores")}
        made = inputs.Golden(golden().inputs, outputs)
        off = {**outputs, "masks": outputs["masks"] * 1.5}
        assert made.compare([off], 1e-3).tensor == "masks"

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_of_outputs_that_are_not_finite_is_refused(self, value: float) -> None:
        output = golden().outputs["scores"].copy()
        output[3, 2] = value
        with pytest.raises(DeviceError, match="'scores' has values that are not finite"):
            golden().compare([{"scores": output}], 1e-3)

    def test_without_a_reference_is_a_mistake_and_no_pass(self) -> None:
        with pytest.raises(ValueError, match="no reference"):
            inputs.Golden(golden().inputs, {}).compare([{"scores": golden().outputs["scores"]}], 1.0)

    def test_against_a_reference_without_any_spread_is_refused(self) -> None:
        same = np.ones((COUNT, 5), np.float32)
        with pytest.raises(DeviceError, match="the same for every golden sample"):
            golden(same).compare([{"scores": same}], 1e-3)

    def test_takes_an_output_that_is_always_the_same_for_what_it_is(self) -> None:
        scores, same = golden().outputs["scores"], np.ones((COUNT, 2), np.float32)
        made = inputs.Golden(golden().inputs, {"scores": scores, "flag": same})
        assert made.compare([{"scores": scores, "flag": same}], 1e-3).error == 0.0
        with pytest.raises(DeviceError, match=r"output 'flag': it differs from .* same for every input"):
            made.compare([{"scores": scores, "flag": same * 2}], 1e-3)

    @pytest.mark.parametrize(("precision", "limit"), [("fp32", 0.02), ("fp16", 0.1), ("int8", 0.5)])
    def test_of_whole_numbers_is_the_share_that_differs_as_for_exports(self, precision: str, limit: float) -> None:
        random = np.random.default_rng(5)
        classes, scores = random.integers(0, 1000, (COUNT, 50)), golden().outputs["scores"]
        made = inputs.Golden(golden().inputs, {"classes": classes, "scores": scores}, Precision(precision))
        other = {"classes": classes.astype(np.int32), "scores": scores}
        assert made.compare([other], 1e-3).passed
        other["classes"][0, 0] += 500
        assert made.compare([other], 1e-3).error == compare(made.outputs, other).errors["classes"] == 1 / classes.size
        assert made.compare([other], 1e-3).passed
        other["classes"] += 1
        check = made.compare([other], 1e-3)
        assert (check.tensor, check.limit, check.passed) == ("classes", limit, False)


class TestNoise:
    def test_lies_in_the_input_s_range_and_fills_it(self) -> None:
        (buffer, *_) = inputs.noise(spec(batch=8, shape=(3, 32, 32)), cache_bytes=None)
        assert buffer["image"].shape == (8, 3, 32, 32)
        assert buffer["image"].dtype == np.float32
        assert -2.0 <= buffer["image"].min() < -1.9
        assert 2.9 < buffer["image"].max() <= 3.0

    @pytest.mark.parametrize(
        ("dtype", "low", "high"), [("uint8", 0, 255), ("int64", 0, 30_521), ("int32", -3, 3), ("bool", 0, 1)]
    )
    def test_of_whole_numbers_is_whole_and_takes_both_ends(self, dtype: str, low: int, high: int) -> None:
        tokens = (TensorSpec("image", dtype, (8, 600, 600), low, high),)
        (buffer, *_) = inputs.noise(spec(batch=8, inputs=tokens), cache_bytes=None)
        values, counts = np.unique(buffer["image"], return_counts=True)
        assert buffer["image"].dtype == dtype
        assert (int(values[0]), int(values[-1])) == (low, high)
        assert counts.max() < 2 * counts.mean(), "none comes up more often than the others"

    def test_of_a_range_without_a_whole_number_within_takes_what_is_next_to_it(self) -> None:
        halves = (TensorSpec("image", "int64", (8, 100), 0.25, 2.75),)
        (buffer, *_) = inputs.noise(spec(batch=8, inputs=halves), cache_bytes=None)
        assert set(np.unique(buffer["image"])) == {1, 2}

    def test_differs_from_buffer_to_buffer(self) -> None:
        buffers = [buffer["image"] for buffer in inputs.noise(spec(shape=(3, 32, 32)), cache_bytes=4 << 20)]
        assert len(buffers) > 300
        assert len({buffer.tobytes() for buffer in buffers}) == len(buffers)

    def test_is_the_same_for_the_same_seed_and_another_for_another(self) -> None:
        first, again, other = (inputs.noise(spec(seed=seed), 1 << 20)[0]["image"] for seed in (5, 5, 6))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_of_a_narrow_type_stays_in_its_range(self) -> None:
        pixels = (TensorSpec("image", "uint8", (1, 3, 64, 64), low=0, high=255),)
        values = inputs.noise(spec(inputs=pixels), None)[0]["image"]
        assert values.dtype == np.uint8
        assert len(np.unique(values)) > 200


class TestTheBuffers:
    MB = 1 << 20

    @pytest.mark.parametrize(
        ("size", "cache", "count"),
        [
            (1 * MB, 8 * MB, 9),  # one more than the cache holds
            (100 * MB, 8 * MB, 2),  # never fewer than two
            (1000, 512 * MB, 512),  # never more than 512
            (4 * MB, 1024 * MB, 64),  # nor than 256 MiB
            (1 * MB, None, 65),  # a cache that nobody describes counts as 64 MiB
        ],
    )
    def test_outgrow_the_cache_within_limits(self, size: int, cache: int | None, count: int) -> None:
        assert inputs.buffer_count(False, size, cache) == count

    def test_are_one_when_the_input_is_to_be_hot(self) -> None:
        assert inputs.buffer_count(True, 1000, 1 << 30) == 1
        assert len(inputs.noise(spec(hot_input=True), 1 << 30)) == 1

    @pytest.mark.parametrize("least", [2, 8])
    def test_are_as_many_as_the_load_pattern_needs(self, least: int) -> None:
        """More than the limit of 256 MiB allows, if need be; the same data in each when it is to be hot."""
        assert inputs.buffer_count(False, 200 * self.MB, 1, least) == least
        assert len(inputs.noise(spec(shape=(3, 512, 512)), 1, least)) == max(2, least)
        hot = inputs.noise(spec(hot_input=True), 1 << 30, least)
        assert len(hot) == least
        assert all(np.shares_memory(buffer["image"], hot[0]["image"]) for buffer in hot)


def write(path: Path, **arrays: object) -> Path:
    np.savez(path, **{name.replace("__", ":"): np.asarray(array) for name, array in arrays.items()})
    return path


class TestTheOperatorsData:
    IMAGES = np.random.default_rng(2).uniform(-2, 3, (5, 3, 4, 4)).astype(np.float32)
    SCORES = np.random.default_rng(4).standard_normal((5, 5)).astype(np.float32)

    def test_is_read_with_the_reference_that_it_has(self, tmp_path: Path) -> None:
        path = write(tmp_path / "data.npz", input__image=self.IMAGES, output__scores=self.SCORES)
        found = inputs.read_data(path, spec())
        assert found.count == 5
        assert np.array_equal(found.inputs["image"], self.IMAGES)
        assert found.compare([{"scores": self.SCORES}], 0.0).passed
        assert inputs.read_data(write(tmp_path / "bare.npz", input__image=self.IMAGES), spec()).outputs == {}

    @pytest.mark.parametrize(
        ("arrays", "dtype", "what"),
        [
            ({"output__scores": SCORES}, "float32", "no array 'input:image'"),
            ({"input__image": IMAGES[:, :, :3]}, "float32", "samples of (3, 4, 4)"),
            ({"input__image": IMAGES[0]}, "float32", "samples of (3, 4, 4)"),
            ({"input__image": IMAGES[:0]}, "float32", "samples of (3, 4, 4)"),
            ({"input__image": IMAGES, "output__scores": SCORES[:4]}, "float32", "output 'scores'"),
            ({"input__image": IMAGES * 1e5}, "float16", "float32 that float16 cannot hold"),
            ({"input__image": np.where(IMAGES > 2.9, np.nan, IMAGES)}, "float32", "cannot hold"),
            ({"input__image": (IMAGES * 9).astype(np.uint8)}, "float32", "uint8 that float32 cannot hold"),
            ({"input__image": IMAGES}, "uint8", "float32 that uint8 cannot hold"),
            ({"input__image": np.full((2, 3, 4, 4), 256)}, "uint8", "int64 that uint8 cannot hold"),
        ],
    )
    def test_that_is_not_the_models_is_refused(
        self, tmp_path: Path, arrays: dict[str, object], dtype: str, what: str
    ) -> None:
        with pytest.raises(DeviceError) as caught:
            inputs.read_data(write(tmp_path / "data.npz", **arrays), spec(1, dtype))
        assert caught.value.info.code == "artifact_damaged"
        assert what in caught.value.info.message

    def test_has_whole_numbers_for_a_reference_where_the_model_gives_those(self, tmp_path: Path) -> None:
        """The operator's side ships every reference as floats, and the type says how an output is judged."""
        whole = spec(outputs=(TensorSpec("scores", "int64", (1, 5)),), precision=Precision.FP16)
        classes = np.float32([[1, 2, 3, 4, number] for number in range(5)])
        path = write(tmp_path / "data.npz", input__image=self.IMAGES, output__scores=classes)
        found = inputs.read_data(path, whole)
        assert (found.outputs["scores"].dtype, found.precision) == (np.int64, Precision.FP16)
        assert found.compare([{"scores": classes + 100 * np.eye(5)}], 1e-3).error == 0.2
        path = write(tmp_path / "data.npz", input__image=self.IMAGES, output__scores=classes + 0.5)
        assert inputs.read_data(path, whole).outputs["scores"].dtype == np.float32

    @pytest.mark.parametrize("kind", ["float16", "float64"])
    def test_may_be_rounded(self, tmp_path: Path, kind: str) -> None:
        path = write(tmp_path / "data.npz", input__image=self.IMAGES.astype(kind))
        (batch, *_) = inputs.read_data(path, spec(2, "float16")).batches(spec(2, "float16"))
        assert batch["image"].dtype == np.float16
        assert np.array_equal(batch["image"], self.IMAGES[:2].astype(kind).astype(np.float16))

    @pytest.mark.parametrize("batch", [1, 2, 5, 8])
    def test_is_timed_in_rotation_until_it_outgrows_the_cache(self, batch: int) -> None:
        data = inputs.Golden({"image": self.IMAGES}, {})
        size, cache = batch * 48 * 4, 64 * 48 * 4
        buffers = inputs.data_buffers(data, spec(batch), cache)
        assert len(buffers) * size > cache
        samples = np.concatenate([buffer["image"] for buffer in buffers])
        calls = -(-5 // batch)
        order = np.arange(len(samples)) % (calls * batch) % 5
        assert np.array_equal(samples, self.IMAGES[order])
        assert not any(np.shares_memory(one["image"], buffers[0]["image"]) for one in buffers[1:])

    def test_is_timed_whole_when_it_is_more_than_the_cache(self) -> None:
        data = inputs.Golden({"image": np.repeat(self.IMAGES, 20, axis=0)}, {})
        assert len(inputs.data_buffers(data, spec(), cache_bytes=100)) == 100
        assert len(inputs.data_buffers(data, spec(hot_input=True), 100)) == 1
        assert len(inputs.data_buffers(data, spec(hot_input=True), 100, least=4)) == 4

    def test_of_many_samples_is_timed_as_far_as_the_limit_reaches(self) -> None:
        data = inputs.Golden({"image": np.zeros((600, 3, 4, 4), np.float32)}, {})
        assert len(inputs.data_buffers(data, spec(), 100)) == 512
        assert len(data.batches(spec())) == 600
