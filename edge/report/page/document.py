"""All that a page shows, as the JSON that it is drawn from."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge import version
from edge.report.page.cells import Entry, read_entry
from edge.report.page.environment import environment
from edge.report.page.graphs import Graphs
from edge.report.page.ratios import ratios
from edge.results.store import Store
from profiles.errors import ConfigError, ResultError

MOST = 1_000
"""Measurements in one page: more make a file that no browser likes."""

_MANY, _FINE, _COARSE = 100, 200, 64  # measurements; points of a distribution up to so many, and beyond


@dataclass
class Reader:
    """Reads measurements once, however often a page of them is made."""

    results: Path
    artifacts: Path
    _read: dict[tuple[str, int], Entry] = field(default_factory=dict)

    def document(self, ids: Sequence[str], command: Sequence[str], *, live: bool = False) -> dict[str, Any]:
        """Of these measurements, which `command` chose. Damaged ones are left out, and named. Errors: ConfigError for
        too many."""
        if len(ids) > MOST:
            message = f"{len(ids):,} measurements are more than the {MOST:,} that one page holds"
            raise ConfigError(message, where="report", fix=f"choose with --run, --device or --last {MOST}")
        entries, damaged = self._entries(ids, _FINE if len(ids) <= _MANY else _COARSE)
        compared, refused = ratios(entries)
        return {
            "edgebench": version(),
            "made_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "command": shlex.join(command),
            "live": live,
            "cells": [entry.told for entry in entries],
            "ratios": compared,
            "not_compared": refused,
            "environment": environment([entry.row for entry in entries]),
            "damaged": damaged,
        }

    def _entries(self, ids: Sequence[str], points: int) -> tuple[list[Entry], list[str]]:
        store, graphs = Store(self.results), Graphs(self.artifacts)
        found, damaged = [], []
        for one in ids:
            try:
                key = (one, points)
                if key not in self._read:
                    self._read[key] = read_entry(store, graphs, one, points)
                found.append(self._read[key])
            except ResultError as error:
                damaged.append(str(error))
        return found, damaged
