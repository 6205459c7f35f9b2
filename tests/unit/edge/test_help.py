"""What every command of the command line has: help that fits, examples, --json."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from edge.cli import app
from tests.command_lines import understood

ROOT = get_command(app)


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, one in group.commands.items():
        yield from commands(one, (*path, name)) if hasattr(one, "commands") else [((*path, name), one)]


def groups(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, one in group.commands.items():
        if hasattr(one, "commands"):
            yield from groups(one, (*path, name))


ALL = dict(commands(ROOT))


def shown(path: tuple[str, ...], columns: int = 80) -> str:
    code = "from edge.cli import main; main()"
    environment = {**os.environ, "COLUMNS": str(columns), "TERMINAL_WIDTH": str(columns)}
    done = subprocess.run(
        [sys.executable, "-c", code, *path, "--help"], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("path", [*groups(ROOT)], ids=" ".join)
def test_no_summary_is_cut_in_the_list_of_commands(path: tuple[str, ...]) -> None:
    listed = shown(path).partition("\nCommands:\n")[2].splitlines()
    assert listed
    for line in listed:
        assert re.fullmatch(r"  [a-z]+ +[A-Z].*[.]", line), line
        assert not line.endswith("..."), line
        assert len(line) <= 80


@pytest.mark.parametrize("path", [*ALL], ids=" ".join)
def test_every_command_has_help_examples_and_json(path: tuple[str, ...]) -> None:
    command = ALL[path]
    paragraphs = [" ".join(text.split()) for text in command.help.split("\n\n")]
    assert paragraphs[0].count(". ") == 0, "the summary is one sentence"
    first = next(index for index, text in enumerate(paragraphs) if text.startswith("Example: "))
    for text in paragraphs[first:]:
        line = text.removeprefix("Example: ")
        assert f"{line} ".startswith(f"edgebench {' '.join(path)} "), text
        understood(line)
    assert ["--json"] in [parameter.opts for parameter in command.params]
    for parameter in command.params:
        assert parameter.help, f"{parameter.name} has no help"


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (("paths",), "results"),
        (("profiles", "list"), "devices"),
        (("profiles", "show", "resnet18"), "name"),
        (("devices", "list"), "devices"),
        (("results", "list"), "measurements"),
        (("results", "gc"), None),
        (("sweeps", "list"), None),
        (("init",), "file"),
        (("compare", "a", "b"), "error"),
        (("results", "show", "a"), "error"),
        (("results", "query", "SELECT 1"), None),
        (("deploy",), "error"),
        (("deploy", "--nonsense"), "error"),
    ],
)
def test_json_is_one_object_on_stdout(arguments: tuple[str, ...], key: str | None, tmp_path: Path) -> None:
    _, found = answered(tmp_path, *arguments)
    assert key is None or key in found


@pytest.mark.parametrize("path", [*ALL], ids=" ".join)
def test_every_command_answers_in_json_even_when_it_refuses(path: tuple[str, ...], tmp_path: Path) -> None:
    """Each of its arguments is `x`, which is the name of nothing."""
    words = ["x" for parameter in ALL[path].params if parameter.param_type_name == "argument"]
    code, found = answered(tmp_path, *path, *words)
    assert ("error" in found) == (code != 0), found


def answered(home: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code of a command, run in an empty home, and the one JSON object on its stdout."""
    code = "from edge.cli import main; main()"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "EDGEBENCH_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--json"], env={**environment, "HOME": str(home)}, cwd=home,
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return done.returncode, found
