"""Golden images: the same everywhere, exact in FP16, and unlike their mirror images."""

from pathlib import Path

import numpy as np
import pytest

from export.data import golden
from profiles.schema import ImageInput

SPEC = ImageInput(shape=(3, 64, 48))


def test_images_lie_in_the_models_range_and_on_the_float16_grid() -> None:
    images = golden.images(SPEC)
    assert images.shape == (8, 3, 64, 48)
    assert images.dtype == np.float32
    assert SPEC.low <= images.min() < images.max() <= SPEC.high
    assert np.array_equal(images, images.astype(np.float16).astype(np.float32))


def test_the_same_seed_gives_the_same_images_and_another_seed_others() -> None:
    assert np.array_equal(golden.images(SPEC), golden.images(SPEC))
    assert not np.array_equal(golden.images(SPEC), golden.images(SPEC, seed=1))


@pytest.mark.parametrize("change", [lambda x: x[:, ::-1], lambda x: x[..., ::-1], lambda x: x[..., ::-1, :]])
def test_no_swap_or_mirror_image_is_like_the_image(change) -> None:
    images = golden.images(ImageInput(shape=(3, 64, 64)))
    difference = np.linalg.norm(images - change(images)) / np.linalg.norm(images - images.mean())
    assert difference > 0.5
    assert np.linalg.norm(images - images.transpose(0, 1, 3, 2)) / np.linalg.norm(images - images.mean()) > 0.5


@pytest.mark.parametrize("batch", [None, 1, 3, 8, 20])
def test_any_batch_size_gives_every_sample_its_own_output(batch: int | None) -> None:
    values = np.arange(8, dtype=np.float32)[:, None]
    sizes = []

    def double(feed: golden.Arrays) -> golden.Arrays:
        sizes.append(len(feed["x"]))
        return {"y": feed["x"] * 2}

    assert np.array_equal(golden.in_batches(double, {"x": values}, batch)["y"], values * 2)
    assert set(sizes) == {batch or 8}


def test_equal_arrays_are_stored_as_equal_bytes(tmp_path: Path) -> None:
    images = golden.images(SPEC)
    for name in ("a", "b"):
        golden.save(tmp_path / name, {"images": images}, {"logits": images[:, 0, 0]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    inputs, outputs = golden.load(tmp_path / "a")
    assert np.array_equal(inputs["images"], images)
    assert np.array_equal(outputs["logits"], images[:, 0, 0])
