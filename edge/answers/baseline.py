"""What a run is held against: a bundle that was kept, read without being imported, or measurements that are here."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.answers.naming import named
from edge.report.rows import Row, read
from edge.results.bundle import ENDINGS
from edge.results.store import Store
from edge.results.unpacking import import_bundle
from profiles.errors import ConfigError

NAMES = ("the baseline", "the run")


@dataclass(frozen=True)
class Baseline:
    """Its measurements, and the store that has their samples."""

    rows: list[Row]
    store: Store


@contextlib.contextmanager
def baseline(root: Path, word: str) -> Iterator[Baseline]:
    """What `word` means: the archive of that name, else a measurement, run or sweep of the store below `root`. A bundle
    is checked as an import checks it, in a folder that is gone afterwards; nothing of it comes into the store.

    Errors: ConfigError for what is not there or has nothing in it; ResultError for a bundle that is damaged or hostile.
    """
    if not word.endswith(ENDINGS):
        store = Store(root)
        yield Baseline(named(root, store, word), store)
        return
    if not Path(word).is_file():
        raise ConfigError(f"there is no file {word}", where="--baseline", fix="`edgebench results bundle` makes one")
    with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
        store = Store(Path(folder))
        brought = import_bundle(Path(word), Path(folder)).new
        if not brought:
            fix = "make one with `edgebench results bundle`"
            raise ConfigError("the bundle has no measurements", where=word, fix=fix)
        yield Baseline([read(store, one) for one in brought], store)
