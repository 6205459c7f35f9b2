"""Memory over the baseline by stage: of the process without what edgebench keeps in it, of the device by who tells."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from device_agents.contract import ProcessResult, Reading
from edge.report.stages import holding
from edge.results import memory
from edge.results.energy import NotKnown
from edge.results.memory import Memory
from edge.results.store import Measurement
from tests.measured import measurement

MB = 1_000_000
STAGES = ("baseline", "import", "golden", "load", "inputs", "first_inference", "check", "timed")
RSS = (20, 50, 60, 160, 200, 210, 215, 216)
PEAK = (20, 50, 80, 190, 260, 215, 230, 217)


def process(**more: tuple[int, ...]) -> ProcessResult:
    """`more` are other quantities in MB, a number a stage."""
    (made,) = measurement("aaaa1111").result.processes
    columns = {"rss": RSS, "rss_peak": PEAK, **more}
    stages = {name: {key: its[place] * MB for key, its in columns.items()} for place, name in enumerate(STAGES)}
    return replace(made, stages=dict(sorted(stages.items())))  # as JSON keeps them


def made(*processes: ProcessResult) -> Measurement:
    whole = measurement("aaaa1111")
    task = "measure" if processes else "foreign"
    return replace(whole, result=replace(whole.result, processes=processes, task=task))


def of(*processes: ProcessResult) -> Memory:
    found = memory.of(made(*processes))
    assert isinstance(found, Memory)
    return found


def test_a_stage_is_its_peak_over_the_baseline_less_what_edgebench_put_there() -> None:
    found = of(process())
    assert [(one.name, one.process // MB) for one in found.stages] == [
        ("import", 30), ("load", 160), ("first_inference", 145), ("timed", 142),
    ]  # fmt: skip
    assert (found.process, found.baseline, found.own) == (160 * MB, 20 * MB, 55 * MB)
    assert (found.device, found.device_source, found.allocator) == (None, "", None)


def test_of_several_processes_the_most_is_told() -> None:
    more = process(rss_peak=(20, 55, 80, 180, 260, 215, 230, 290))
    found = of(process(), more)
    assert {one.name: one.process // MB for one in found.stages} == {
        "import": 35, "load": 160, "first_inference": 145, "timed": 215,
    }  # fmt: skip
    assert found.process == 215 * MB


@pytest.mark.parametrize(
    ("more", "device", "source"),
    [
        ({"device": (900, 900, 900, 1400, 1400, 1700, 1700, 1600)}, 800, memory.WHOLE_BOARD),
        ({"device": (900,) * 8, "device_process": (0, 0, 0, 400, 400, 610, 610, 600)}, 610, memory.OWN_PROCESS),
        ({"available": (5000, 5000, 4900, 4400, 4400, 4300, 4200, 4350)}, 700, memory.SHARED),
    ],
)
def test_the_device_is_told_by_who_knows_it_best(more: dict[str, tuple[int, ...]], device: int, source: str) -> None:
    found = of(process(**more))
    assert (found.device, found.device_source) == (device * MB, source)
    assert found.stages[0].device == 0


def test_the_runtime_s_own_count_stands_beside_it() -> None:
    assert of(process(engine_device=(0, 0, 0, 0, 0, 300, 300, 350))).allocator == 350 * MB


def test_stages_that_could_not_be_told_apart_say_so() -> None:
    reading = Reading(unknown="/proc/self/clear_refs: Permission denied: peaks are the most since the process began")
    found = of(replace(process(), state={"memory_peaks": reading}))
    assert "Permission denied" in found.caveat
    assert any("stages are not apart" in text and "Permission denied" in text for _, text in holding(found))


def test_the_lines_name_stages_and_what_is_left_out() -> None:
    lines = list(holding(of(process(device=(900, 900, 900, 1400, 1400, 1700, 1700, 1600)))))
    assert lines[0][0] == "memory by stage"
    assert lines[0][1].startswith("process at most 153 MiB: import 28.6 MiB, load 153 MiB, first inference 138 MiB")
    assert lines[1][1].endswith(f"({memory.WHOLE_BOARD})")
    assert lines[2][1] == "over 19.1 MiB before the import; without 52.5 MiB that edgebench keeps there"


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (made(), "no process of ours ran"),
        (measurement("aaaa1111"), "an earlier edgebench"),
        (made(replace(process(), stages={}, first_inference_ns=0)), "in a process of its own"),
    ],
)
def test_without_a_figure_there_is_a_reason(whole: Any, reason: str) -> None:
    found = memory.of(whole)
    assert isinstance(found, NotKnown)
    assert reason in found.reason
