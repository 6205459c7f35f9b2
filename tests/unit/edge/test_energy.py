"""Joules an inference, from series that were made by hand; and where there is no figure, why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from device_agents.contract import SCHEMA, JobResult, ProcessResult, SampleRange, Series, Watch
from edge.report.row_json import as_json
from edge.report.rows import Row
from edge.report.table import measurements
from edge.results.energy import Energy, NotKnown, energy
from edge.results.watched import Watched
from tests.made import shown
from tests.unit.edge.test_report import row

S = 10**9
EVERY = S // 10
TIMES = np.arange(0, 10 * S + 1, EVERY)
STEADY = np.full(len(TIMES), 12_000)  # mW


def watched(
    *series: tuple[str, str, np.ndarray], times: np.ndarray = TIMES, began: tuple[int, ...] = (3 * S, 6 * S)
) -> tuple[tuple[ProcessResult, ...], Watched]:
    """Two processes that time 100 inferences in 2 s each; nothing of ours runs in the first 2 s."""
    data = np.concatenate([np.full(100, 20_000_000), times, *(values for _, _, values in series)])
    place = SampleRange(100, len(times))
    made = tuple(
        Series(name, unit, "VDD_IN", 1000, place, SampleRange(100 + len(times) * (index + 1), len(times)))
        for index, (name, unit, _) in enumerate(series)
    )
    processes = tuple(
        ProcessResult(
            index, 1, 1, 1, SampleRange(0, 0), SampleRange(0, 100), 2 * S, True, 1, 1, {}, began_ns=at
        ) for index, at in enumerate(began)
    )  # fmt: skip
    watch = Watch(made, 10.0, 0.01, idle_from_ns=0, idle_until_ns=2 * S, unknown={"power": "no sensor"})
    result = JobResult(
        SCHEMA, "job-1", "a" * 64, "onnxruntime", "now", {}, {}, {}, processes, len(data), "0" * 64, {}, watch=watch
    )
    return processes, Watched(result, data)


def known(found: Energy | NotKnown) -> Energy:
    assert isinstance(found, Energy), found
    return found


def reason(found: Energy | NotKnown) -> str:
    assert isinstance(found, NotKnown), found
    return found.reason


def test_steady_power_is_power_times_time() -> None:
    found = known(energy(*watched(("power", "W", STEADY)), batch=4))
    assert found.watts == pytest.approx(12)
    assert found.joules_per_inference == pytest.approx(12 * 2 / 100)
    assert found.joules_per_sample == pytest.approx(12 * 2 / 400)
    assert found.per_process_j == pytest.approx((0.24, 0.24))
    assert (found.source, found.of, found.interval_s, found.idle_w) == ("VDD_IN", "power", 0.1, 12)


def test_a_ramp_is_integrated_to_the_ends_of_the_timed_part() -> None:
    """A timed part that begins between two readings: 1 W at 1 s to 10 W at 10 s holds (3.25 + 5.25) / 2 x 2 J."""
    ramp = TIMES // 1_000_000
    processes, its = watched(("power", "W", ramp), began=(3 * S + 25 * S // 100,))
    assert known(energy(processes, its, 1)).joules_per_inference == pytest.approx(8.5 / 100)


def test_a_counter_is_believed_rather_than_the_power() -> None:
    counter = TIMES // 1_000_000 * 7  # 7 J a second, in mJ
    found = known(energy(*watched(("power", "W", STEADY), ("energy", "J", counter)), batch=1))
    assert (found.of, found.watts, found.idle_w) == ("energy", pytest.approx(7), 12)
    alone = known(energy(*watched(("energy", "J", counter)), batch=1))
    assert alone.idle_w == pytest.approx(7), "the counter's own rise in the idle window"


def test_a_counter_that_fell_leaves_it_to_the_power() -> None:
    fell = np.where(TIMES < 4 * S, TIMES, 0) // 1_000_000
    assert known(energy(*watched(("power", "W", STEADY), ("energy", "J", fell)), batch=1)).of == "power"
    assert (
        reason(energy(*watched(("energy", "J", fell)), batch=1))
        == "the counter VDD_IN fell in the timed part of process 0"
    )


@pytest.mark.parametrize(
    ("times", "began", "why"),
    [
        (TIMES, (3 * S, 0), "when the timed part of process 1 began is not known"),
        (TIMES * 20, (3 * S, 6 * S), "1 readings of VDD_IN fell into the timed part of process 0, and it takes 2"),
        (np.where(TIMES > 7 * S, TIMES + 5 * S, TIMES), (3 * S, 6 * S), "for 1 s of the timed part of process 1"),
        (TIMES, (9 * S, 2 * S), "was not read for 1 s of the timed part of process 0"),
    ],
)  # fmt: skip
def test_readings_that_do_not_reach_over_the_timed_part_give_no_figure(
    times: np.ndarray, began: tuple[int, ...], why: str
) -> None:
    assert why in reason(energy(*watched(("power", "W", STEADY), times=times, began=began), batch=1))


def test_without_a_sensor_the_reason_is_the_device_s() -> None:
    assert reason(energy(*watched(), batch=1)) == "no sensor"


def with_power() -> Row:
    made = row()
    processes, its = watched(("power", "W", STEADY))
    result = replace(made.measurement.result, processes=processes)
    cell = replace(made.measurement.cell, batch=8)
    return replace(
        made, measurement=replace(made.measurement, result=result, cell=cell), energy=energy(processes, its, cell.batch)
    )


def test_it_is_shown_where_it_is_known() -> None:
    text = shown(with_power())
    assert "0.24 J an inference, 0.03 J an image; 12 W while timed" in text
    assert "by VDD_IN, its power, integrated over the timed part, a reading every 100 ms; idle 12 W" in text
    assert "energy                      not known: this device was not watched" in shown(row())
    header, first = measurements([with_power(), row()], ids=False).splitlines()[:2]
    assert "J/image" in header
    assert first.split()[-3:-1] == ["0.03", "12"]
    assert "J/image" not in measurements([row()], ids=False)
    told = as_json(with_power())["energy"]
    assert isinstance(told, Energy)
    assert as_json(row())["energy_unknown"] == "this device was not watched while it was timed"
