"""The command under a measurement makes the same request again."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from device_agents.contract import DimRange, LoadPattern, Precision, Timing
from edge.planning.plan import Cell
from edge.results.again import deploy_command
from tests.command_lines import understood

CELL = Cell("orin-1", "resnet18", "pytorch", "tensorrt", Precision.FP16, 8)
OTHER = Cell(
    "orin-2", "resnet50", "tensorflow", "onnxruntime", Precision.FP32, 1, weights="random",
    pattern=LoadPattern("rate", 30.0), timing=Timing.quick(), options={"streams": 2, "spin": False}, hot_input=True,
    transfers=False, profiles=({"batch": DimRange(1, 8, 32)},), check_with="trtexec", engines="per-class",
    size=(384, 320), lock_clocks=True, power_mode="MAXN", persistence=True, shared=True, inputs="a" * 64, repeat=1,
    build=2, static=True, cold=True, dataset="b" * 64,
)  # fmt: skip
UNTOLD = {"inputs", "dataset", "repeat", "build", "static"}
"""Own files are known by hash, what is counted has no option, and a static engine comes beside drawn sizes."""


def test_each_field_of_a_request_is_in_its_command() -> None:
    for field in fields(Cell):
        changed = replace(CELL, **{field.name: getattr(OTHER, field.name)})
        assert changed != CELL, field.name
        assert (deploy_command(changed) == deploy_command(CELL)) is (field.name in UNTOLD), field.name
        understood(deploy_command(changed))


@pytest.mark.parametrize("pattern", [LoadPattern(), LoadPattern.parse("soak:60s"), LoadPattern.parse("sizes:224,256")])
@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("processes", [None, 1, 3, 5])
def test_its_timing_is_asked_for_again(pattern: LoadPattern, quick: bool, processes: int | None) -> None:
    timing = Timing.chosen(quick).for_pattern(pattern, processes)
    words = deploy_command(replace(CELL, pattern=pattern, timing=timing)).split()
    again = int(words[words.index("--processes") + 1]) if "--processes" in words else None
    assert Timing.chosen("--quick" in words).for_pattern(pattern, again) == timing
    assert not (processes is None and again)


def test_it_is_typed_as_it_is_shown() -> None:
    told = deploy_command(OTHER)
    understood(told)
    assert "--bounds 1:8:32" in told
    assert "--option spin=false --option streams=2" in told
    assert told.endswith("--lock-clocks --power-mode MAXN --persistence --shared")
