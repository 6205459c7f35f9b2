"""From a cell and its artifact to the job that a device gets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from device_agents.contract import (
    DataSet,
    DimRange,
    FileEntry,
    GivenEngine,
    Precision,
    TensorSpec,
    Timing,
    dumps,
    from_json,
    loads,
)
from device_agents.contract import JobSpec as Spec
from edge.planning.plan import Cell
from edge.running.jobspec import bounded, job_spec
from edge.running.policy import Policy
from profiles.errors import RunError
from tests.plans import artifact

JOB = "a" * 16
CELL = Cell("orin-1", "resnet18", "pytorch", "tensorrt", Precision.FP16, 8)
ARTIFACT = artifact()
BOUNDS = ({"batch": DimRange(1, 8, 32)},)


def test_shapes_are_those_of_the_batch_and_the_graph_s_own_go_along() -> None:
    spec = job_spec(JOB, CELL, ARTIFACT)
    assert [tensor.shape for tensor in spec.inputs] == [(8, 3, 224, 224)]
    assert [tensor.shape for tensor in spec.graph_inputs] == [("batch", 3, 224, 224)]
    assert spec.free_dims == {"batch": 8}
    assert spec.engine.profiles == (), "a static engine at the batch"


def test_what_the_device_reads_is_what_was_meant() -> None:
    entry = FileEntry("inputs.npz", 3, "c" * 64)
    given = GivenEngine("e" * 64, FileEntry("model.engine", 5, "d" * 64), "orin-9")
    cell = replace(CELL, profiles=BOUNDS, build=2, check_with="trtexec", inputs="f" * 64)
    spec = job_spec(JOB, cell, ARTIFACT, builds=True, rebuild=True, given=given, data=DataSet("b" * 64, entry))
    assert from_json(Spec, loads(dumps(spec))) == spec
    assert (spec.engine.build, spec.engine.rebuild, spec.engine.given, spec.check_with) == (2, True, given, "trtexec")
    assert (spec.task, spec.data) == ("measure", DataSet("b" * 64, entry))


def test_asked_bounds_come_before_declared_ones() -> None:
    declares = replace(ARTIFACT, profiles=({"batch": DimRange(1, 4, 16)},))
    assert job_spec(JOB, CELL, declares).engine.profiles == declares.profiles
    assert job_spec(JOB, replace(CELL, profiles=BOUNDS), declares).engine.profiles == BOUNDS


def test_a_batch_outside_the_declared_bounds_is_refused() -> None:
    declares = replace(ARTIFACT, profiles=({"batch": DimRange(1, 1, 4)}, {"batch": DimRange(9, 9, 16)}))
    with pytest.raises(RunError) as caught:
        job_spec(JOB, CELL, declares)
    assert "batch 8 is outside the bounds that it declares (1:1:4, 9:9:16); give others" in str(caught.value)


def test_a_fixed_batch_has_no_bounds() -> None:
    fixed = replace(
        ARTIFACT,
        batch=8,
        inputs=(TensorSpec("images", "float16", (8, 3, 224, 224)),),
        outputs=(TensorSpec("logits", "float16", (8, 1000)),),
    )
    assert job_spec(JOB, CELL, fixed).engine.profiles == ()
    with pytest.raises(RunError, match="its batch is fixed to 8: there is nothing to bound"):
        job_spec(JOB, replace(CELL, profiles=BOUNDS), fixed)


def test_a_device_may_take_half_an_hour_to_build_beside_measuring() -> None:
    quick = replace(CELL, timing=Timing.quick())
    measuring = job_spec(JOB, quick, ARTIFACT).deadline_s
    building = job_spec(JOB, quick, ARTIFACT, builds=True).deadline_s
    assert building > measuring + 1800
    assert job_spec(JOB, quick, ARTIFACT, task="build", builds=True).deadline_s > 1800
    opinion = job_spec(JOB, replace(quick, check_with="trtexec"), ARTIFACT, builds=True).deadline_s
    assert opinion > building, "a second opinion takes its time as well"
    given = GivenEngine("e" * 64, FileEntry("model.engine", 5, "d" * 64), "orin-9")
    assert job_spec(JOB, quick, ARTIFACT, given=given).deadline_s > measuring, "the layers of a given engine, too"


def test_bf16_may_be_as_far_off_as_its_mantissa_is_shorter() -> None:
    fp32 = artifact(precision=Precision.FP32)
    cell = replace(CELL, backend="pytorch", precision=Precision.FP32)
    data = DataSet("d" * 64, FileEntry("inputs.npz", 1, "0" * 64))
    plain = job_spec(JOB, cell, fp32, data=data)
    bf16 = job_spec(JOB, replace(cell, options={"dtype": "bf16"}), fp32, data=data)
    assert (plain.parity_limit, bf16.parity_limit) == (1e-3, 8 * 2e-2)
    assert bf16.limits == {"logits": 8 * 2e-2}


def test_a_device_that_cools_down_loses_no_time_to_measure() -> None:
    policy = Policy(cell_timeout_s=60.0, cool_within_c=5.0, cool_cap_s=120.0)
    spec = job_spec(JOB, CELL, ARTIFACT)
    cell = bounded(spec, policy, 40.0)
    assert (cell.deadline_s, cell.cool_to_c, cell.cool_cap_s) == (60.0 + 120.0, 45.0, 120.0)
    first = bounded(spec, policy, None)
    assert (first.deadline_s, first.cool_to_c) == (60.0, None)
    assert bounded(spec, Policy(), 40.0) == spec
