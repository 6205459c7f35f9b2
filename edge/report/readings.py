"""Lines of `results show`: a name and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge.report.engines import size
from edge.results.stats import milliseconds

Line = tuple[str, str]


def told_ms(ns: float) -> str:
    """0 is what nobody told."""
    return milliseconds(ns) if ns else "not told"


def section(title: str, values: Mapping[str, object]) -> Iterator[Line]:
    """Readings and plain values by name, a line each, under one title."""
    for index, (name, value) in enumerate(sorted(values.items())):
        unknown, told = getattr(value, "unknown", None), getattr(value, "value", value)
        if "_bytes" in name and isinstance(told, int):
            name, told = name.replace("_bytes", ""), size(told)  # noqa: PLW2901 - the same name without its unit
        yield title if index == 0 else "", f"{name} = {f'unknown ({unknown})' if unknown else told}"
