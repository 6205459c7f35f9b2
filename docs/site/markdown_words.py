"""Words of the code, as Markdown that shows them as they are."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([*_<\[])")


def plain(words: str) -> str:
    """Nothing of it is markup, but what stands in backticks."""
    parts = words.split("`")
    return "`".join(part if index % 2 else _MARKUP.sub(r"\\\1", part) for index, part in enumerate(parts))


def cell(words: str) -> str:
    """For a table: on one line."""
    return plain(" ".join(words.split())).replace("|", "\\|")


def code(words: str) -> str:
    """For a table, too."""
    escaped = words.replace("|", "\\|")
    return f"`{escaped}`"
