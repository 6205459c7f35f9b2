"""Images from files, as a model wants them."""

from pathlib import Path

import numpy as np
import pytest

from export.data import images
from profiles.errors import ConfigError
from profiles.schema import ImageInput

Image = pytest.importorskip("PIL.Image", reason="images are read by Pillow: pip install pillow")

SPEC = ImageInput(shape=(3, 4, 6))
RANDOM = np.random.default_rng(0)


def write(folder: Path, count: int = 2, size: tuple[int, int] = (4, 6)) -> np.ndarray:
    """`count` lossless images; their pixels (count, H, W, 3)."""
    pixels = RANDOM.integers(0, 256, (count, *size, 3), dtype=np.uint8)
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index}.png")
    return pixels


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_pixels_are_normalised_in_the_order_that_the_model_wants(tmp_path: Path, order: str) -> None:
    spec = ImageInput(shape=(3, 4, 6), mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), order=order)
    pixels = write(tmp_path) / 255.0
    planes = pixels[..., ::-1] if order == "BGR" else pixels
    wanted = ((planes - spec.mean) / spec.std).transpose(0, 3, 1, 2)
    found = images.read(tmp_path, spec)
    assert found.array.dtype == np.float32
    assert np.allclose(found.array, wanted, atol=1e-6)
    assert [file.name for file in found.files] == ["0.png", "1.png"]


def test_another_size_may_be_asked_for(tmp_path: Path) -> None:
    write(tmp_path)
    assert images.read(tmp_path, SPEC, size=(8, 10)).array.shape == (2, 3, 8, 10)


def test_no_more_are_read_than_asked_for(tmp_path: Path) -> None:
    write(tmp_path, count=5)
    (tmp_path / "9.png").write_bytes(b"never looked at")
    assert len(images.read(tmp_path, SPEC, most=3).array) == 3


def test_grey_images_become_colour_and_colour_grey(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 51, np.uint8)).save(tmp_path / "a.png")
    colour = images.read(tmp_path, ImageInput(shape=(3, 4, 6), mean=(0,) * 3, std=(1,) * 3)).array
    grey = images.read(tmp_path, ImageInput(shape=(1, 4, 6), mean=(0,), std=(1,))).array
    assert np.allclose(colour, 0.2)
    assert np.allclose(grey, 0.2)


def test_an_image_that_cannot_be_read_is_named_or_passed_over(tmp_path: Path) -> None:
    write(tmp_path)
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "none.jpg").write_bytes(b"")
    with pytest.raises(ConfigError, match="not an image that Pillow reads") as caught:
        images.read(tmp_path, SPEC)
    assert caught.value.where.endswith("half.png")
    found = images.read(tmp_path, SPEC, skip=True)
    assert len(found.array) == 2
    assert [file.name for file in found.skipped] == ["half.png", "none.jpg"]


def test_a_folder_without_an_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".hidden.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"holds no \.jpg, \.jpeg, \.png files"):
        images.read(tmp_path, SPEC)
    with pytest.raises(ConfigError, match="no such folder"):
        images.read(tmp_path / "nowhere", SPEC)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ConfigError, match="none of its 1 images can be read"):
        images.read(tmp_path, SPEC, skip=True)


@pytest.mark.parametrize(
    ("shape", "told"),
    [((3, 8, 4, 6), "takes video, and frames are not read from files; give arrays"), ((5, 4, 6), "no image has 5")],
)
def test_what_no_image_can_be_is_refused(tmp_path: Path, shape: tuple[int, ...], told: str) -> None:
    write(tmp_path)
    with pytest.raises(ConfigError, match=told):
        images.read(tmp_path, ImageInput(shape=shape, mean=(0,) * shape[0], std=(1,) * shape[0]), skip=True)
