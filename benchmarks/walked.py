"""What the walks over many models share: their state, a line of JSON for each model and step, and how pages are made.

A walk that was killed goes on where it was; the last line of a model and step counts.
"""

from __future__ import annotations

import fnmatch
import importlib.metadata
import json
import os
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar


@dataclass(frozen=True)
class Model:
    """`name` as `edgebench export` takes it; `family` is the row group of the table."""

    name: str
    framework: str
    family: str


class Outcome(Protocol):
    """What came of a step of a model: a dataclass. `error` is empty where it passed."""

    __dataclass_fields__: Any
    error: str


Of = TypeVar("Of", bound=Outcome)


class Recorder(Generic[Of]):
    """The state file, and what is `known` from it: outcomes by model and step."""

    def __init__(self, path: Path, kind: type[Of]) -> None:
        self._path = path
        self.known = read(path, kind)

    def has(self, model: Model, step: str, *, retry: bool) -> bool:
        outcome = self.known.get(model.name, {}).get(step)
        return outcome is not None and not (retry and outcome.error)

    def add(self, model: Model, step: str, outcome: Of) -> None:
        self.known.setdefault(model.name, {})[step] = outcome
        line = json.dumps({"model": model.name, "step": step, **asdict(outcome)}).encode()
        with self._path.open("ab+") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                if stream.read() != b"\n":  # a kill cut the line before
                    stream.write(b"\n")
            stream.write(line + b"\n")
            stream.flush()
            os.fsync(stream.fileno())


def read(path: Path, kind: type[Of]) -> dict[str, dict[str, Of]]:
    """Outcomes by model and step. A line that a kill cut in the middle is passed over."""
    found: dict[str, dict[str, Of]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        model, step = fields.pop("model"), fields.pop("step")
        found.setdefault(model, {})[step] = kind(**fields)
    return found


def asked(model: Model, patterns: Collection[str] | None) -> bool:
    return not patterns or any(fnmatch.fnmatch(model.name, pattern) for pattern in patterns)


def versions(*packages: str) -> str:
    """A sentence with those that are installed."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"Made with {', '.join(found)}."


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def cell(text: str) -> str:
    """As a table of Markdown takes it."""
    return text.replace("|", "\\|").replace("\n", " ")


def count(passed: int, tried: int, models: int) -> str:
    """`5 of 6`, or of how many tried where that is not all."""
    if tried == models:
        return f"{passed} of {models}"
    return f"{passed} of {tried} tried" if tried else "not tried"
