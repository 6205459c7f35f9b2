"""What `export` reads from its command line, and the opset that a fleet reads."""

import pytest

from device_agents.contract import DimRange
from edge.cli.export_options import AUTO_OPSET, numbers, parse_opset, parse_size
from edge.planning.opsets import Ceiling
from profiles.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "height", "width"),
    [
        ("320", (320, 320, 320), (320, 320, 320)),
        ("480x640", (480, 480, 480), (640, 640, 640)),
        ("224:384:512", (224, 384, 512), (224, 384, 512)),
        ("224:384:512x640", (224, 384, 512), (640, 640, 640)),
    ],
)
def test_a_size_is_one_for_both_sides_or_height_and_width(
    text: str, height: tuple[int, int, int], width: tuple[int, int, int]
) -> None:
    assert parse_size(text) == (DimRange(*height), DimRange(*width))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "'' is no size of images; for example 320"),
        ("224:512", "is no size of images"),
        ("512:384:224", "is not 1 <= min <= opt <= max"),
        ("1x2x3", "is no size of images up to 8192"),
        ("9000", "is no size of images up to 8192"),
    ],
)
def test_a_size_that_cannot_be_meant_is_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_size(text)


def test_numbers_of_a_normalisation_are_finite() -> None:
    assert numbers("0.485,0.456,0.406", "--mean") == (0.485, 0.456, 0.406)
    assert numbers(None, "--mean") == ()
    for text in ("", "a,b", "inf", "nan,1"):
        with pytest.raises(ConfigError, match="is no list of numbers"):
            numbers(text, "--mean")


def test_pixels_are_divided_by_what_is_above_0() -> None:
    assert numbers("0,0.5", "--mean") == (0, 0.5)
    for text in ("0", "0.2,-1"):
        with pytest.raises(ConfigError, match=r"--std: .* is not above 0"):
            numbers(text, "--std", positive=True)


def test_an_opset_is_a_number_or_auto() -> None:
    assert (parse_opset(None), parse_opset("17"), parse_opset("auto")) == (None, 17, AUTO_OPSET)
    for text in ("", "seventeen", "-1", "0", "100"):
        with pytest.raises(ConfigError, match="neither a number nor auto"):
            parse_opset(text)


@pytest.mark.parametrize(
    ("opset", "can", "chosen", "told"),
    [
        (17, range(13, 21), 17, "opset 17 (because)"),
        (None, range(13, 21), 20, "opset 20 (the newest that is written; because)"),
        (20, range(13, 19), 18, "opset 18 (the newest that is written; because)"),
    ],
)
def test_an_exporter_writes_the_newest_that_is_read(opset: int | None, can: range, chosen: int, told: str) -> None:
    assert Ceiling(opset, "because").within(can) == (chosen, told)
