"""All that a page shows, as the JSON that it is drawn from."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge import version
from edge.report import claims, matrix
from edge.report.page.cells import Entry, read_entry
from edge.report.page.environment import environment
from edge.report.page.graphs import Graphs
from edge.report.page.overheads import overheads
from edge.report.page.ratios import ratios
from edge.results.claims.bounds import Networks
from edge.results.claims.check import check
from edge.results.claims.reading import Measurements
from edge.results.decision.matrix import matrices
from edge.results.store import Store
from export.artifact import Store as Artifacts
from profiles.claim_schema import ClaimsFile
from profiles.errors import ConfigError, ResultError
from profiles.load import compile_coverage

MOST = 1_000
"""Measurements in one page: more make a file that no browser likes."""

_MANY, _FINE, _COARSE = 100, 200, 64  # measurements; points of a distribution up to so many, and beyond


@dataclass
class Reader:
    """Reads measurements once, however often a page of them is made. `claims` are held against them where there are
    any."""

    results: Path
    artifacts: Path
    claims: ClaimsFile | None = None
    _read: dict[tuple[str, int], Entry] = field(default_factory=dict)

    def document(self, ids: Sequence[str], command: Sequence[str], *, live: bool = False) -> dict[str, Any]:
        """Of these measurements, which `command` chose. Damaged ones are left out, and named. Errors: ConfigError for
        too many."""
        if len(ids) > MOST:
            message = f"{len(ids):,} measurements are more than the {MOST:,} that one page holds"
            raise ConfigError(message, where="report", fix=f"choose with --run, --device or --last {MOST}")
        entries, damaged = self._entries(ids, _FINE if len(ids) <= _MANY else _COARSE)
        compared, refused = ratios(entries)
        among = Measurements(Store(self.results), [entry.row.measurement for entry in entries])
        return {
            "edgebench": version(),
            "made_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "command": shlex.join(command),
            "live": live,
            "cells": [entry.told for entry in entries],
            "ratios": compared,
            "not_compared": refused,
            "overheads": overheads(entries, Store(self.results).samples_ns),
            "environment": environment([entry.row for entry in entries]),
            "claims": self._claims(among),
            "matrices": [matrix.for_page(one) for one in matrices(among)],
            "damaged": damaged,
        }

    def _claims(self, among: Measurements) -> dict[str, Any] | None:
        if self.claims is None:
            return None
        networks = Networks(Artifacts(self.artifacts), among.all)
        found = check(self.claims.whole, among, networks, compile_coverage())
        return claims.for_page(found, self.claims)

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
