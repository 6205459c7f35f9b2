"""A small folder of labelled images, whose labels come from what a model itself answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.data import golden
from profiles.schema import ImageInput

SIZES = ((300, 260), (224, 224), (333, 250), (240, 400))
TOP1, TOP5, COUNT = 4, 8, 12
"""Of the images of `write`: how many a model has right that answers as the one did that gave the labels."""


def pictures(folder: Path) -> list[Path]:
    """Photographs of a kind: colour, gradients and noise, of several sizes."""
    image = pytest.importorskip("PIL.Image", reason="making images needs Pillow")
    folder.mkdir(parents=True)
    files = []
    for number in range(COUNT):
        height, width = SIZES[number % len(SIZES)]
        shades = golden.images(ImageInput(shape=(3, height, width), mean=(0,) * 3, std=(1,) * 3), count=1, seed=number)
        files.append(folder / f"{number:02}.png")
        image.fromarray((shades[0].transpose(1, 2, 0) * 255).astype(np.uint8)).save(files[-1])
    return files


def preset(files: Sequence[Path], image: ImageInput) -> np.ndarray:
    """The images as torchvision's own preset for classifiers prepares them, (n, C, H, W)."""
    pytest.importorskip("torchvision", reason="pip install 'edgebench[pytorch]'")
    from PIL import Image
    from torchvision.transforms._presets import ImageClassification

    side = image.shape[-1]
    prepared = ImageClassification(
        crop_size=side, resize_size=round(side * 256 / 224), mean=image.mean, std=image.std, antialias=True
    )
    found = []
    for file in files:
        with Image.open(file) as opened:
            found.append(prepared(opened.convert("RGB")).numpy())
    return np.stack(found)


def write(folder: Path, answer: Callable[[np.ndarray], np.ndarray], image: ImageInput) -> Path:
    """A folder for each class index: a third of the images lie where the model itself puts them, a third where it sees
    the third most likely class, and the labels of a third are wrong: they name the tenth."""
    files = pictures(folder / "pictures")
    order = np.argsort(-answer(preset(files, image)), axis=1, kind="stable")
    for number, file in enumerate(files):
        kind = folder / "labelled" / str(order[number, (0, 2, 9)[number % 3]])
        kind.mkdir(parents=True, exist_ok=True)
        file.rename(kind / file.name)
    return folder / "labelled"


def through_onnxruntime(model: Path) -> Callable[[np.ndarray], np.ndarray]:
    """What the graph answers outside of edgebench, an image at a time."""
    onnxruntime: Any = pytest.importorskip("onnxruntime", reason="pip install 'edgebench[local]'")
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (name,) = [one.name for one in session.get_inputs()]
    return lambda array: np.concatenate([session.run(None, {name: one[None]})[0] for one in array])
