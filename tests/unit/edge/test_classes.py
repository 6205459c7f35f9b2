"""Who builds whose engines, and which builds a run needs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_agents.contract import DimRange, LoadPattern, Precision, Timing
from edge.inventory.devices import Device, Fleet
from edge.planning.classes import build_of, builders, builds_for
from edge.planning.plan import PER_CLASS, Cell
from profiles.errors import ConfigError
from tests.plans import artifact, device

BUILDER, SECOND, THIRD = device("orin-1", builder=True), device("orin-2"), device("orin-3")
NANO = device("nano-1", "jetson-orin-nano-8gb")
ARTIFACT = artifact()


def fleet(*devices: Device) -> Fleet:
    return Fleet({one.name: one for one in devices})


def cell(device: str, **changes: object) -> Cell:
    made = Cell(device, "resnet18", "pytorch", "tensorrt", Precision.FP16, 1, engines=PER_CLASS)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_builder_builds_for_its_profile_alone() -> None:
    every = (BUILDER, SECOND, THIRD, NANO)
    assert builders(fleet(*every), every) == {"orin-2": "orin-1", "orin-3": "orin-1"}
    assert builders(fleet(SECOND, THIRD), (SECOND, THIRD)) == {}


def test_a_builder_that_is_needed_has_to_be_among_the_devices() -> None:
    with pytest.raises(ConfigError) as caught:
        builders(fleet(BUILDER, SECOND), (SECOND,))
    assert str(caught.value) == (
        "--engines: orin-2 takes its engines from orin-1, the builder of jetson-agx-orin-64gb, which is not among the "
        "devices; add it: --device orin-1; or let every device build its own: --engines own"
    )


def test_the_builder_alone_needs_nobody() -> None:
    assert builders(fleet(BUILDER, SECOND), (BUILDER,)) == {}


def builds(*cells: Cell) -> list[tuple[str, int]]:
    devices = {one.name: one for one in (BUILDER, SECOND, THIRD)}
    found = builds_for(cells, {one.id: ARTIFACT for one in cells}, devices)
    assert set(found) == {one.id for one in cells if one.engines == PER_CLASS}
    return [(build.device, build.cell.batch) for build in {build.id: build for build in found.values()}.values()]


def test_what_two_devices_wait_for_is_built_once() -> None:
    first, second = cell("orin-2"), cell("orin-3")
    devices = {one.name: one for one in (BUILDER, SECOND, THIRD)}
    found = builds_for((first, second), {first.id: ARTIFACT, second.id: ARTIFACT}, devices)
    assert found[first.id] is found[second.id]
    assert (found[first.id].device, found[first.id].cell.engines) == ("orin-1", "own")
    assert found[first.id].id not in {first.id, second.id, found[first.id].cell.id}


def test_what_makes_no_other_engine_makes_no_other_build() -> None:
    same = {"pattern": LoadPattern("pipelined"), "timing": Timing.quick(), "hot_input": True, "check_with": "trtexec"}
    assert builds(cell("orin-2"), cell("orin-2", **same)) == [("orin-1", 1)]


def test_what_makes_another_engine_makes_another_build() -> None:
    other = [
        {"batch": 8},
        {"build": 1},
        {"options": {"workspace_mib": 64}},
        {"profiles": ({"batch": DimRange(1, 8, 9)},)},
    ]
    assert len(builds(cell("orin-2"), *(cell("orin-2", **change) for change in other))) == 5


def test_batches_within_the_bounds_wait_for_one_build() -> None:
    bounds = ({"batch": DimRange(1, 4, 8)}, {"batch": DimRange(9, 16, 32)})
    batches = [cell("orin-2", batch=batch, profiles=bounds) for batch in (1, 8, 16)]
    assert builds(*batches) == [("orin-1", 4)]
    declared = artifact(profiles=bounds)
    assert {build_of(cell("orin-2", batch=batch), declared, "orin-1").cell.batch for batch in (1, 16)} == {4}


def test_a_builder_s_own_cell_runs_the_engine_that_it_builds_for_its_class() -> None:
    own, other = cell("orin-1", engines="own", pattern=LoadPattern("pipelined")), cell("orin-2")
    assert build_of(own, ARTIFACT, "orin-1").id == build_of(other, ARTIFACT, "orin-1").id
    assert build_of(replace(own, build=1), ARTIFACT, "orin-1").id != build_of(other, ARTIFACT, "orin-1").id


def test_a_device_with_an_engine_of_its_own_waits_for_none() -> None:
    assert builds(cell("orin-1", engines="own")) == []
