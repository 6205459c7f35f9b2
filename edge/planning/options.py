"""What people write on a command line or in a plan: bounds of a batch, sizes of images, options of a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_agents.contract import DimRange, Scalar
    from edge.planning.sizes import Size


def parse_bounds(texts: list[str]) -> tuple[DimRange, ...]:
    """MIN:OPT:MAX, one optimization profile each. Errors: ConfigError."""
    from device_agents.contract import DimRange, SchemaViolation
    from profiles.errors import ConfigError

    found = []
    for text in texts:
        words = text.split(":")
        if len(words) != 3 or not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
            raise ConfigError(f"{text!r} is not MIN:OPT:MAX", where="--bounds", fix="for example 1:8:32")
        try:
            found.append(DimRange(*map(int, words)))
        except SchemaViolation as error:
            raise ConfigError(error.message, where="--bounds") from None
    return tuple(dict.fromkeys(found))


def parse_sizes(text: str) -> tuple[Size, ...]:
    """`224,384x320`: heights and widths, one number for both. Errors: ConfigError."""
    from export.asking import MAX_SIDE
    from profiles.errors import ConfigError

    found = []
    for word in text.split(","):
        sides = word.split("x")
        if len(sides) > 2 or not all(side.isascii() and side.isdigit() and len(side) < 6 for side in sides):
            raise ConfigError(f"{word!r} is no size", where="--size", fix="for example 224,384x320, height first")
        height, width = int(sides[0]), int(sides[-1])
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise ConfigError(f"{word!r} has a side that is not between 1 and {MAX_SIDE} pixels", where="--size")
        found.append((height, width))
    return tuple(dict.fromkeys(found))


def parse_options(pairs: list[str]) -> dict[str, Scalar]:
    """KEY=VALUE, where true and false (in any case) and whole numbers are what they say. Errors: ConfigError."""
    from profiles.errors import ConfigError

    options: dict[str, Scalar] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ConfigError(f"{pair!r} is not KEY=VALUE", where="--option", fix="for example cuda_graph=true")
        if name in options:
            raise ConfigError(f"{name} is given twice", where="--option", fix="give it once")
        words: dict[str, Scalar] = {"true": True, "false": False}
        whole = value.isascii() and value.isdigit() and len(value) < 19  # more is no number that anything here takes
        options[name] = words.get(value.lower(), int(value) if whole else value)
    return options
