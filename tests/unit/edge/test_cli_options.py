"""What is read from --option and --bounds, and what is refused in one sentence."""

from __future__ import annotations

import pytest

from device_agents.contract import DimRange
from edge.cli.options import parse_bounds, parse_options
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
