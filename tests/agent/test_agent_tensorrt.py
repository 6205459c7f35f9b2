"""Whole TensorRT jobs through the real agent on the scripted TensorRT, in the shapes of 8.5, 10.3 and 11.

What runs is a stand-in, not TensorRT: these tests show the path of a job and what it reports, never a speed.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from agent_lab import LONG, encode, until
from tensorrt_lab import RELEASES, TensorRTLab, half_model

from device_agents.contract import FileEntry, GivenEngine, JobResult, LoadPattern, Precision, ProcessResult, dumps
from device_agents.files import entry_of
from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT

Device = Callable[..., TensorRTLab]
TRTEXEC = Path(__file__).parents[1] / "stand_ins" / "trtexec.py"


@pytest.fixture
def device(
    tmp_path: Path, agent: Path, tiny: dict[str, bytes], scripted_tensorrt: ScriptedTensorRT
) -> Iterator[Device]:
    """Makes a device with the TensorRT of a release; `half` ships the FP16 graph, `settings` are the stand-in's."""
    with contextlib.ExitStack() as stack:

        def make(release: str, half: bool = False, python: str = sys.executable, **settings: object) -> TensorRTLab:
            model = half_model(tiny) if half else tiny
            extra = scripted_tensorrt.environment(release, **settings)
            lab = TensorRTLab(agent, tmp_path / "device", tmp_path / "tools", python, model, extra=extra)
            return stack.enter_context(contextlib.closing(lab))

        yield make


def finished(lab: TensorRTLab, job: str = "job-0001") -> JobResult:
    """The result of a job that is done; its log where it is not."""
    status = lab.status(job)
    assert status.state == "done", f"{status}\n{(lab.folder(job) / 'log').read_text()[-4000:]}"
    return lab.result(job)


def passed(process: ProcessResult) -> bool:
    checks = (process.parity_before, process.parity_after)
    return all(check is not None and check.passed for check in checks)


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("release", RELEASES)
def test_a_job_builds_its_engine_checks_it_and_times_it(release: str, half: bool, device: Device):
    lab = device(release, half)
    precision = Precision.FP16 if half else Precision.FP32
    lab.run(lab.engine_spec(precision=precision, batch=2))
    result = finished(lab)
    assert result.backend == "tensorrt"
    engine = result.engine
    assert engine is not None
    assert not engine.reused
    assert engine.report.runtime_version.startswith(release)
    file = lab.workdir / "engines" / engine.report.key / "model.engine"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == engine.report.file.sha256
    assert {layer.precision for layer in result.layers} == {str(precision)}
    (process,) = result.processes
    assert passed(process)
    assert set(process.parts) == {"h2d", "compute", "d2h", "enqueue"}
    samples = lab.samples()
    for part in process.parts.values():
        assert all(sample > 0 for sample in samples[part.offset : part.offset + part.count])


def test_the_next_job_finds_the_engine(device: Device):
    lab = device("10.3")
    lab.run(lab.engine_spec())
    lab.run(lab.engine_spec("job-0002"))
    assert not finished(lab).engine.reused  # type: ignore[union-attr]
    assert finished(lab, "job-0002").engine.reused  # type: ignore[union-attr]


def test_a_jetson_has_the_python_of_its_jetpack(device_python: str, device: Device):
    """JetPack 5 is TensorRT 8.5 under Python 3.8, JetPack 6 is 10.3 under 3.10."""
    lab = device("8.5" if "py38" in device_python else "10.3", True, device_python)
    lab.run(lab.engine_spec(precision=Precision.FP16))
    result = finished(lab)
    assert passed(result.processes[0])
    assert {layer.precision for layer in result.layers} == {"fp16"}


@pytest.mark.parametrize("release", RELEASES)
def test_graphs_streams_and_pipelines(release: str, device: Device):
    lab = device(release)
    options = {"cuda_graph": True, "streams": 1 if release == "8.5" else 2}
    lab.run(lab.engine_spec(pattern=LoadPattern("pipelined"), options=options, batch=4))
    result = finished(lab)
    assert passed(result.processes[0])
    assert (result.switches["cuda_graph"], result.switches["streams"]) == (True, options["streams"])


