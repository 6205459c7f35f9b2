"""All that a page shows, as the JSON that it is drawn from."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge import version
from edge.report import claims, matrix
from edge.report.page.cells import Detail, Entry, comparable, read_entry
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

MOST, MOST_LIVE = 10_000, 1_000
"""Measurements in one page: more make a file that no browser likes. One that is live is made anew with each."""

_DETAILS = {100: Detail(points=200), MOST_LIVE: Detail(points=64), MOST: Detail(points=64, whole=False)}
"""By the most measurements of a page that has it."""
_PAIRS, _MATRICES = 1_000, 20
"""Ratios and tables of frameworks beside one another in a page that is not whole; else all."""


@dataclass
class Reader:
    """Reads measurements once, however often a page of them is made. `claims` are held against them where there are
    any."""

    results: Path
    artifacts: Path
    claims: ClaimsFile | None = None
    _read: dict[tuple[str, Detail], Entry] = field(default_factory=dict)

    def document(self, ids: Sequence[str], command: Sequence[str], *, live: bool = False) -> dict[str, Any]:
        """Of these measurements, which `command` chose. Damaged ones are left out, and named. Errors: ConfigError for
        too many."""
        most = MOST_LIVE if live else MOST
        if len(ids) > most:
            message = f"{len(ids):,} measurements are more than the {most:,} that one page holds"
            raise ConfigError(message, where="report", fix=f"choose with --run, --device or --last {most}")
        detail = next(detail for most, detail in _DETAILS.items() if len(ids) <= most)
        entries, damaged = self._entries(ids, detail)
        pairs, tables = (None, None) if detail.whole else (_PAIRS, _MATRICES)
        compared, refused = ratios(entries, pairs)
        among = Measurements(Store(self.results), [entry.row.measurement for entry in entries])
        beside = matrices(among)
        shown = list(itertools.islice(beside, tables))
        return {
            "edgebench": version(),
            "made_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "command": shlex.join(command),
            "live": live,
            "whole": detail.whole,
            "cells": [entry.told for entry in entries],
            "ratios": compared,
            "not_compared": refused,
            "overheads": overheads(entries, Store(self.results).samples_ns),
            "environment": environment(comparable(entries)),
            "claims": self._claims(among),
            "matrices": [matrix.for_page(one) for one in shown],
            "more_matrices": next(beside, None) is not None,
            "damaged": damaged,
        }

    def _claims(self, among: Measurements) -> dict[str, Any] | None:
        if self.claims is None:
            return None
        networks = Networks(Artifacts(self.artifacts), among.all)
        found = check(self.claims.whole, among, networks, compile_coverage())
        return claims.for_page(found, self.claims)

    def _entries(self, ids: Sequence[str], detail: Detail) -> tuple[list[Entry], list[str]]:
        store, graphs = Store(self.results), Graphs(self.artifacts)
        found, damaged = [], []
        for one in ids:
            try:
                key = (one, detail)
                if key not in self._read:
                    self._read[key] = read_entry(store, graphs, one, detail)
                found.append(self._read[key])
            except ResultError as error:
                damaged.append(str(error))
        return found, damaged
