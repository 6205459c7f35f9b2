"""The decision matrix: both frameworks beside one another, and nothing of two environments in one table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.contract import JobResult, Precision
from edge.cli.report_claims import tell
from edge.report import matrix as report
from edge.results.claims.measures import Figure
from edge.results.claims.reading import Measurements
from edge.results.decision.matrix import Line, Matrix, matrices
from edge.results.energy import NotKnown
from edge.results.likeness import differences
from edge.results.scrubbing import scrubbed
from edge.results.store import Store
from profiles.schema import Price
from tests.report_lab import Made, add
from tests.unit.edge.test_overhead import TEN_PERCENT, Lab


class Native(Made):
    """A network that a framework runs itself, in a version of it."""

    def __init__(self, name: str, framework: str, mode: str, ms: float, *, version: str = "2.9", **fields: Any) -> None:
        super().__init__(name, framework=framework, backend=framework, options={"mode": mode}, ms=ms, **fields)
        self.measurement = replace(self.measurement, result=self._result(version, mode))

    def _result(self, version: str, mode: str) -> JobResult:
        result = self.measurement.result
        processes = result.processes
        if mode in ("compile", "xla"):
            processes = tuple(replace(one, seconds={"compile": 30.0 + one.index}) for one in processes)
        return replace(result, switches={"runtime_version": version}, processes=processes)


def of(tmp_path: Path, *made: Made) -> list[Matrix]:
    store: Store = add(tmp_path, *made)
    return list(matrices(Measurements.named(store, [one.measurement.id for one in made])))


def line(matrix: Matrix, way: str, name: str) -> Line:
    return next(one for one in matrix.lines if (one.way, one.name) == (way, name))


def test_both_frameworks_stand_beside_one_another_with_a_ratio(tmp_path: Path) -> None:
    (found,) = of(tmp_path, Native("aaaa1", "pytorch", "eager", 10.0), Native("aaaa2", "tensorflow", "graph", 13.0))
    median = line(found, "as it is", "median")
    assert {name: cell.measurement for name, cell in median.cells.items()} == {
        "pytorch": "aaaa1",
        "tensorflow": "aaaa2",
    }
    assert isinstance(median.ratio, Figure)
    assert median.ratio.value == pytest.approx(1.3, rel=0.01)
    assert median.ratio.low is not None
    assert line(found, "as it is", "throughput").cells["pytorch"].status == "UNJUDGED"
    assert found.versions == {"pytorch": "2.9", "tensorflow": "2.9"}


def test_a_network_of_one_size_is_not_told_to_draw_others(tmp_path: Path) -> None:
    (found,) = of(tmp_path, Native("aaaa1", "pytorch", "eager", 10.0, model="vit_b_16"))
    drawn = line(found, "as it is", "drawn sizes").cells["pytorch"]
    assert drawn.figure == NotKnown("vit_b_16 takes images of one size")
    assert drawn.command == ""


def test_what_was_not_measured_has_the_command_that_would(tmp_path: Path) -> None:
    (found,) = of(tmp_path, Native("aaaa1", "pytorch", "compile", 6.0))
    (eager,) = [one.cells["pytorch"] for one in found.lines if one.way == "as it is"]
    assert isinstance(eager.figure, NotKnown)
    assert eager.command.endswith("--backend pytorch --precision fp16 --batch 1 --weights random --option mode=eager")
    xla = line(found, "compiled", "median").cells["tensorflow"]
    assert "--backend tensorflow" in xla.command
    assert "mode=xla" in xla.command
    assert line(found, "compiled", "median").ratio is None


def test_a_way_that_nobody_ran_is_one_row(tmp_path: Path) -> None:
    (found,) = of(tmp_path, Native("aaaa1", "pytorch", "compile", 6.0))
    assert [one.name for one in found.lines if one.way == "as it is"] == ["everything"]
    assert [note for note in report.notes(found) if note.startswith("PyTorch as it is: not measured in this")]


def test_a_reason_that_holds_for_all_is_told_by_the_row_alone(tmp_path: Path) -> None:
    eager, graph = Native("aaaa1", "pytorch", "eager", 10.0), Native("aaaa2", "tensorflow", "graph", 13.0)
    (found,) = of(tmp_path, eager, graph)
    assert [note for note in report.notes(found) if "top-1" in note] == [
        "top-1: no labelled images went through it: deploy --dataset DIR sends them"
    ]
    (found,) = of(tmp_path / "one", eager)
    notes = report.notes(found)
    assert [note for note in notes if note.startswith("PyTorch as it is (top-1): no labelled images")]
    assert [note for note in notes if note.startswith("TensorFlow as it is: not measured in this")]


def test_tables_are_printed_a_line_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eager = Native("aaaa1", "pytorch", "eager", 10.0), Native("aaaa2", "pytorch", "eager", 10.0, batch=8)
    store: Store = add(tmp_path, *eager)
    tell(store, ["aaaa1", "aaaa2"], None, matrix=True, markdown=False, json=False)
    lines = capsys.readouterr().out.split("\n")
    heads = [number for number, line in enumerate(lines) if line.endswith(": pytorch 2.9")]
    assert len(heads) == 2
    assert (heads[0], lines[heads[1] - 1]) == (0, "")
    assert lines[-1] == "" != lines[-2], "no empty line at the end"


def test_compiling_is_a_row_of_what_is_compiled(tmp_path: Path) -> None:
    (found,) = of(tmp_path, Native("aaaa1", "pytorch", "compile", 6.0))
    figure = line(found, "compiled", "compiling").cells["pytorch"].figure
    assert isinstance(figure, Figure)
    assert figure.value == 32.0  # of 30, 31, 32, 33 and 34 s
    assert not [one for one in found.lines if one.name == "compiling" and one.way != "compiled"]


def test_what_came_in_a_bundle_is_of_the_same_board(tmp_path: Path) -> None:
    here = Native("aaaa1", "pytorch", "eager", 10.0, identity={"serial": "1421"})
    came = Native("aaaa2", "tensorflow", "graph", 13.0, identity={"serial": "1421"})
    came.measurement = scrubbed(came.measurement)
    other = Native("aaaa3", "tensorflow", "graph", 14.0, identity={"serial": "1422"})
    other.measurement = scrubbed(other.measurement)
    (found,) = of(tmp_path / "one", here, came)
    assert line(found, "as it is", "median").cells["tensorflow"].measurement == "aaaa2"
    assert "serial" not in [one.name for one in differences(here.measurement, came.measurement)]
    assert len(of(tmp_path / "two", here, other)) == 2
    assert "serial" in [one.name for one in differences(here.measurement, other.measurement)]


def test_another_version_is_another_matrix_and_the_difference_is_named(tmp_path: Path) -> None:
    old = Native("aaaa1", "pytorch", "eager", 12.0, version="2.5")
    new = Native("aaaa2", "pytorch", "eager", 10.0, at="2026-01-02T00:00:00Z")
    first, second = of(tmp_path, old, new, Native("aaaa3", "tensorflow", "graph", 13.0))
    assert first.versions == {"pytorch": "2.9", "tensorflow": "2.9"}
    assert second.versions == {"pytorch": "2.5"}
    assert second.unlike == ("pytorch is 2.5, and 2.9 above",)
    assert isinstance(line(second, "as it is", "median").cells["tensorflow"].figure, NotKnown)


def test_a_device_that_changed_is_another_environment(tmp_path: Path) -> None:
    other = Native("aaaa2", "tensorflow", "graph", 13.0, identity={"l4t": "35.4.1"})
    first, second = of(tmp_path, Native("aaaa1", "pytorch", "eager", 10.0, at="2026-01-02T00:00:00Z"), other)
    assert second.unlike == ("l4t is 35.4.1, and 36.4.3 above",)
    assert line(first, "as it is", "median").ratio is None


def test_an_invalid_figure_has_no_ratio_and_gives_way_to_a_valid_one(tmp_path: Path) -> None:
    drifting = Native("aaaa1", "pytorch", "eager", 10.0, slower=0.5, at="2026-01-03T00:00:00Z")
    tensorflow = Native("aaaa2", "tensorflow", "graph", 13.0)
    (found,) = of(tmp_path / "one", drifting, tensorflow)
    assert line(found, "as it is", "median").cells["pytorch"].status == "INVALID"
    assert line(found, "as it is", "median").ratio is None
    (found,) = of(tmp_path / "two", drifting, tensorflow, Native("aaaa3", "pytorch", "eager", 10.0))
    assert line(found, "as it is", "median").cells["pytorch"].measurement == "aaaa3"


def test_int8_is_a_gain_over_the_precision_of_the_matrix(tmp_path: Path) -> None:
    whole, quantised = Made("aaaa1", ms=4.0), Made("aaaa2", ms=3.0, precision=Precision.INT8)
    (found,) = of(tmp_path, whole, quantised, Made("aaaa3", ms=5.0, framework="tensorflow"))
    int8 = line(found, "in tensorrt", "INT8")
    assert isinstance(int8.cells["pytorch"].figure, Figure)
    assert int8.cells["pytorch"].figure.value == pytest.approx(0.75, rel=0.01)
    assert "--precision int8" in int8.cells["tensorflow"].command


def test_loading_memory_and_cost_are_rows_or_say_why_not(tmp_path: Path) -> None:
    price = Price(per_hour=3.6, currency="EUR", source="a test")
    (found,) = of(
        tmp_path, Made("aaaa1", ms=10.0, price=price), Native("aaaa2", "tensorflow", "graph", 13.0)
    )  # fmt: skip
    rows = {one.name: one.cells["pytorch"].figure for one in found.lines if one.way == "in tensorrt"}
    told = {name: figure for name, figure in rows.items() if isinstance(figure, Figure)}
    assert (told["loading, cold"].value, told["loading, warm"].value) == pytest.approx((2.0, 1.0))
    assert told["memory"] == Figure(160.0, note="of the process")
    assert told["cost"].value == pytest.approx(10.0, rel=0.01)  # a million images at 100 a second, for 0.001 each
    assert told["cost"].note == "EUR"
    drawn = line(found, "in tensorrt", "drawn sizes").cells["pytorch"]
    assert isinstance(drawn.figure, NotKnown)
    assert "--pattern sizes:224-512" in drawn.command
    bare = line(found, "as it is", "cost").cells["tensorflow"]
    assert isinstance(bare.figure, NotKnown)
    assert "no price" in bare.figure.reason


def test_other_requests_and_devices_have_matrices_of_their_own(tmp_path: Path) -> None:
    other = Made("aaaa3", device="orin-2")
    found = of(tmp_path, Made("aaaa1"), Made("aaaa2", batch=8), other, Made("aaaa4", framework="onnx"))
    assert {(one.device, one.label) for one in found} == {
        ("orin-1", "resnet18/* fp16 batch 1"), ("orin-1", "resnet18/* fp16 batch 8"),
        ("orin-2", "resnet18/* fp16 batch 1"),
    }  # fmt: skip


def test_is_told_alike_on_a_terminal_in_markdown_and_as_data(tmp_path: Path) -> None:
    (found,) = of(tmp_path, Native("aaaa1", "pytorch", "eager", 10.0), Native("aaaa2", "tensorflow", "graph", 13.0))
    assert report.headline(found) == "orin-1 resnet18/* fp16 batch 1: pytorch 2.9, tensorflow 2.9"
    for width in (80, 200):
        assert max(map(len, report.table(found, width).partition("\n\n")[0].splitlines())) <= width
    told = report.as_json(found)
    assert told["versions"] == {"pytorch": "2.9", "tensorflow": "2.9"}
    rows = [row for row in report.markdown(found).splitlines() if row.startswith("|")]
    assert len(rows) == 2 + len(found.lines)
    assert any("mode=compile" in note for note in report.notes(found))


def test_what_another_measurement_brings_has_its_id_and_verdict(tmp_path: Path) -> None:
    lab, store = Lab(), Store(tmp_path)
    sized = lab.static(224, 10.0, 10.2, name="own").measurement
    own = replace(sized, cell=replace(sized.cell, size=None))
    for one in (own, lab.drawn(TEN_PERCENT).measurement, *(row.measurement for row in lab.references())):
        store.add(one, lab.samples[one.id].astype("<i8").tobytes())
    several = {one.label: one for one in matrices(Measurements.named(store, list(lab.samples)))}
    plain = next(one for label, one in several.items() if " at " not in label)
    (way,) = {one.way for one in plain.lines if one.name == "drawn sizes"}
    brought = line(plain, way, "drawn sizes").cells["pytorch"]
    assert isinstance(brought.figure, Figure)
    assert brought.figure.value == pytest.approx(10, rel=0.01)
    assert brought.measurement == "drawn"
    others = [one for label, one in several.items() if " at " in label]
    assert others
    assert not [one for matrix in others for one in matrix.lines if one.name == "drawn sizes"]


def test_a_gain_has_the_worse_verdict_of_both_sides(tmp_path: Path) -> None:
    drifting, quantised = Made("aaaa1", ms=4.0, slower=0.5), Made("aaaa2", ms=3.0, precision=Precision.INT8)
    (found,) = of(tmp_path, drifting, quantised)
    gain = line(found, "in tensorrt", "INT8").cells["pytorch"]
    assert (gain.measurement, gain.status) == ("aaaa2", "INVALID")
