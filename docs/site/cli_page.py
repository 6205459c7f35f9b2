"""The page of the command line: every command with its example, arguments, options and defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from markdown_words import cell, plain

_DEFAULT = re.compile(r"  \[([^\]]*)\]\Z")
_VALUE = re.compile(r"default: (\(.*\)|[^;]*)(?:; (.*))?")
_EXAMPLE = re.compile(r"^Example: ", re.MULTILINE)


def text() -> str:
    """Markdown, made from the same declarations that parse a command line."""
    from typer.main import get_command

    from edge.cli import app

    return "\n".join(["# Command line", "", *_sections(get_command(app), "edgebench", None)])


def _sections(command: Any, name: str, parent: Any) -> Iterator[str]:
    context = command.make_context(name.rpartition(" ")[2], [], parent=parent, resilient_parsing=True)
    said, *examples = _EXAMPLE.split((command.help or "").strip())
    yield from (f"## {name}", "", plain(said.strip()), "")
    if not hasattr(command, "commands"):
        yield from ("```", command.get_usage(context).removeprefix("Usage: "), "```", "")
    if examples:
        yield from ("For example:", "", "```", *(example.strip() for example in examples), "```", "")
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    yield from _table("Argument", [one for one in shown if one.param_type_name == "argument"], context)
    yield from _table("Option", [one for one in shown if one.param_type_name == "option"], context)
    for word, inner in getattr(command, "commands", {}).items():
        yield from _sections(inner, f"{name} {word}", context)


def _table(title: str, parameters: list[Any], context: Any) -> Iterator[str]:
    records = [record for record in (one.get_help_record(context) for one in parameters) if record]
    if not records:
        return
    yield from (f"| {title} | | Default |", "|---|---|---|")
    for names, said in records:
        default = _DEFAULT.search(said)
        yield f"| `{names}` | {cell(_DEFAULT.sub('', said))} | {_of(default[1]) if default else ''} |"
    yield ""


def _of(default: str) -> str:
    """A value as code, what stands for one in words; then what is allowed, or that it is required."""
    found = _VALUE.fullmatch(default)
    value, allowed = found.groups(default="") if found else ("", default)
    shown = cell(value[1:-1]) if value.startswith("(") else f"`{value}`" if value else ""
    return ", ".join(filter(None, [shown, allowed if allowed == "required" else allowed and f"`{allowed}`"]))
