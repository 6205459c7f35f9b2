"""Words of the code, as Markdown that shows them as they are."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([*_\[])")


def plain(words: str) -> str:
    """Nothing of it is markup, but what stands in backticks."""
    parts = words.split("`")
    return "`".join(part if index % 2 else _escaped(part) for index, part in enumerate(parts))


def cell(words: str) -> str:
    """For a table: on one line. Bars in backticks are no borders to Python-Markdown, others are escaped."""
    parts = plain(" ".join(words.split())).split("`")
    return "`".join(part if index % 2 else part.replace("|", "\\|") for index, part in enumerate(parts))


def _escaped(words: str) -> str:
    return _MARKUP.sub(r"\\\1", words.replace("<", "&lt;"))
