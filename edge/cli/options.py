"""What several commands read from the command line: bounds of a batch, options of a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_agents.contract import DimRange, Scalar


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