def test_two_streams_on_one_profile_are_refused_where_tensorrt_cannot(device: Device):
    """Two streams are two contexts, which want an optimization profile each in 8.5."""
    lab = device("8.5")
    error = lab.fails(lab.engine_spec(pattern=LoadPattern("pipelined"), options={"streams": 2}))
    assert (error.code, error.fix.split(":")[0]) == ("unsupported", "use streams=1")


@pytest.mark.parametrize("release", RELEASES)
def test_an_engine_that_is_fp32_in_secret_says_so_by_its_layers(release: str, device: Device):
    """The verdict not_fp16 is made of them, on the operator's machine."""
    lab = device(release, True, silent_fp32=1)
    lab.run(lab.engine_spec(precision=Precision.FP16))
    assert {layer.precision for layer in finished(lab).layers} == {"fp32"}


@pytest.mark.parametrize("release", RELEASES)
def test_an_operator_that_tensorrt_lacks_is_named_with_its_node(release: str, device: Device):
    lab = device(release, unsupported="MatMul")
    error = lab.fails(lab.engine_spec())
    assert (error.code, error.stage) == ("unsupported_operator", "build")
    assert "MatMul" in error.message + error.where


def test_an_engine_that_does_not_load_any_more_is_built_anew_and_that_is_told(device: Device):
    """Its manifest and its hash are in order, yet TensorRT refuses it: one of another version, say."""
    lab = device("10.3")
    lab.run(lab.engine_spec())
    engine = finished(lab).engine
    assert engine is not None
    folder = lab.workdir / "engines" / engine.report.key
    (folder / "model.engine").write_bytes(b"an engine of another time")
    report = replace(engine.report, file=entry_of(folder / "model.engine"))
    (folder / "engine.json").write_text(dumps(report))
    lab.run(lab.engine_spec("job-0002"))
    again = finished(lab, "job-0002")
    assert again.engine is not None
    assert again.engine.why.startswith("built anew: "), again.engine.why
    assert again.engine.report.file == engine.report.file, "the stand-in builds the same bytes"
    assert passed(again.processes[0])


def test_a_cuda_error_in_mid_run_ends_the_job_and_no_other(device: Device):
    """An illegal address after 200 copies and inferences: CUDA answers nothing to that process any more."""
    lab = device("10.3")
    lab.run(lab.engine_spec())
    lab.extra = {**lab.extra, "STANDIN_CUDA_FAIL_AFTER": "200"}
    lab.run(lab.engine_spec("job-0002"))
    failed = lab.status("job-0002")
    assert failed.state == "failed"
    assert failed.error is not None
    assert (failed.error.code, failed.error.stage) == ("cuda_error", "run")
    assert "cudaErrorIllegalAddress" in failed.error.message
    del lab.extra["STANDIN_CUDA_FAIL_AFTER"]
    lab.run(lab.engine_spec("job-0003"))
    assert finished(lab, "job-0003").engine.reused  # type: ignore[union-attr]


@pytest.fixture
def with_trtexec(device: Device) -> Callable[..., TensorRTLab]:
    """A device that has a trtexec, the stand-in, beside its TensorRT."""

    def make(**settings: str) -> TensorRTLab:
        lab = device("10.3")
        program = lab.tools / "trtexec"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {TRTEXEC} "$@"\n')
        program.chmod(0o755)
        lab.extra = {**lab.extra, "EDGEBENCH_TRTEXEC": str(program), **settings}
        return lab

    return make


def test_a_damaged_engine_is_built_anew_and_that_is_told(device: Device):
    lab = device("10.3")
    lab.run(lab.engine_spec())
    engine = finished(lab).engine
    assert engine is not None
    plan = lab.workdir / "engines" / engine.report.key / "model.engine"
    plan.write_bytes(plan.read_bytes()[:-1] + b"!")
    lab.run(lab.engine_spec("job-0002"))
    again = finished(lab, "job-0002").engine
    assert again is not None
    assert (again.reused, again.why) == (False, "built anew: the cached engine was damaged")


