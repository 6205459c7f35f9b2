"""What became of the models of an `export`: told when it ends, however it ends, so that a failure hides nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import typer

from edge.cli.common import print_json, say

if TYPE_CHECKING:
    from export.artifact import Artifact
    from profiles.errors import EdgebenchError

_PARTLY = 3


class Told:
    """The artifacts that were made, each with its copy below `out`, and the errors of the others. One error of all
    that was asked for is raised as it came."""

    def __init__(self, json: bool, out: Path | None) -> None:
        self._json = json
        self._out = out
        self._made: list[tuple[Artifact, Path | None, float]] = []
        self._failed: list[EdgebenchError] = []
        self._done = 0
        self._since = 0.0

    @property
    def code(self) -> int:
        """How the command ends."""
        if not self._failed:
            return 0
        return _PARTLY if self._made else max(error.exit_code for error in self._failed)

    @contextmanager
    def one(self) -> Iterator[None]:
        """One model: an error of it is kept, and the others have their turn."""
        from profiles.errors import EdgebenchError

        self._since = time.monotonic()
        try:
            yield
        except EdgebenchError as error:
            self._failed.append(error)
        else:
            self._done += 1

    def made(self, artifacts: Sequence[Artifact]) -> None:
        """Errors: ConfigError when a copy cannot be written."""
        from export.api import write_copy

        waited_s = time.monotonic() - self._since
        for artifact in artifacts:
            copy = write_copy(artifact, self._out) if self._out is not None else None
            self._made.append((artifact, copy, waited_s))

    def __enter__(self) -> None:
        """Before progress is drawn: what is told comes after it."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._made and len(set(map(str, self._failed))) == 1 and error is None:
            raise self._failed[0]
        if not self._json:
            self._print()
        elif error is None or (self._made and isinstance(error, KeyboardInterrupt)):  # other errors print an object
            self._print_json()
        for failure in self._failed:
            say(f"edgebench: {failure}", err=True)
        if self._failed:
            say(f"edgebench: {self._done} made, {len(self._failed)} failed", err=True)

    def _print_json(self) -> None:
        told = {"artifacts": [_as_json(artifact, copy) for artifact, copy, _ in self._made]}
        print_json({**told, "failed": [one.info() for one in self._failed]} if self._failed else told)

    def _print(self) -> None:
        from edge.report.artifacts import lines

        for artifact, copy, waited_s in self._made:
            for line in lines(artifact, waited_s):
                say(line)
            typer.echo(f"  {copy or artifact.path / artifact.model_file}")


def _as_json(artifact: Artifact, copy: Path | None) -> dict[str, object]:
    from device_agents.contract import to_json

    return {**to_json(artifact), "path": str(artifact.path), **({"copy": str(copy)} if copy else {})}
