"""Memory by stage: of this very process, of a board as a stand-in for NVML tells it, of a recorded Jetson."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agents import footprint
from device_agents.footprint import Footprint
from device_agents.system import System
from tests.jobs import job_spec
from tests.unit.agent.test_agent_board import nvml  # noqa: F401 - a fixture

SPEC = job_spec(inputs=(), outputs=(), batch=1)
MB = 1_000_000
HELD, DROPPED = 64 * MB, 128 * MB


def test_what_a_stage_takes_and_gives_back_is_its_own_peak() -> None:
    with Footprint(System(), SPEC) as memory:
        memory.end("baseline")
        held = bytearray(os.urandom(1) * HELD)
        dropped = bytearray(os.urandom(1) * DROPPED)
        del dropped
        memory.end("load")
        memory.end("timed")
    before, load, timed = (memory.stages[name] for name in ("baseline", "load", "timed"))
    assert len(held) == HELD
    assert load["rss"] >= before["rss"] + 0.9 * HELD
    assert load["rss_peak"] >= before["rss"] + 0.9 * (HELD + DROPPED)
    assert load["rss_peak"] >= load["rss"] + 0.5 * DROPPED, "what was given back is in the peak alone"
    assert timed["rss_peak"] < load["rss_peak"] - 0.5 * DROPPED, "and not in the next stage's"
    assert memory.reading().value == "each stage's own"


def test_where_peaks_cannot_be_reset_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "_RESET", str(tmp_path))  # a folder: writing to it is refused
    with Footprint(System(), SPEC) as memory:
        memory.end("baseline")
    assert memory.stages["baseline"]["rss_peak"] > 0
    assert "Is a directory: peaks are the most since the process began" in str(memory.reading().unknown)


def test_a_board_is_asked_for_all_of_it_and_for_this_process(nvml: Callable[..., System]) -> None:  # noqa: F811
    with Footprint(nvml(MEMORY_USED=5 * 2**30, PIDS=f"1,{os.getpid()}"), SPEC) as memory:
        memory.end("load", {"engine_device": 7})
    told = memory.stages["load"]
    assert (told["device"], told["device_process"], told["engine_device"]) == (5 * 2**30, 2**20, 7)


def test_a_process_that_the_board_numbers_otherwise_is_left_out(nvml: Callable[..., System]) -> None:  # noqa: F811
    with Footprint(nvml(MEMORY_USED=5 * 2**30, PIDS="1"), SPEC) as memory:
        memory.end("load")
    assert "device_process" not in memory.stages["load"]


def test_a_job_on_the_processor_asks_no_board(nvml: Callable[..., System]) -> None:  # noqa: F811
    spec = job_spec(inputs=(), outputs=(), batch=1, options={"provider": "cpu"})
    with Footprint(nvml(MEMORY_USED=5 * 2**30), spec) as memory:
        memory.end("load")
    assert set(memory.stages["load"]) == {"rss", "rss_peak"}


def test_a_jetson_shares_its_memory_and_tells_what_is_left(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:  62841444 kB\nMemAvailable:  57245236 kB\n")
    with Footprint(System(tmp_path), SPEC) as memory:
        memory.end("load")
    assert memory.stages["load"]["available"] == 57_245_236 * 1024
