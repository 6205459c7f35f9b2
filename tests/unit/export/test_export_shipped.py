"""What is shipped of large golden data: little, and enough for the device to find what the gate finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents import inputs
from device_agents.contract import JobSpec, TensorSpec
from device_agents.errors import DeviceError
from export.data import golden, shipped
from export.judging import parity
from profiles.errors import ExportError
from profiles.schema import ImageInput
from tests.jobs import job_spec

IMAGES = golden.images(ImageInput("x", (3, 40, 48)))
RANDOM = np.random.default_rng(4)
MAPS = RANDOM.normal(size=(8, 21, 40, 48)).astype(np.float32)
SCORES = RANDOM.normal(size=(8, 10)).astype(np.float32)
ROOM = 200_000  # of 1.5 MB


def spec(batch: int = 1, **outputs: tuple[Any, ...]) -> JobSpec:
    specs = tuple(TensorSpec(name, "float32", (batch, *shape)) for name, shape in outputs.items())
    return job_spec(inputs=(TensorSpec("x", "float32", (batch, 3, 40, 48)),), outputs=specs, batch=batch)


SPEC = spec(maps=(21, 40, 48), scores=(10,))


def read(folder: Path, outputs: golden.Arrays, asked: JobSpec = SPEC, room: int = ROOM) -> inputs.Golden:
    assert shipped.save(folder / "golden.npz", {"x": IMAGES}, outputs, room=room)
    return inputs.read_golden(folder / "golden.npz", asked)


def error(found: inputs.Golden, name: str, outputs: golden.Arrays) -> float:
    """On the device, of these outputs to all samples."""
    check = found.compare([{one: array[: found.count] for one, array in outputs.items()}], 1e-9)
    assert check.tensor == name
    return check.error


def test_what_fits_is_shipped_whole(tmp_path: Path) -> None:
    assert not shipped.save(tmp_path / "golden.npz", {"x": IMAGES}, {"maps": MAPS}, room=2_000_000)
    given, outputs = golden.load(tmp_path / "golden.npz")
    assert np.array_equal(given["x"], IMAGES)
    assert np.array_equal(outputs["maps"], MAPS)


def test_a_file_is_as_large_as_its_room_but_for_the_least_that_is_shipped(tmp_path: Path) -> None:
    maps = RANDOM.normal(size=(8, 21, 160, 160)).astype(np.float32)
    images = golden.images(ImageInput("x", (3, 160, 160)))
    assert shipped.save(tmp_path / "golden.npz", {"x": images}, {"maps": maps}, room=4 << 20)
    assert (tmp_path / "golden.npz").stat().st_size < 4.2 * (1 << 20)
    with np.load(tmp_path / "golden.npz") as found:
        assert len(found["input:x"]) == 8
        assert np.array_equal(found["input:x"].astype(np.float32), images)


def test_two_samples_are_the_fewest_and_go_in_batches_of_any_size(tmp_path: Path) -> None:
    found = read(tmp_path, {"maps": MAPS, "scores": SCORES}, room=1000)
    assert found.count == 2
    for batch in (1, 2, 3, 8):
        batches = found.batches(spec(batch, maps=(21, 40, 48), scores=(10,)))
        assert np.array_equal(np.concatenate([one["x"] for one in batches])[:2], IMAGES[:2])
        assert batches[0]["x"].shape[0] == batch
        assert batches[0]["x"].dtype == np.float32


@pytest.mark.parametrize("room", [1000, ROOM, 800_000])
def test_the_device_measures_what_the_gate_measured_with_however_little(tmp_path: Path, room: int) -> None:
    """Two samples alone are less apart than eight: relative to their spread an error would be 1.3 times as large."""
    off = MAPS + RANDOM.normal(size=MAPS.shape).astype(np.float32) * np.float32(0.01)
    found = read(tmp_path, {"maps": MAPS, "scores": SCORES}, room=room)
    assert error(found, "maps", {"maps": off, "scores": SCORES}) == pytest.approx(
        parity.relative_error(MAPS, off), rel=0.02
    )


def test_one_wrong_row_column_or_channel_is_found(tmp_path: Path) -> None:
    found = read(tmp_path, {"maps": MAPS, "scores": SCORES})
    for place in (np.s_[:, 3], np.s_[:, :, 7], np.s_[:, :, :, 11]):
        off = MAPS.copy()
        off[place] = 0
        assert error(found, "maps", {"maps": off, "scores": SCORES}) > 0.05


def test_a_small_output_is_whole(tmp_path: Path) -> None:
    off = SCORES.copy()
    off[0, 7] += 1
    assert error(read(tmp_path, {"maps": MAPS, "scores": SCORES}), "scores", {"maps": MAPS, "scores": off}) > 0.05


def test_classes_that_the_samples_kept_have_in_common_are_judged_all_the_same(tmp_path: Path) -> None:
    classes = np.repeat(RANDOM.integers(0, 21, (1, 40, 48), dtype=np.int64), 8, axis=0)
    classes[7] += 1
    found = read(tmp_path, {"maps": classes}, spec(maps=(40, 48)), room=1000)
    assert error(found, "maps", {"maps": classes}) == 0.0
    assert error(found, "maps", {"maps": classes + 1}) == 1.0


def test_outputs_of_another_shape_are_refused(tmp_path: Path) -> None:
    found = read(tmp_path, {"maps": MAPS, "scores": SCORES})
    turned = {"maps": MAPS[:, :, ::2, ::2], "scores": SCORES}
    with pytest.raises(DeviceError, match=r"\(8, 21, 20, 24\), the reference \(8, 21, 40, 48\)"):
        error(found, "maps", turned)


def test_what_a_job_leaves_free_is_as_the_whole_reference_has_it(tmp_path: Path) -> None:
    free = spec(2, maps=(21, "height", "width"), scores=(10,))
    settled = read(tmp_path, {"maps": MAPS, "scores": SCORES}, free).settled(free)
    assert [one.shape for one in settled.outputs] == [(2, 21, 40, 48), (2, 10)]


def test_of_a_detector_the_samples_with_boxes_are_kept_and_whole(tmp_path: Path) -> None:
    scores = np.zeros((8, 30), np.float32)
    scores[[3, 6], :5] = 0.9
    boxes = np.tile(np.float32([1, 1, 9, 9]), (8, 30, 1))
    outputs = {"boxes": boxes, "scores": scores, "labels": np.ones((8, 30), np.int64)}
    assert shipped.save(tmp_path / "golden.npz", {"x": IMAGES}, outputs, room=1000, whole=True)
    found = inputs.read_golden(tmp_path / "golden.npz", spec(boxes=(30, 4), scores=(30,), labels=(30,)))
    assert np.array_equal(found.inputs["x"].astype(np.float32), IMAGES[[3, 6]])
    assert found.compare([{name: array[[3, 6]] for name, array in outputs.items()}], 1e-3, "detection").passed


def test_a_part_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    shipped.save(tmp_path / "golden.npz", {"x": IMAGES}, {"maps": MAPS}, room=ROOM)
    with pytest.raises(ExportError, match=r"a part of the outputs.*--fresh"):
        golden.load(tmp_path / "golden.npz")
