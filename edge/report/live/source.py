"""What a live page shows now, read from the files that runs write: who writes them may end, begin again, or be gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.report import standing
from edge.report.page.document import Reader
from edge.report.page.numbers import in_script
from edge.report.page.packing import packed
from edge.results.store import Store
from edge.sweeps import runs

EVERY_S = 1.0
_AGAIN_S = 15.0
"""The ids are looked up when a folder of the store has changed, and after so long in any case: folders' times are
coarse."""

Choose = Callable[[], Sequence[str]]


@dataclass(frozen=True)
class Now:
    """The measurements that are chosen, and a sentence on the newest run, "" where none has told of itself."""

    ids: tuple[str, ...]
    status: str


class Source:
    """Asked by any number of pages, from any thread; the files are looked at once a second at most."""

    def __init__(self, results: Path, reader: Reader, choose: Choose, command: Sequence[str]) -> None:
        self._results, self._store = results, Store(results)
        self._reader, self._choose, self._command = reader, choose, command
        self._looking, self._making = threading.Lock(), threading.Lock()
        self._now, self._looked, self._chosen = Now((), ""), float("-inf"), float("-inf")
        self._shards: dict[str, int] = {}
        self._document: tuple[tuple[str, ...], bytes] | None = None

    def now(self) -> Now:
        """Errors: ConfigError, ResultError of the choice."""
        with self._looking:
            clock = time.monotonic()
            if clock - self._looked >= EVERY_S / 2:
                self._now, self._looked = Now(self._ids(clock), self._status()), clock
            return self._now

    def document(self) -> bytes:
        """The page's JSON. Errors: ConfigError for too many measurements, ResultError."""
        ids = self.now().ids
        with self._making:
            if self._document is None or self._document[0] != ids:
                found = self._reader.document(ids, self._command, live=True)
                self._document = (ids, in_script(packed(found)).encode())
            return self._document[1]

    def _ids(self, clock: float) -> tuple[str, ...]:
        shards = self._store.shards()
        if shards == self._shards and clock - self._chosen < _AGAIN_S:
            return self._now.ids
        self._shards, self._chosen = shards, clock
        return tuple(self._choose())

    def _status(self) -> str:
        found = runs.last_told(self._results)
        if found is None:
            return ""
        run, status = found
        over = "; nobody works on it now" if status.ended else ""
        return f"Run {run}: {standing.counts(status)}{over}"
