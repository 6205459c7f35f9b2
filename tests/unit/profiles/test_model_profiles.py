"""The model profiles that edgebench brings: one network a name, with weights that exist upstream."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from profiles.load import model_profile, model_profile_names
from profiles.schema import ModelProfile

ALL = [model_profile(name) for name in model_profile_names()]
EVERY_MODEL = pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
FROM_TORCHVISION = [profile for profile in ALL if "pytorch" in profile.frameworks]
FROM_KERAS = [p for p in ALL if "tensorflow" in p.frameworks and p.frameworks["tensorflow"].source.startswith("keras:")]

TORCHVISION_HAS = """
import json, sys
from torchvision.models import get_model_weights
wanted = json.load(sys.stdin)
def facts(weights):
    transforms = weights.transforms()
    return {"mean": list(transforms.mean), "std": list(transforms.std), "crop": transforms.crop_size[0]}
print(json.dumps({name: {str(w): facts(w) for w in get_model_weights(name)} for name in wanted}))
"""

KERAS_HAS = """
import json, sys
import keras
print(json.dumps([name for name in json.load(sys.stdin) if not hasattr(keras.applications, name)]))
"""


def ask(program: str, question: object) -> object:
    """In a process of its own: the frameworks are large, and warn while they are imported."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def library_name(profile: ModelProfile, framework: str) -> str:
    return profile.frameworks[framework].source.partition(":")[2]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vit_b_16"])
def test_both_frameworks_have_the_three_twins(name: str) -> None:
    frameworks = model_profile(name).frameworks
    assert frameworks["pytorch"].source == f"torchvision:{name}"
    assert frameworks["tensorflow"].source == f"twin:{name}"


@EVERY_MODEL
def test_the_same_name_is_the_same_network(profile: ModelProfile) -> None:
    """A profile with several frameworks reaches its network by the twin; keras.applications' are other networks."""
    sources = {framework: entry.source.partition(":")[0] for framework, entry in profile.frameworks.items()}
    assert sources in (
        {"pytorch": "torchvision"},
        {"pytorch": "torchvision", "tensorflow": "twin"},
        {"tensorflow": "keras"},
    )
    assert profile.name.startswith("keras_") == (sources.get("tensorflow") == "keras")


@EVERY_MODEL
def test_pretrained_weights_are_pinned(profile: ModelProfile) -> None:
    for entry in profile.frameworks.values():
        assert entry.weights or entry.source.startswith("twin:"), "a twin takes the weights of its original"


@EVERY_MODEL
def test_normalised_pixels_are_what_a_framework_expects(profile: ModelProfile) -> None:
    span = (round(profile.input.low, 1), round(profile.input.high, 1))
    assert span in ((-2.1, 2.6), (-1.0, 1.0), (0.0, 255.0))


@EVERY_MODEL
def test_a_description_says_how_large_the_network_is(profile: ModelProfile) -> None:
    assert " M parameters" in profile.description


def test_torchvision_has_every_network_and_its_weights() -> None:
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed (extra: pytorch)")
    upstream = ask(TORCHVISION_HAS, [library_name(profile, "pytorch") for profile in FROM_TORCHVISION])
    assert isinstance(upstream, dict)
    for profile in FROM_TORCHVISION:
        known = upstream[library_name(profile, "pytorch")]
        weights = profile.frameworks["pytorch"].weights
        assert weights in known, f"{profile.name}: {sorted(known)}"
        takes = {"mean": list(profile.input.mean), "std": list(profile.input.std), "crop": profile.input.shape[1]}
        assert takes == known[weights], profile.name


def test_keras_has_every_network() -> None:
    if importlib.util.find_spec("keras") is None or importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed (extra: tensorflow)")
    assert ask(KERAS_HAS, [library_name(profile, "tensorflow") for profile in FROM_KERAS]) == []
