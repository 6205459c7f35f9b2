"""Which measurements a word of the command line means: an id, a run, a sweep, `latest`, `latest~1`."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from edge.report.rows import Row, read
from edge.results.sides import Side, side
from edge.results.store import Store
from edge.running.journal import DAMAGED, Journal, look
from profiles.errors import ConfigError

_LATEST = re.compile(r"latest(?:~([0-9]{1,6}))?\Z")
_FIX = "see `edgebench results list` and `edgebench sweeps list`"


def journals(root: Path) -> list[Journal]:
    """Of every run, of `deploy` and of sweeps, the newest first. One that cannot be read is left out."""
    found = []
    for path in sorted(root.glob("sweeps/*/*.jsonl"), key=lambda path: path.stem, reverse=True):
        with contextlib.suppress(OSError, *DAMAGED):
            found.append(look(path))
    return found


def measured(journal: Journal) -> list[str]:
    """The measurements of a run, in the order of its plan."""
    done = [journal.of(cell).done for cell in journal.planned]
    return [one for one in done if one is not None]


def named(root: Path, store: Store, word: str) -> list[Row]:
    """What a word means. Errors: ConfigError where it means nothing, or several things; ResultError where a measurement
    is damaged."""
    return [read(store, one) for one in _ids(root, store, word)]


def sided(store: Store, rows: list[Row]) -> Side:
    """Errors: ResultError when samples are missing or damaged."""
    return side(rows, [store.samples_ns(row.measurement) for row in rows])


def _ids(root: Path, store: Store, word: str) -> list[str]:
    known = store.ids()
    its = [word] if word in known else [one for one in known if one.startswith(word)]
    if len(its) == 1:
        return its
    latest = _LATEST.match(word)
    runs = [journal for journal in journals(root) if measured(journal)]
    if latest is not None:
        back = int(latest[1] or 0)
        if back >= len(runs):
            raise ConfigError(f"{len(runs)} runs have measured something", where=word, fix=_FIX)
        return measured(runs[back])
    run = next((one for one in runs if one.name == word), None)
    begun = [one for one in runs if one.run.startswith(word)]
    if run is not None or len(begun) == 1:
        return measured(run or begun[0])
    many = len(its) + len(begun)
    what = f"{many} measurements or runs begin so" if many else "no measurement, run or sweep is called or begins so"
    raise ConfigError(what, where=word, fix=_FIX)
