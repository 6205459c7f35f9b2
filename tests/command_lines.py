"""Command lines that documents show, parsed by the real command line, down to their options; not run."""

from __future__ import annotations

import shlex

from typer.main import get_command

from edge.cli import app

_COMMAND = get_command(app)


def understood(line: str) -> None:
    """Errors: the parser's, for a line that edgebench would refuse."""
    group, words = _COMMAND, shlex.split(line)[1:]
    context = group.make_context("edgebench", list(words), resilient_parsing=True)
    while hasattr(group, "commands"):
        name, group, words = group.resolve_command(context, words)
        assert name is not None
    group.make_context(str(name), list(words))
