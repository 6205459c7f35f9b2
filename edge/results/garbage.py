"""What nobody needs any more in the store, and taking it away."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.results.store import GOING, IMPORTING, MAKING, NewerSchemaError, Store
from profiles.errors import ResultError

_DAY_S = 86_400.0
"""As long as this a folder that is on its way may belong to a process that lives."""


@dataclass(frozen=True)
class Leaving:
    """A folder that would go, why, and how many bytes that frees; `id` is None for what is no measurement."""

    path: Path
    id: str | None
    why: str
    size: int


def leaving(store: Store, *, damaged: bool, older_than_s: float | None, kept_runs: Collection[str]) -> list[Leaving]:
    """What would go: folders that were left half-made, and if asked for, measurements that are damaged, or have been in
    the store for longer. Those of `kept_runs`, which will be taken up again, stay, and so does what a newer edgebench
    stored."""
    found = [*_left_behind(store)]
    if damaged or older_than_s is not None:
        found += _measurements(store, damaged, older_than_s, kept_runs)
    return found


def remove(store: Store, one: Leaving) -> None:
    """Errors: ResultError."""
    if one.id is not None:
        store.remove(one.id)
        return
    try:
        shutil.rmtree(one.path)
    except OSError as error:
        raise ResultError(f"cannot be removed ({error.strerror})", where=str(one.path)) from None


def _left_behind(store: Store) -> Iterator[Leaving]:
    for pattern in (f"{IMPORTING}*", f"??/{MAKING}*", f"??/{GOING}*"):
        for path in sorted(store.root.glob(pattern)):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _DAY_S:
                    yield Leaving(path, None, "left by a process that was stopped", _size(path))


def _measurements(
    store: Store, damaged: bool, older_than_s: float | None, kept_runs: Collection[str]
) -> Iterator[Leaving]:
    oldest_ns = None if older_than_s is None else (time.time() - older_than_s) * 1e9
    for shard in sorted(store.shards()):
        stored = dict(store.stored_in(shard))
        for path in sorted((store.root / shard).glob("[!.]*")):
            why = _why(store, path.name, stored.get(path.name), damaged, oldest_ns, kept_runs)
            if why:
                yield Leaving(path, path.name, why, _size(path))


def _why(
    store: Store, name: str, stored_ns: int | None, damaged: bool, oldest_ns: float | None, kept_runs: Collection[str]
) -> str:
    old = oldest_ns is not None and stored_ns is not None and stored_ns < oldest_ns
    if not (old or damaged):
        return ""
    try:
        measurement = store.get(name)
        if damaged:
            store.samples_ns(measurement)
    except NewerSchemaError:
        return ""
    except ResultError as error:
        return f"damaged: {error.message}" if damaged else ""
    return "older" if old and measurement.run not in kept_runs else ""


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