def test_an_engine_that_was_given_and_does_not_load_is_no_case_for_a_rebuild(device: Device):
    lab = device("10.3")
    lab.run(lab.engine_spec())
    engine = finished(lab).engine
    assert engine is not None
    plan = b"an engine of another time"
    entry = FileEntry("model.engine", len(plan), hashlib.sha256(plan).hexdigest())
    manifest = dumps(replace(engine.report, file=entry)).encode()
    lab.ship("engine-0001", {"model.engine": plan, "engine.json": manifest})
    request = replace(lab.engine_spec().engine, given=GivenEngine("engine-0001", entry, "orin-1"))
    error = lab.fails(lab.engine_spec("job-0002", engine=request))
    assert (error.code, error.fix) == ("engine_damaged", "let the device build its own: --engines own")


def test_a_build_is_told_of_and_a_measurement_left_in_peace(device: Device) -> None:
    lab = device("10.3")
    lab.extra = {**lab.extra, "SCRIPTED_TENSORRT_BUILD_S": "6"}
    lab.run(lab.engine_spec(timing=LONG), wait_s=0)

    def phase() -> str:
        return str(lab.call("wait", "--job", "job-0001", "--timeout", 60, "--preparing", 0.2).status.phase)

    until(lambda: phase().startswith("building the engine: "))  # with what the builder told last
    briefly = lab.call("wait", "--job", "job-0001", "--timeout", 0.2, "--preparing", 60).status
    assert briefly.phase.startswith("building the engine: "), "no longer than --timeout, whatever it waits for"
    measuring = lab.call("wait", "--job", "job-0001", "--timeout", 60, "--preparing", 60).status
    assert (measuring.state, measuring.phase) == ("running", "process 1 of 1")
    waiting = lab.call("wait", "--job", "job-0001", "--timeout", 1, "--preparing", 0.1).status
    assert waiting.phase == "process 1 of 1", "it waited for its whole second: there was nothing to tell"
    lab.call("cancel", "--job", "job-0001")
    assert lab.left_in() == {"lock", "log", "spec.json", "status.json"}


def test_an_engine_that_is_there_is_timed_without_a_word(device: Device) -> None:
    lab = device("10.3")
    for job in ("job-0001", "job-0002"):
        spec = encode(lab.engine_spec(job))
        assert lab.call("run", "--timeout", 60, "--preparing", 50, stdin=spec).status.state == "done"
    assert lab.result("job-0002").engine.reused  # type: ignore[union-attr]


def test_trtexec_is_asked_for_a_second_opinion_on_the_same_engine(with_trtexec: Callable[..., TensorRTLab]) -> None:
    lab = with_trtexec()
    lab.run(lab.engine_spec(check_with="trtexec"))
    opinion = finished(lab).opinion
    assert opinion is not None
    assert opinion.error is None, opinion.error
    assert opinion.figures_ns["compute_median"] == pytest.approx(3_030_000, rel=0.01), "what the stand-in says"
    assert f"/engines/{finished(lab).engine.report.key}/model.engine" in opinion.command  # type: ignore[union-attr]
    assert opinion.command.startswith(str(lab.tools / "trtexec"))
    assert "latency_median" not in opinion.figures_ns, "by the GPU's clock, ours by the host's"


def test_a_second_opinion_that_takes_its_process_along_costs_no_measurement(
    with_trtexec: Callable[..., TensorRTLab],
) -> None:
    lab = with_trtexec()
    (lab.tools / "trtexec").write_text("#!/bin/sh\nkill -9 $PPID\n")
    lab.run(lab.engine_spec(check_with="trtexec"))
    result = finished(lab)
    assert result.processes
    assert result.opinion is not None
    assert result.opinion.error is not None
    assert result.opinion.error.code == "worker_killed"


def test_a_second_opinion_that_fails_costs_no_measurement(with_trtexec: Callable[..., TensorRTLab]) -> None:
    lab = with_trtexec(STAND_IN_TRTEXEC_FAILS="memory")
    lab.run(lab.engine_spec(check_with="trtexec"))
    result = finished(lab)
    assert result.processes
    assert result.opinion is not None
    assert result.opinion.error is not None
    assert result.opinion.figures_ns == {}
