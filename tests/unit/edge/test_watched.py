"""Series of what a device did, cut to the times at which it was timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from device_agents.contract import (
    SCHEMA,
    JobResult,
    ProcessResult,
    SampleRange,
    SchemaViolation,
    Series,
    Watch,
    from_json,
    to_json,
)
from edge.results.watched import Watched

TIMES = np.arange(0, 1000, 100)
DATA = np.concatenate([TIMES, 40_000 + 10 * TIMES])  # m°C: 40 at first, 49 at last
CELSIUS = Series("temperature", "C", "/sys/zone", 1000, SampleRange(0, 10), SampleRange(10, 10))


def result(watch: Watch | None, *began_ns: int) -> JobResult:
    processes = tuple(
        ProcessResult(index, 1, 1, 1, SampleRange(0, 0), SampleRange(0, 1), 200, True, 1, 1, {}, began_ns=begin)
        for index, begin in enumerate(began_ns)
    )
    return JobResult(
        SCHEMA, "job-1", "a" * 64, "onnxruntime", "now", {}, {}, {}, processes, len(DATA), "0" * 64, {}, watch=watch
    )


def watched(*began_ns: int, **fields: Any) -> Watched:
    return Watched(result(Watch((CELSIUS,), 10.0, 0.01, **fields), *began_ns), DATA)


def test_the_timed_parts_alone_count() -> None:
    found = watched(150, 600)
    parts = found.timed("temperature")
    assert [part.times_ns.tolist() for part in parts] == [[200, 300], [600, 700]]
    assert [part.mean for part in parts] == [42.5, 46.5]
    during = found.during("temperature")
    assert during is not None
    assert (during.least, during.mean, during.most, during.unit, during.source) == (42, 44.5, 47, "C", "/sys/zone")


def test_a_process_into_which_nothing_fell_is_left_out() -> None:
    found = watched(150, 5_000, 0)
    assert len(found.timed("temperature")) == 1
    assert watched(5_000).during("temperature") is None


def test_the_idle_window() -> None:
    track = watched(500, idle_from_ns=100, idle_until_ns=300).idle("temperature")
    assert track is not None
    assert (track.values.tolist(), track.rise) == ([41, 42], 1)
    assert watched(500).idle("temperature") is None


def test_what_was_not_watched_says_why() -> None:
    found = watched(150, unknown={"power": "no sensor"})
    assert found.names == ("temperature",)
    assert (found.whole("power"), found.during("power"), found.idle("power")) == (None, None, None)
    assert found.why_unknown("power") == "no sensor"
    assert found.why_unknown("energy") == "it is not told there"
    nothing = Watched(result(None, 150), DATA)
    assert (nothing.names, nothing.whole("temperature")) == ((), None)
    assert "not watched" in nothing.why_unknown("temperature")


def test_a_watch_survives_json() -> None:
    made = result(Watch((CELSIUS,), 10.0, 0.01, unknown={"power": "no sensor"}), 150)
    assert from_json(JobResult, to_json(made)) == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": SampleRange(10, 9)}, "9 of temperature at 10 times"),
        ({"values": SampleRange(11, 10)}, "series temperature points past the last sample"),
        ({"per_unit": 0}, "0 is not positive"),
        ({"unit": "F"}, "temperature is in 'C', not 'F'"),
    ],
)
def test_a_series_that_cannot_be(change: dict[str, Any], message: str) -> None:
    fields = {name: getattr(CELSIUS, name) for name in ("name", "unit", "source", "per_unit", "times", "values")}
    with pytest.raises(SchemaViolation, match=message):
        result(Watch((Series(**{**fields, **change}),), 10.0, 0.01), 150)
