"""Load times: which parts count, who started cold and who warm, and what is said where nobody can tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.contract import ProcessResult, Reading
from edge.report.stages import starting
from edge.results import loading
from edge.results.energy import NotKnown
from edge.results.likeness import unlike_axes
from edge.results.loading import Loading
from edge.results.special import special
from edge.results.store import Measurement
from edge.sweeps.plan_file import load_sweep
from tests.measured import measurement

PARTS = {"interpreter": 0.05, "import": 0.5, "load": 0.25, "bind": 0.01, "first_inference": 0.04}
OWN = {"start": 0.1, "golden": 0.2, "inspect": 0.0, "inputs": 0.3, "memory": 0.01}
LATER = {"parity_before": 5.0, "warmup": 6.0, "timed": 7.0, "loop": 8.0, "buffers": 9.0}


def process(index: int = 0, *, cache: str | None = "warm", compiled: str = "", **parts: float) -> ProcessResult:
    (made,) = measurement("aaaa1111").result.processes
    seen = Reading(unknown="no file of another owner") if cache is None else Reading(cache, "mincore(2)")
    state = {"page_cache": seen}
    state.update({"page_cache_share": Reading(0.5, "mincore(2)")} if cache else {})
    state.update({"compile_cache": Reading(compiled, "counters")} if compiled else {})
    return replace(made, index=index, seconds={**PARTS, **OWN, **LATER, **parts}, state=state, first_inference_ns=1)


def of(*processes: ProcessResult) -> Loading:
    found = loading.of(made(*processes))
    assert isinstance(found, Loading)
    return found


def made(*processes: ProcessResult) -> Measurement:
    whole = measurement("aaaa1111")
    task = "measure" if processes else "foreign"
    return replace(whole, result=replace(whole.result, processes=processes, task=task))


def test_the_total_is_what_an_application_waits_for_and_nothing_of_ours() -> None:
    (told,) = of(process()).processes
    assert list(told.parts) == ["interpreter", "import", "load", "bind", "first_inference"]
    assert told.total_s == pytest.approx(0.85)
    assert told.own_s == pytest.approx(0.61)
    assert (told.page_cache, told.resident, told.unseen) == ("warm", 0.5, "")


def test_compiling_is_a_part_where_there_is_any() -> None:
    (told,) = of(process(compile=3.0)).processes
    assert list(told.parts)[3] == "compile"
    assert told.total_s == pytest.approx(3.85)


def test_processes_are_averaged_with_those_that_started_alike() -> None:
    found = of(process(0, cache="cold", load=2.25), process(1), process(2, load=0.27), process(3, load=0.29))
    assert [(start.name, start.processes) for start in found.starts] == [("cold", (0,)), ("warm", (1, 2, 3))]
    assert found.cold is not None
    assert (found.cold.total_s, found.cold.half_width_s) == (pytest.approx(2.85), None)
    assert found.warm is not None
    assert found.warm.total_s == pytest.approx(0.87)
    assert found.warm.half_width_s == pytest.approx(4.303 * 0.02 / 3**0.5, rel=1e-3)
    assert found.warm.parts["load"] == pytest.approx(0.27)


def test_a_compile_cache_tells_starts_apart_too() -> None:
    found = of(process(0, cache="warm", compiled="cold", compile=9.0), process(1, compiled="warm", compile=1.0))
    assert [start.name for start in found.starts] == ["warm, compiled cold", "warm, compiled warm"]
    assert found.cold is None
    assert found.warm is not None
    assert found.warm.processes == (1,)
    both = of(process(0, cache="cold", compiled="cold", compile=9.0))
    assert both.cold is not None
    assert both.warm is None


@pytest.mark.parametrize(("cache", "name"), [("partly", "partly warm"), (None, "not known how warm")])
def test_what_is_neither_is_neither(cache: str | None, name: str) -> None:
    found = of(process(cache=cache))
    assert [start.name for start in found.starts] == [name]
    assert found.cold is found.warm is None


def test_why_nobody_could_see_is_shown() -> None:
    lines = dict(reversed(list(starting(of(process(0, cache=None), process(1, cache=None))))))
    assert lines["to the first answer s"].startswith(
        "0.85 ±0.000 not known how warm (2 processes): Python 0.050, import"
    )
    assert any("no file of another owner" in text for _, text in starting(of(process(cache=None))))


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        (made(), "no process of ours ran"),
        (measurement("aaaa1111"), "measured by an earlier edgebench"),
        (made(replace(process(), first_inference_ns=0)), "onnxruntime loads and answers in a process of its own"),
    ],
)
def test_without_a_figure_there_is_a_reason(whole: Any, reason: str) -> None:
    found = loading.of(whole)
    assert isinstance(found, NotKnown)
    assert reason in found.reason
    assert dict(starting(found))["to the first answer"] == f"not known: {found.reason}"


class TestAskingForAColdStart:
    def test_a_plan_may(self, tmp_path: Path) -> None:
        (tmp_path / "plan.toml").write_text('models = ["resnet18"]\ncold = true\n')
        (request,) = [one for sweep in [load_sweep(tmp_path / "plan.toml")] for one in sweep.requests(sweep.axes[0])]
        assert request.cold

    def test_it_is_another_request_that_is_compared_with_those_without(self) -> None:
        warm, cold = (measurement("aaaa1111", cold=is_cold).cell for is_cold in (False, True))
        assert warm.id == measurement("aaaa1111").cell.id != cold.id
        assert unlike_axes(warm, cold) == ()
        assert special(cold) == ["cold start"]
