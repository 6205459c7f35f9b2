"""A device with NVIDIA's trtexec and no Python module of TensorRT: the real agent, from ONNX to a checked result.

The trtexec is a stand-in (tests/stand_ins/trtexec.py), so nothing here is a figure.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agent_lab import CLASSES, Lab, golden

from device_agents.contract import DataSet, DimRange, EngineRequest, FileEntry, JobSpec, Labelled, TensorSpec

STAND_IN = Path(__file__).parents[1] / "stand_ins" / "trtexec.py"
VERSIONS = ("8.5.2", "10.3.0", "11.1.0.106")


@pytest.fixture(params=VERSIONS)
def device(request: pytest.FixtureRequest, tmp_path: Path, agent: Path) -> Iterator[Lab]:
    images = np.random.default_rng(3).random((8, 3, 4, 4), dtype=np.float32)
    scores = images.reshape(8, -1).mean(axis=1)[:, None] + np.arange(CLASSES, dtype=np.float32)
    model = {"inputs": {"image": ["batch", 3, 4, 4]}, "outputs": {"scores": ["batch", CLASSES]}}
    files = {"model.onnx": json.dumps(model).encode(), "golden.npz": golden(images, scores)}
    with contextlib.closing(Lab(agent, tmp_path / "device", tmp_path / "tools", sys.executable, files)) as lab:
        program = lab.tools / "trtexec"
        python, stand_in = shlex.quote(sys.executable), shlex.quote(str(STAND_IN))
        keep = f'case "$*" in *exportTimes*) cp trtexec-input-0.bin {shlex.quote(str(lab.tools / "timed"))} ;; esac'
        program.write_text(
            f'#!/bin/sh\n{keep}\nSTAND_IN_TRTEXEC_VERSION={request.param} exec {python} -S {stand_in} "$@"\n'
        )
        program.chmod(0o755)
        yield lab


def spec(device: Lab, job: str = "job-0001", **changes: Any) -> JobSpec:
    fields: dict[str, Any] = {
        "backend": "trtexec",
        "options": {},
        "batch": 2,
        "graph_inputs": (TensorSpec("image", "float32", ("batch", 3, 4, 4)),),
        "engine": EngineRequest(profiles=({"batch": DimRange(1, 2, 8)},)),
    }
    return device.spec(job, **{**fields, **changes})


def test_from_onnx_to_a_checked_result(device: Lab) -> None:
    found = device.run(spec(device, check_with="trtexec")).status
    assert found.state == "done", (found, (device.folder() / "log").read_text())
    result = device.result()
    assert result.engine is not None
    assert not result.engine.reused
    assert [layer.kind for layer in result.layers] == ["reformat", "CaskConvolution"]
    assert [layer.time_ns for layer in result.layers] == [100_000, 200_000]
    assert shlex.split(result.command)[0] == str(device.tools / "trtexec")
    assert f"/engines/{result.engine.report.key}/model.engine" in result.command, "the engine that was timed"
    process = result.processes[0]
    assert process.parity_after is not None
    assert process.parity_after.passed
    assert process.parity_before is None, "trtexec shows its outputs once, after its own loop"
    assert process.timed.count == 25
    assert process.warmup_stable is None, "trtexec warms up by time alone"
    assert process.began_ns == 0, "and does not tell by our clock when it began to time"
    assert {"h2d", "compute", "d2h"} <= set(process.parts)
    assert result.switches["tool"].startswith("trtexec ")  # type: ignore[union-attr]
    assert result.opinion is not None
    assert result.opinion.error is None
    assert result.opinion.figures_ns["compute_median"] == 3_030_000
    assert {name.rpartition("_")[0] for name in result.opinion.figures_ns} <= set(process.parts), (
        "of one kind with ours"
    )
    assert result.opinion.command == result.command


def test_a_profile_that_fails_costs_neither_the_measurement_nor_the_command(device: Lab) -> None:
    program = device.tools / "trtexec"
    program.write_text(program.read_text().replace("STAND_IN", "STAND_IN_TRTEXEC_FAILS=no_profile STAND_IN", 1))
    found = device.run(spec(device)).status
    assert found.state == "done", found
    result = device.result()
    assert result.context["layer_profile"].unknown == (
        "trtexec passed, but what it wrote cannot be read (it was not written)"
    )
    assert "--loadEngine=" in result.command


def test_a_tool_with_a_loop_of_its_own_takes_no_labelled_images(device: Lab) -> None:
    device.ship("labelled-0001", {"images.npz": b"whatever"})
    file = FileEntry("images.npz", 8, hashlib.sha256(b"whatever").hexdigest())
    asked = Labelled("labelled-0001", (file,), 1, "image", "scores", (0.0,) * 3, (1.0,) * 3)
    error = device.fails(spec(device, labelled=asked))
    assert error.code == "unsupported"
    assert error.message == "trtexec runs a loop of its own and takes no labelled images"


@pytest.mark.parametrize("reference", [False, True])
def test_the_operators_own_data_is_what_is_timed(device: Lab, *, reference: bool) -> None:
    images = np.full((3, 3, 4, 4), 0.25, np.float32)
    images[1:] = 0.75
    scores = images.reshape(3, -1).mean(axis=1)[:, None] + np.arange(CLASSES, dtype=np.float32)
    arrays = {"input:image": images, **({"output:scores": scores} if reference else {})}
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    device.ship("data-0001", {"data.npz": packed.getvalue()})
    entry = FileEntry("data.npz", len(packed.getvalue()), hashlib.sha256(packed.getvalue()).hexdigest())
    found = device.run(spec(device, data=DataSet("data-0001", entry), check_with="trtexec")).status
    assert found.state == "done", (found, (device.folder() / "log").read_text())
    result = device.result()
    timed = np.fromfile(device.tools / "timed", np.float32)  # by the second opinion, which comes last
    assert np.array_equal(timed, images[:2].ravel())
    assert result.processes[0].parity_after is not None, (
        "against the artifact's samples where the data has no reference"
    )
    assert result.processes[0].parity_after.passed


def test_the_engine_serves_the_next_job(device: Lab) -> None:
    for job, reused in (("job-0001", False), ("job-0002", True)):
        found = device.run(spec(device, job)).status
        assert found.state == "done", found
        engine = device.result(job).engine
        assert engine is not None
        assert engine.reused == reused


def test_a_model_that_it_cannot_read_is_one_sentence(device: Lab) -> None:
    model = json.loads(device.model["model.onnx"])
    device.model["model.onnx"] = json.dumps({**model, "operators": ["NonZero2"]}).encode()
    (device.workdir / "artifacts" / device.artifact / "model.onnx").write_bytes(device.model["model.onnx"])
    error = device.fails(spec(device))
    assert (error.code, error.stage) == ("unsupported_operator", "build")
    assert "operator NonZero2" in error.message


def test_who_is_sent_to_the_log_is_told_where_it_is(device: Lab) -> None:
    program = device.tools / "trtexec"
    stand_in = program.read_text()
    program.write_text(stand_in.replace("#!/bin/sh", '#!/bin/sh\ncase "$*" in *--onnx=*) exit 3 ;; esac'))
    error = device.fails(spec(device))
    assert "gave no reason" in error.message
    log = device.folder() / "log"
    assert log.is_file()
    assert error.fix == f"see the job's log, {log}"


def test_a_probe_tells_it(device: Lab) -> None:
    backends = device.call("probe", "--backend", "trtexec").json["backends"]
    assert backends["trtexec"]["version"]["value"] in VERSIONS
    assert backends["trtexec"]["patterns"] == ["serial", "pipelined"]
    assert backends["trtexec"]["facts"]["program"]["value"].endswith("trtexec")
