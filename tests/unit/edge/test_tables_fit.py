"""Every table fits the terminal, however long its names are, and nothing of a name or a figure is lost."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from device_agents.contract import SCHEMA, EngineReport, FileEntry, ModelReleases, Precision, Releases
from edge.report import comparison, engines, releases, standing, table
from edge.results.compare import compare
from edge.running.watching import DeviceStatus, RunStatus
from edge.sweeps.runs import Run
from tests.made import measured, sided
from tests.terminal import in_order, typed

LONG = "a-device-with-a-name-that-says-where-it-stands-in-the-hall"
MODEL = "acme/networks/segmentation-of-road-surfaces-with-a-large-backbone@2026-11"
TEN = (10.0, 10.1, 9.9, 10.05, 9.95)


def results(width: int) -> str:
    rows = [measured(*TEN, name=f"aaaa{n}111", device=f"{LONG}-{n}", model=MODEL, batch=n)[0] for n in (1, 8)]
    return table.measurements(rows, ids=True, width=width)


def comparisons(width: int) -> str:
    found = [
        compare(sided(*TEN, **fields), sided(*TEN, **fields), threshold=0.05, across=(), invalid=False)
        for fields in ({"device": LONG, "model": MODEL}, {"device": LONG, "model": MODEL, "batch": 8})
    ]
    return comparison.table(found, width)


def released(width: int) -> str:
    return releases.table(
        {LONG: Releases((ModelReleases(MODEL, (), "v-2026-11-26-night", "v-2026-11-25-night"),))}, width
    )


def built(width: int) -> str:
    report = EngineReport(
        SCHEMA, "k" * 64, "a" * 64, FileEntry("model.engine", 10_000_000, "c" * 64), "tensorrt", "10.3.0.26",
        Precision.FP16, "2026-01-01T00:00:00Z",
        {"gpu_name": "NVIDIA A100-SXM4-80GB", "shapes": "images (1, 3, 1024, 1024):(8, 3, 1024, 1024)", "build": 2},
    )  # fmt: skip
    return engines.table({LONG: [report]}, {"a" * 64: MODEL}, width)


def swept(width: int) -> str:
    status = RunStatus(0.0, {LONG: DeviceStatus(total=10, done=3, failed=1)})
    run = Run("20261126t072915-8dfe", MODEL, "2026-11-26T07:29:15Z", finished=True, under_way=False, status=status)
    return standing.runs([run, replace(run, under_way=True)], width)


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("made", [results, comparisons, released, built, swept], ids=lambda made: made.__name__)
def test_tables_fit(made: Callable[[int], str], width: int) -> None:
    lines = made(width).partition("\n\n")[0].splitlines()
    assert max(map(cell_len, lines)) <= width, "\n".join(lines)


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("arguments", [("devices", "list"), ("profiles", "list"), ("paths",)])
def test_what_commands_print_on_a_terminal_fits(tmp_path: Path, columns: int, arguments: tuple[str, ...]) -> None:
    entry = f'[devices.{LONG}]\nhost = "{LONG}.example.org"\nprofile = "jetson-agx-orin-64gb"\ntags = ["{LONG}"]\n'
    (tmp_path / "fleet.toml").write_text(entry)
    environment = {**os.environ, "HOME": "/h", "COLUMNS": str(columns), "TERM": "dumb"}
    argv = [sys.executable, "-c", "from edge.cli import main; main()", *arguments]
    shown = typed(argv, environment, in_order(), cwd=tmp_path)
    assert shown.code == 0, shown.text
    assert max(map(len, shown.text.splitlines())) <= columns, shown.text


def test_long_names_are_folded_and_figures_are_not() -> None:
    text = results(60)
    columns = [line.split("  ")[0].strip() for line in text.splitlines()[1:]]
    assert f"{LONG}-1" in "".join(columns)
    assert "10.00" in text
    assert "aaaa1111" in text
    assert "…" not in text
