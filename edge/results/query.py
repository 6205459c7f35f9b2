"""`results query`: one SELECT over what was measured."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge.results import database
from edge.results.database import Answer, NeedsSamples
from edge.results.filters import Condition, Filter
from edge.results.index import Index
from edge.results.sampling import samples_of
from edge.results.store import Store
from profiles.progress import Progress

if TYPE_CHECKING:
    from edge.inventory.devices import Fleet


@contextlib.contextmanager
def answered(root: Path, sql: str, wanted: Filter, progress: Progress, *, fleet: Fleet | None) -> Iterator[Answer]:
    """What `sql` says of the measurements that are `wanted`. Raw samples are read when it asks for them.

    Errors: ConfigError for SQL that is wrong or does more than to read, and without DuckDB; ResultError.
    """
    database.require()
    with Index(root).files(progress) as files:
        devices = database.devices(files) if wanted.device is not None else {}
        conditions = wanted.conditions(devices, fleet)
        try:
            yield database.answer(files, conditions, sql)
        except NeedsSamples:
            yield _with_samples(root, files, conditions, sql)


def _with_samples(root: Path, files: Sequence[Path], conditions: Sequence[Condition], sql: str) -> Answer:
    samples = samples_of(Store(root), database.identifiers(files, conditions))
    return database.answer(files, conditions, sql, samples=samples)
