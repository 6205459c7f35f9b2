"""What is read from --option, --bounds and --size, and what is refused in one sentence."""

from __future__ import annotations

import pytest

from device_agents.contract import DimRange
from edge.planning.options import parse_bounds, parse_options, parse_sizes
from profiles.errors import ConfigError


def test_options_are_true_false_whole_numbers_or_words() -> None:
    pairs = ["cuda_graph=true", "spin=False", "streams=2", "provider=cuda", "path=a=b", f"seed={'9' * 5000}"]
    assert parse_options(pairs) == {
        "cuda_graph": True, "spin": False, "streams": 2, "provider": "cuda", "path": "a=b", "seed": "9" * 5000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        (["threads"], "--option: 'threads' is not KEY=VALUE; for example cuda_graph=true"),
        (["=1"], "--option: '=1' is not KEY=VALUE; for example cuda_graph=true"),
        (["streams=1", "streams=2"], "--option: streams is given twice; give it once"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(pairs: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_options(pairs)
    assert str(caught.value) == said


def test_bounds_are_profiles_each_once() -> None:
    assert parse_bounds(["1:1:1", "2:8:32", "1:1:1"]) == (DimRange(1, 1, 1), DimRange(2, 8, 32))


def test_bounds_over_the_limit_are_told_the_limit() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_bounds(["1:4:1000000"])
    assert str(caught.value) == "--bounds: 1:4:1000000 is not 1 <= min <= opt <= max <= 65,536"


@pytest.mark.parametrize("text", ["1:8", "1:8:32:64", "a:b:c", "1:-8:32", "1:8:100000", "8:1:32", "0:1:2", ""])
def test_bounds_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--bounds: "):
        parse_bounds([text])


def test_sizes_are_heights_and_widths_or_one_number_for_both() -> None:
    assert parse_sizes("224,384x320,512,224x224") == ((224, 224), (384, 320), (512, 512))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("224x", "--size: '224x' is no size; for example 224,384x320, height first"),
        ("224x224x3", "--size: '224x224x3' is no size; for example 224,384x320, height first"),
        ("", "--size: '' is no size; for example 224,384x320, height first"),
        ("224:384:512", "--size: '224:384:512' is no size; for example 224,384x320, height first"),
        ("0", "--size: '0' has a side that is not between 1 and 8192 pixels"),
        ("224x9999", "--size: '224x9999' has a side that is not between 1 and 8192 pixels"),
    ],
)
def test_a_size_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_sizes(text)
    assert str(caught.value) == said
