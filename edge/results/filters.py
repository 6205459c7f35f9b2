"""Which measurements: `--device`, `--model`, `--verdict`, `--run`, `--since` as conditions on columns.

A condition is read by SQL over the index and by `holds` where there is none.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from edge.inventory.devices import Fleet
from edge.inventory.expression import evaluate
from edge.inventory.vocabulary import Labels, Vocabulary
from edge.quantities import parse_duration
from edge.results.columns import COLUMNS, JSON, Record
from edge.results.verdict import Status
from profiles.errors import ConfigError
from profiles.load import device_profile_names

SORTED = tuple(column.name for column in COLUMNS if column.kind != JSON)


@dataclass(frozen=True)
class Among:
    """The column has one of these values."""

    column: str
    values: Collection[str]

    def holds(self, record: Record) -> bool:
        return record[self.column] in self.values


@dataclass(frozen=True)
class Like:
    """The column's text fits the pattern, in which `*` stands for anything."""

    column: str
    pattern: str

    def holds(self, record: Record) -> bool:
        return fnmatch.fnmatchcase(record[self.column], self.pattern)


@dataclass(frozen=True)
class NotBefore:
    """The column's time is known, and this one or later: `2026-01-31T00:00:00.000000Z`."""

    column: str
    moment: str

    def holds(self, record: Record) -> bool:
        return record[self.column] is not None and record[self.column] >= self.moment


Condition = Among | Like | NotBefore


@dataclass(frozen=True)
class Filter:
    """What was asked for, as it was typed; None for what does not matter."""

    device: str | None = None
    model: str | None = None
    verdict: Sequence[str] = ()
    run: str | None = None
    since: str | None = None

    def conditions(self, devices: Mapping[str, str], fleet: Fleet | None) -> list[Condition]:
        """`devices` are those of the measurements, each with its profile; `fleet` adds tags and groups, where there is
        one. Errors: ConfigError for what cannot be read, or stands for nothing."""
        return [*self._columns(), *(self._devices(devices, fleet) if self.device is not None else ())]

    def _columns(self) -> Iterator[Condition]:
        if self.model is not None:
            yield Like("model", self.model)
        if self.verdict:
            yield Among("verdict", [_status(word) for word in self.verdict])
        if self.run is not None:
            yield Like("run", f"{self.run}*")
        if self.since is not None:
            yield NotBefore("started_at", moment(self.since))

    def _devices(self, devices: Mapping[str, str], fleet: Fleet | None) -> Iterator[Condition]:
        known = set(device_profile_names())
        tags = {name: device.tags for name, device in fleet.devices.items()} if fleet else {}
        labels = {
            name: Labels(tags.get(name, ()), profile if profile in known else None) for name, profile in devices.items()
        }
        groups = {
            group: frozenset(name for name in devices if name.partition(":")[0] in entries)
            for group, entries in (fleet.groups.items() if fleet else ())
        }
        vocabulary = Vocabulary(labels, frozenset(devices), "the measurements", groups)
        try:
            yield Among("device", evaluate(self.device or "", vocabulary.meaning, vocabulary.everything))
        except ConfigError as error:
            error.where = error.where or "--device"
            error.fix = error.fix and "`edgebench results list` shows the measurements"
            raise


def sort_key(text: str | None) -> tuple[str, bool] | None:
    """The column to sort by and whether the largest comes first: `median_ms`, `-median_ms`. Errors: ConfigError."""
    if text is None:
        return None
    name = text.removeprefix("-")
    if name not in SORTED:
        raise ConfigError(f"no column {name!r} to sort by; there are: {', '.join(SORTED)}", where="--sort")
    return name, text.startswith("-")


def moment(text: str) -> str:
    """`7d` ago, or `2026-01-31`, or `2026-01-31T12:00` in UTC. Errors: ConfigError."""
    try:
        ago_s = parse_duration(text)
        found = datetime.fromtimestamp(time.time() - ago_s, timezone.utc)
    except (ValueError, OverflowError, OSError):
        try:
            found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        except ValueError:
            message = f"{text!r} is neither a time nor how long ago"
            raise ConfigError(message, where="--since", fix="write 7d, 12h, 2026-01-31 or 2026-01-31T12:00") from None
    found = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
    return found.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _status(word: str) -> str:
    if word.upper() not in Status.__members__:
        raise ConfigError(f"no verdict {word!r}; there are: {', '.join(Status.__members__)}", where="--verdict")
    return word.upper()
