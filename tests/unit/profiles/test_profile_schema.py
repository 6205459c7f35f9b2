"""What a profile refuses, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from profiles.errors import ConfigError
from profiles.load import parse
from profiles.schema import DeviceProfile, ImageInput, ModelProfile

FILE = Path("profiles/models/mine.toml")


def model(**changes: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "task": "classification",
        "frameworks": {"pytorch": {"source": "torchvision:resnet18"}},
        **changes,
    }


def device(**changes: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "description": "a board",
        "family": "orin",
        "kind": "jetson",
        "backends": ["tensorrt"],
        "precision": "fp16",
        "python": "/usr/bin/python3",
        **changes,
    }


def test_the_least_model_is_an_imagenet_classifier() -> None:
    profile = parse(ModelProfile, model(), where=FILE)
    assert profile.input.shape == (3, 224, 224)
    assert profile.frameworks["pytorch"].weights is None


def test_the_least_device_has_the_default_thresholds() -> None:
    profile = parse(DeviceProfile, device(), where=FILE)
    assert (profile.thresholds.spread, profile.peaks, profile.power_mode) == (0.05, (), None)


def test_black_and_white_bound_the_values_of_an_input() -> None:
    pixels = ImageInput(mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255))
    assert (pixels.low, round(pixels.high)) == (0.0, 255)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"task": "sorting"}, "mine.toml, key 'task': unknown task 'sorting'; allowed: classification, segmentation"),
        ({"frameworks": {}}, "key 'frameworks': name at least one framework"),
        ({"frameworks": {"jax": {"source": "keras:X"}}}, "unknown framework 'jax'; allowed: pytorch, tensorflow"),
        (
            {"frameworks": {"pytorch": {"source": "timm:x"}}},
            "key 'frameworks.pytorch.source': 'timm:x' is not torchvision:NAME",
        ),
        ({"frameworks": {"pytorch": {"source": "torchvision:"}}}, "'torchvision:' is not torchvision:NAME"),
        ({"frameworks": {"pytorch": {}}}, "key 'frameworks.pytorch': the key 'source' is missing"),
        ({"input": {"shape": [224, 224]}}, "key 'input.shape': expected [channels, height, width], all positive"),
        ({"input": {"shape": [3, 0, 224]}}, "key 'input.shape': expected [channels, height, width], all positive"),
        ({"input": {"mean": [0.5]}}, "key 'input.mean': mean and std need one value for each of 3 channels"),
        ({"input": {"std": [0.2, 0.2, 0.0]}}, "key 'input.std': every value must be positive"),
        ({"input": {"mean": [0.5, 0.5, "x"]}}, "key 'input.mean[2]': expected a number, got 'x'"),
        (
            {"framework": {}},
            "unknown key 'framework' (did you mean 'frameworks'?); allowed: cost, description, frameworks, input",
        ),
    ],
)
def test_a_mistake_in_a_model_names_file_and_key(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(ModelProfile, model(**changes), where=FILE)
    assert sentence in str(caught.value)
    assert str(FILE) in caught.value.where


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "tpu"}, "key 'kind': unknown kind 'tpu'; allowed: cpu, jetson, nvidia_gpu"),
        ({"backends": []}, "key 'backends': name at least one backend"),
        ({"backends": "tensorrt"}, "key 'backends': expected a list, got 'tensorrt'"),
        ({"precision": "fp8"}, "key 'precision': 'fp8' is not one of fp32, fp16, int8"),
        ({"peaks": [{"fp16_tflops": 1.0, "memory_gb_s": 1.0}]}, "key 'peaks[0]': the key 'source' is missing"),
        ({"thresholds": {"spred": 0.1}}, "key 'thresholds': unknown key 'spred' (did you mean 'spread'?)"),
        ({"KINDS": ["tpu"]}, "unknown key 'KINDS'"),
    ],
)
def test_a_mistake_in_a_device_names_file_and_key(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(DeviceProfile, device(**changes), where=FILE)
    assert sentence in str(caught.value)
