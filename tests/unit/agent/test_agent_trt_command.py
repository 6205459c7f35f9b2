"""The trtexec line beside a result: there where it measures the same, else empty with the reason in the log."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from device_agents.contract import (
    SCHEMA,
    DimRange,
    EngineRequest,
    FileEntry,
    GivenEngine,
    JobSpec,
    LoadPattern,
    Precision,
    TensorSpec,
)
from device_agents.trt.command import equivalent
from device_agents.trt.options import build_options, run_options

FILE = FileEntry("model.onnx", 1, "0" * 64)


def line(version: str = "10.3.0", **changes: Any) -> str:
    fields: dict[str, Any] = {
        "schema": SCHEMA, "job": "job-0001", "backend": "tensorrt", "artifact": "tiny-0001", "files": (FILE,),
        "model_file": "model.onnx", "precision": Precision.FP16, "batch": 2, "free_dims": {"batch": 2},
        "inputs": (TensorSpec("image", "float32", (2, 3)),), "outputs": (TensorSpec("scores", "float32", (2, 5)),),
        "graph_inputs": (TensorSpec("image", "float32", ("batch", 3)),),
    }  # fmt: skip
    spec = JobSpec(**{**fields, **changes})
    typing = "weak" if version.startswith("8") else "strong"
    return equivalent(spec, version, typing, build_options(spec), run_options(spec), 0)


@pytest.mark.parametrize("version", ["8.5.2", "8.6.2", "10.3.0", "10.16.2.10", "11.4.0.106"])
@pytest.mark.parametrize("pattern", ["serial", "pipelined"])
def test_builds_and_times_as_the_job_does(version: str, pattern: str) -> None:
    said = shlex.split(line(version, pattern=LoadPattern(pattern)))
    assert {"--onnx=model.onnx", "--shapes=image:2x3", "--minShapes=image:2x3", "--avgTiming=1", "--noTF32"} <= set(
        said
    )
    assert ("--exposeDMA" in said) == (pattern == "serial")


def test_bounds_are_those_of_the_profile() -> None:
    said = line(engine=EngineRequest(profiles=({"batch": DimRange(1, 4, 8)},)))
    assert "--minShapes=image:1x3 --optShapes=image:4x3 --maxShapes=image:8x3" in said


def test_an_engine_that_was_given_is_loaded() -> None:
    given = GivenEngine("e" * 64, FileEntry("model.engine", 1, "0" * 64), "orin-1")
    said = line(engine=EngineRequest(given=given))
    assert "--loadEngine=model.engine" in said
    assert "--onnx" not in said


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"pattern": LoadPattern("rate", 30.0)}, "trtexec knows no arrivals, so no rate:30"),
        ({"options": {"pinned": False}}, "trtexec copies from pinned memory alone"),
        ({"options": {"dla_core": 0, "dla_sram_kib": 64}}, "the line has no word for dla_sram_kib"),
        ({"options": {"tactic_dram_mib": 64}}, "the line has no word for tactic_dram_mib"),
    ],
)
def test_what_it_could_not_measure_alike_has_no_line(
    changes: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line(**changes) == ""
    assert why in capsys.readouterr().err
