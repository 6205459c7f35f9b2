"""Which measurements there are, found by the index, or by reading them all where there is no DuckDB: alike for both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from edge.results import database
from edge.results.columns import Record
from edge.results.filters import Condition, Filter, sort_key
from edge.results.index import Index, read_record
from edge.results.store import Store
from profiles.progress import Progress

if TYPE_CHECKING:
    from edge.inventory.devices import Fleet


@dataclass(frozen=True)
class Picked:
    """Ids in the order that was asked for, and how many measurements there are that fulfil what was asked."""

    ids: Sequence[str]
    total: int


class Catalogue(Protocol):
    def devices(self) -> dict[str, str]:
        """Every device with the profile that it had last."""

    def pick(self, conditions: Sequence[Condition], key: tuple[str, bool] | None, most: int) -> Picked:
        """Those that fulfil all conditions, damaged ones where there is none: the first `most` in the order of `key`, a
        column and whether its largest comes first; without a key the newest, the oldest of them first."""


def pick(
    root: Path, wanted: Filter, progress: Progress, *, fleet: Fleet | None, most: int, sort: str | None = None
) -> Picked:
    """The newest measurements that are `wanted`, the oldest of them first; or the first ones in the order of `sort`.
    Without a wish or an index they are found by the times of their files alone.

    Errors: ConfigError for a filter that cannot be read; ResultError.
    """
    key = sort_key(sort)
    plain = wanted == Filter() and sort is None
    if plain and not (database.available() and Index(root).exists):
        ids = Store(root).ids()
        return Picked(ids[-most:], len(ids))
    with opened(root, progress) as catalogue:
        devices = catalogue.devices() if wanted.device is not None else {}
        return catalogue.pick(wanted.conditions(devices, fleet), key, most)


@contextlib.contextmanager
def opened(root: Path, progress: Progress) -> Iterator[Catalogue]:
    """The quickest catalogue that there is here."""
    if not database.available():
        yield Unindexed(root)
        return
    with Index(root).files(progress) as files:
        yield Indexed(files)


@dataclass(frozen=True)
class Indexed:
    files: list[Path]

    def devices(self) -> dict[str, str]:
        return database.devices(self.files)

    def pick(self, conditions: Sequence[Condition], key: tuple[str, bool] | None, most: int) -> Picked:
        return Picked(*database.pick(self.files, conditions, key, most))


class Unindexed:
    """Reads and judges every measurement, once."""

    def __init__(self, root: Path) -> None:
        store = Store(root)
        found = [entry for shard in store.shards() for entry in store.stored_in(shard)]
        self._records = [read_record((root, name, stored_ns)) for name, stored_ns in found]
        self._records.sort(key=lambda one: (one["stored_at"], one["id"]))

    def devices(self) -> dict[str, str]:
        return {one["device"]: one["profile"] for one in self._records if "damaged" not in one}

    def pick(self, conditions: Sequence[Condition], key: tuple[str, bool] | None, most: int) -> Picked:
        fitting = [one for one in self._records if self._fits(one, conditions)]
        return Picked([str(one["id"]) for one in _ordered(fitting, key, most)], len(fitting))

    @staticmethod
    def _fits(one: Record, conditions: Sequence[Condition]) -> bool:
        return not conditions or ("damaged" not in one and all(condition.holds(one) for condition in conditions))


def _ordered(records: list[Record], key: tuple[str, bool] | None, most: int) -> list[Record]:
    """What has no value in the column comes last; of equal ones the newest comes first."""
    if key is None:
        return records[-most:]
    name, down = key
    newest = records[::-1]
    known = sorted((one for one in newest if one[name] is not None), key=lambda one: one[name], reverse=down)
    return [*known, *(one for one in newest if one[name] is None)][:most]
