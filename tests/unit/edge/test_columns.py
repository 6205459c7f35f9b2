"""A table that is too wide leaves out what tells least and says so; it never cuts or wraps a figure."""

from __future__ import annotations

from dataclasses import replace

from edge.report.columns import Column, Spare, listing

COLUMNS = (
    Column("device", ["orin-1", "orin-2"]),
    Column("framework", ["pytorch", "pytorch"]),
    Column("with", ["", ""]),
    Column("median ms", ["12.31 ±0.40", "9.00"], right=True),
    Column("p99 ms", ["14.00", "10.00"], right=True),
    Column("verdict", ["INVALID unstable", "VALID"], short=["INVALID", "VALID"]),
)
SPARES = (Spare("framework", if_alike=True), Spare("p99 ms"))


def header(text: str) -> list[str]:
    return text.splitlines()[0].split()


def test_with_room_everything_is_there_but_what_is_empty() -> None:
    text = listing(COLUMNS, 80, SPARES)
    assert header(text) == ["device", "framework", "median", "ms", "p99", "ms", "verdict"]
    assert len(text.splitlines()) == 3


def test_what_is_short_goes_first_then_what_is_alike_then_the_rest_and_it_is_told() -> None:
    shorter = listing(COLUMNS, 50, SPARES)
    assert "unstable" not in shorter
    assert "left out" not in shorter
    alike = listing(COLUMNS, 45, SPARES)
    assert header(alike) == ["device", "median", "ms", "p99", "ms", "verdict"]
    assert alike.endswith("left out for want of width: framework (pytorch); --json has everything")
    assert "framework (pytorch), p99 ms;" in listing(COLUMNS, 30, SPARES)
    for width in (50, 45, 40):
        assert max(map(len, listing(COLUMNS, width, SPARES).splitlines()[:3])) <= width


def test_what_tells_rows_apart_stays_where_only_alike_ones_may_go() -> None:
    unlike = replace(COLUMNS[1], cells=["pytorch", "tensorflow"])
    assert "framework" in listing([COLUMNS[0], unlike, *COLUMNS[3:]], 20, SPARES)


def test_no_figure_is_cut_however_narrow_the_terminal() -> None:
    text = listing(COLUMNS, 10, SPARES)
    assert "12.31 ±0.40" in text
    assert "INVALID" in text


def test_what_every_cell_shares_is_said_once() -> None:
    told = Column(
        "with", ["streams=2, build 1", "streams=2, build 2"], short=["build 1", "build 2"], common="streams=2"
    )
    text = listing([*COLUMNS, told], 70, SPARES)
    assert "build 2" in text
    assert "with (streams=2)" in text
    assert text.count("streams=2") == 1


def test_text_of_a_device_is_no_markup_and_moves_no_cursor() -> None:
    text = listing([Column("gpu", ["\x1b[2J[red]boo[/red]"])], 80, ())
    assert "?[2J[red]boo[/red]" in text
