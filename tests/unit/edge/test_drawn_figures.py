"""What becomes of a measurement of drawn sizes: figures by size, verdict, details, tables, the page, other formats."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.contract import LoadPattern
from edge.report import overhead as told
from edge.report.details import details
from edge.report.page.document import Reader
from edge.report.row_json import as_json
from edge.report.rows import Row
from edge.results import overhead
from edge.results.interop.sample_table import blocks
from edge.results.samples import check_samples
from edge.results.sampling import samples_of
from edge.results.store import Store
from edge.results.watched import Watched
from profiles.errors import ResultError
from profiles.schema import Thresholds
from tests.interop_lab import derived
from tests.made import MS, Drawn, drawn, measured

DRAWN = LoadPattern.parse("sizes:224-288/32")
ROUND: Drawn = {224: (40, 10.0), 256: (40, 20.0), 288: (40, 40.0)}
STRICT = Thresholds()


def made(*processes: Drawn, **fields: Any) -> tuple[Row, Any]:
    return drawn(processes, **{"name": "drawn001", "pattern": DRAWN, "thresholds": STRICT, **fields})


def kept(root: Path, *found: tuple[Row, Any]) -> Store:
    store = Store(root)
    for row, samples in found:
        store.add(row.measurement, samples.astype("<i8").tobytes())
    return store


class TestFigures:
    def test_are_told_size_by_size(self) -> None:
        row, _ = made(ROUND, {**ROUND, 288: (40, 44.0)})
        found = [(one.size, one.samples, one.median_ns / MS) for one in row.summary.sizes]
        assert found == [(224, 80, 10.0), (256, 80, 20.0), (288, 80, 42.0)]
        assert as_json(row)["sizes"] == list(row.summary.sizes)
        plain, _ = measured(10.0)
        assert as_json(plain)["sizes"] == []

    def test_sizes_that_come_in_another_order_are_no_drift_no_spread_and_no_two_speeds(self) -> None:
        """The first quarter is of small images, the last of large ones; and other processes draw more of them."""
        row, _ = made(ROUND, {224: (10, 10.0), 256: (20, 20.0), 288: (90, 40.0)})
        assert row.summary.drift == pytest.approx(0.0)
        assert row.summary.spread == pytest.approx(0.0)
        assert row.summary.kinds is None
        assert "unstable" not in {finding.rule for finding in row.verdict.broken}
        assert row.summary.mean_ns == pytest.approx((50 * 10 + 60 * 20 + 130 * 40) / 240 * MS)

    def test_a_device_that_gets_slower_drifts_at_whatever_sizes(self) -> None:
        row, samples = made({224: (120, 10.0), 288: (120, 40.0)})
        count = len(samples) // 2
        slower = samples.copy()
        slower[:count] = samples[:count][np.argsort(np.arange(count) % 120, kind="stable")] * np.linspace(1, 1.5, count)
        slower[count:] = samples[count:][np.argsort(np.arange(count) % 120, kind="stable")]
        assert Row.from_samples(row.measurement, slower).summary.drift > 0.2


class TestDetails:
    def shown(self, *references: tuple[Row, Any]) -> str:
        row, samples = made(ROUND, ROUND)
        known = {one.measurement.id: its for one, its in (*references, (row, samples))}
        found = overhead.of(row, [one for one, _ in references], lambda measurement: known[measurement.id])
        return details(row, Watched(row.measurement.result, samples), 300, found)

    def test_tell_the_whole_and_each_size(self) -> None:
        text = self.shown(*(measured(ms, ms, size=(px, px), name=f"alone{px}")
                            for px, ms in ((224, 8.0), (256, 20.0), (288, 50.0))))  # fmt: skip
        assert "-10.3% (-10.3% to -10.3%) on the time that the same sizes take alone" in text
        assert "224 px: 80 inferences, median 10.00 ms; alone 8.00 ms (alone224); +25.0% (+25.0% to +25.0%)" in text
        assert "288 px: 80 inferences, median 40.00 ms; alone 50.00 ms (alone288); -20.0%" in text

    def test_name_what_is_missing(self) -> None:
        text = self.shown(*(measured(ms, ms, size=(px, px), name=f"alone{px}") for px, ms in ((224, 8.0), (256, 20.0))))
        assert "not given: 288 px: no static reference of it was measured" in text
        assert "288 px: 80 inferences, median 40.00 ms; no static reference of it was measured" in text

    def test_of_one_process_have_no_interval(self) -> None:
        assert told.share(overhead.Ratio(1.0312)) == "+3.1%"
        assert told.share(overhead.Ratio(0.97, 0.95, 0.99)) == "-3.0% (-5.0% to -1.0%)"


class TestThePage:
    def test_sets_each_against_the_same_sizes_alone(self, tmp_path: Path) -> None:
        alone = [
            measured(ms, ms, size=(px, px), name=f"alone{px}") for px, ms in ((224, 8.0), (256, 20.0), (288, 40.0))
        ]
        found = kept(tmp_path / "results", made(ROUND, ROUND, thresholds=Thresholds(9.0, 9.0, 9.0)), *alone)
        document = Reader(tmp_path / "results", tmp_path / "store").document(found.ids(), ["edgebench", "report"])
        (one,) = document["overheads"]
        assert (one["id"], one["missing"]) == ("drawn001", [])
        assert one["overall"]["value"] == pytest.approx(70 / 68, rel=1e-3)
        assert [(bucket["size"], bucket["ms"], bucket["alone_ms"]) for bucket in one["buckets"]] == [
            (224, 10.0, 8.0), (256, 20.0, 20.0), (288, 40.0, 40.0),
        ]  # fmt: skip
        cell = next(cell for cell in document["cells"] if cell["id"] == "drawn001")
        assert "why" in cell["floor"]


class TestOtherFormats:
    def test_every_sample_has_its_size(self) -> None:
        row, samples = made(ROUND)
        block = next(one for one in blocks([derived(row.measurement, samples)]) if one["phase"] == "timed")
        assert block["size_px"].tolist() == [224] * 40 + [256] * 40 + [288] * 40
        plain, its = measured(10.0)
        assert {one["size_px"] for one in blocks([derived(plain.measurement, its)])} == {None}

    def test_so_has_every_row_of_the_view_samples(self, tmp_path: Path) -> None:
        pytest.importorskip("duckdb", reason="the views are DuckDB's: pip install 'edgebench[query]'")
        store = kept(tmp_path, made(ROUND), measured(10.0, name="plain001", count=5))
        found = samples_of(store, ["drawn001", "plain001"])
        assert found["size_px"].tolist() == [224] * 40 + [256] * 40 + [288] * 40 + [0] * 5

    def test_a_size_that_is_none_is_damage(self) -> None:
        row, samples = made(ROUND)
        broken = samples.copy()
        broken[-1] = 0
        data = broken.astype("<i8").tobytes()
        result = replace(row.measurement.result, samples_sha256=hashlib.sha256(data).hexdigest())
        with pytest.raises(ResultError, match="a size of images is not positive"):
            check_samples(result, data, where="here")
