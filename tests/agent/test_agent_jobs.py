"""One job of the agent from start to result: detached, measured once, checked against the golden outputs.

Everything runs as on a device: `python agent.pyz COMMAND`, the spec on stdin, one line of JSON on stdout.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import platform
import subprocess
from pathlib import Path

import numpy as np
import pytest
from agent_lab import LONG, Lab, encode, finish, golden, has_open, until

from device_agents.contract import LoadPattern, ProbeReport, from_json

RESULT_FILES = {"lock", "log", "spec.json", "status.json", "result.json", "samples.i64le"}


class TestProbe:
    def test_says_what_the_device_is_and_what_its_backends_find(self, lab: Lab) -> None:
        report = from_json(ProbeReport, lab.call("probe", "--backend", "onnxruntime").json)
        import onnxruntime

        assert report.python == lab.python
        assert report.free_bytes > 0
        assert report.identity["python"].value == platform.python_version()
        assert report.identity["gpu_uuid"].value == lab.gpu
        assert report.backends["onnxruntime"].version.value == onnxruntime.__version__
        assert report.backends["onnxruntime"].patterns == ("serial", "pipelined", "rate", "sizes")
        assert "cpu" in str(report.backends["onnxruntime"].facts["providers"].value).split()

    def test_makes_the_working_folder_for_its_owner_alone(self, lab: Lab) -> None:
        lab.workdir = lab.workdir.parent / "fresh" / "edgebench"
        lab.call("probe", "--backend", "onnxruntime")
        assert lab.workdir.stat().st_mode & 0o777 == 0o700

    def test_names_the_backends_it_has_when_asked_for_another(self, lab: Lab) -> None:
        report = from_json(ProbeReport, lab.call("probe", "--backend", "openvino").json)
        unknown = str(report.backends["openvino"].version.unknown)
        assert unknown.startswith("the agent has no backend openvino; it has: onnxruntime")

    def test_tells_the_version_of_a_runtime_that_cannot_tell_more(self, lab: Lab, tmp_path: Path) -> None:
        (tmp_path / "onnxruntime.py").write_text("__version__ = '1.2.3'\n")
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {lab.python} "$@"\n')
        python.chmod(0o755)
        lab.python = str(python)
        report = from_json(ProbeReport, lab.call("probe", "--backend", "onnxruntime").json).backends["onnxruntime"]
        assert report.version.value == "1.2.3"
        assert "get_available_providers" in str(report.facts["facts"].unknown)


class TestARun:
    @pytest.mark.parametrize("batch", [1, 3])
    def test_measures_and_leaves_one_result_with_its_samples(self, lab: Lab, batch: int) -> None:
        spec = lab.spec(batch=batch, timing=dataclasses.replace(lab.spec().timing, processes=2))
        assert lab.run(spec).status.state == "done"
        assert lab.left_in() == RESULT_FILES
        result, data = lab.result(), (lab.folder() / "samples.i64le").read_bytes()
        assert result.samples_sha256 == hashlib.sha256(data).hexdigest()
        assert result.samples_count == len(data) // 8
        assert [process.index for process in result.processes] == [0, 1]
        assert (result.job, result.artifact, result.backend) == (spec.job, spec.artifact, spec.backend)
        assert result.switches["provider"] == "cpu"

    def test_the_samples_of_its_processes_lie_one_after_another(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=dataclasses.replace(lab.spec().timing, processes=2)))
        end = 0
        for process in lab.result().processes:
            for part in (process.warmup, process.timed):
                assert part.offset == end
                end += part.count
            timed = lab.samples()[process.timed.offset : end]
            assert len(timed) >= 20
            assert min(timed) > 0
            assert sum(timed) <= process.elapsed_ns
            assert process.elapsed_ns >= 100_000_000
        watch = lab.result().watch
        assert watch is not None
        assert end == min(series.times.offset for series in watch.series), "what was watched follows them"

    @pytest.mark.parametrize("batch", [1, 3, 32])
    def test_checks_the_outputs_before_and_after_timing(self, lab: Lab, batch: int) -> None:
        lab.run(lab.spec(batch=batch))
        (process,) = lab.result().processes
        for check in (process.parity_before, process.parity_after):
            assert check is not None
            assert check.passed
            assert 0 <= check.error < 1e-5
            assert check.tensor == "scores"

    def test_reads_the_state_around_every_process(self, lab: Lab) -> None:
        lab.run(lab.spec())
        (process,) = lab.result().processes
        assert {"busy_share_idle_window_before", "load_1m_before", "load_1m_after"} <= set(process.state)
        assert 0 <= float(str(process.state["busy_share_idle_window_before"].value)) <= 1

    def test_rotates_more_inputs_than_the_cache_holds_unless_they_are_to_be_hot(self, lab: Lab) -> None:
        lab.run(lab.spec(hot_input=False))
        assert int(lab.result().switches["input_buffers"]) > 1

    def test_without_golden_outputs_nothing_is_checked(self, lab: Lab) -> None:
        lab.run(lab.spec(golden_file=None, parity_limit=None))
        (process,) = lab.result().processes
        assert process.parity_before is process.parity_after is None

    def test_outputs_that_are_off_are_reported_and_no_failure_of_the_job(self, lab: Lab) -> None:
        with np.load(lab.workdir / "artifacts" / lab.artifact / "golden.npz") as arrays:
            altered = golden(arrays["input:image"], arrays["output:scores"][:, ::-1])
        lab.model, lab.artifact = {**lab.model, "golden.npz": altered}, "altered-0001"
        lab.ship(lab.artifact, lab.model)
        assert lab.run(lab.spec()).status.state == "done"
        (process,) = lab.result().processes
        for check in (process.parity_before, process.parity_after):
            assert check is not None
            assert not check.passed
            assert check.error > 0.1

    def test_ends_at_once_and_goes_on_when_it_is_not_waited_for(self, lab: Lab) -> None:
        assert lab.run(lab.spec(), wait_s=0).status.state == "queued"
        assert lab.wait().status.state == "done"


class TestWaiting:
    def test_returns_where_the_job_stands_when_its_time_is_up(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        lab.warming_up()
        found = lab.wait(timeout_s=0.1).status
        assert (found.state, found.phase) == ("running", "process 1 of 1")
        assert lab.call("cancel", "--job", "job-0001").status.state == "cancelled"

    def test_returns_as_soon_as_the_job_has_ended(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        lab.warming_up()
        waiting = lab.popen("wait", "--job", "job-0001", "--timeout", 600)
        lab.call("cancel", "--job", "job-0001")
        assert finish(waiting, timeout=5).status.state == "cancelled"

    def test_an_ended_job_is_answered_from_its_status(self, lab: Lab) -> None:
        lab.run(lab.spec())
        assert lab.wait(timeout_s=0).status.state == "done"

    @pytest.mark.parametrize("command", [("wait", "--timeout", "1"), ("cancel",)])
    @pytest.mark.parametrize("job", ["never-there", "../../jobs", "."])
    def test_a_job_that_is_not_there_is_an_error(self, lab: Lab, command: tuple[str, ...], job: str) -> None:
        name, *rest = command
        assert lab.call(name, "--job", job, *rest).error["code"] == "no_job"


class TestStartingTwice:
    def test_a_finished_job_is_not_measured_again(self, lab: Lab) -> None:
        lab.run(lab.spec())
        before = lab.samples()
        assert lab.run(lab.spec()).status.state == "done"
        assert lab.samples() == before

    def test_a_running_job_is_joined(self, lab: Lab) -> None:
        lab.run(lab.spec(timing=LONG), wait_s=0)
        supervisor, worker = lab.warming_up()
        assert lab.run(lab.spec(timing=LONG), wait_s=0.1).status.state == "running"
        assert lab.started() == supervisor
        assert worker in lab.processes()
        lab.call("cancel", "--job", "job-0001")

    def test_four_callers_at_one_moment_get_one_measurement(self, lab: Lab) -> None:
        spec = encode(lab.spec())
        callers = [lab.popen("run", "--timeout", 60) for _ in range(4)]
        for caller in callers:
            assert caller.stdin is not None
            caller.stdin.write(spec)
            caller.stdin.flush()
        answers = [finish(caller) for caller in callers]
        assert [answer.status.state for answer in answers] == ["done"] * 4
        assert (lab.folder() / "log").read_bytes() == b""
        assert len(lab.result().processes) == 1

    def test_a_caller_that_comes_while_another_one_starts_the_job_waits_for_it(self, lab: Lab) -> None:
        lab.folder().mkdir(parents=True)
        with (lab.folder() / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as a starter does that has not come to write the status
            caller = lab.popen("run", "--timeout", 60)
            assert caller.stdin is not None
            caller.stdin.write(encode(lab.spec()))
            caller.stdin.close()
            caller.stdin = None
            until(lambda: caller.poll() is not None or has_open(caller.pid, lab.folder() / "lock"))
        assert finish(caller).status.state == "done"


class TestRequestsThatCannotBeMet:
    def test_pipelined_is_refused_where_the_runtime_cannot(self, lab: Lab) -> None:
        error = lab.fails(lab.spec(pattern=LoadPattern("pipelined")))
        assert error.code == "unsupported"
        assert error.message.startswith("onnxruntime's provider cpu cannot run the load pattern pipelined")
        assert error.fix == "it can: serial, rate"

    def test_an_option_that_the_backend_lacks_is_refused(self, lab: Lab) -> None:
        error = lab.fails(lab.spec(options={"provider": "cpu", "workspace": 4}))
        assert (error.code, error.message) == ("unsupported", "onnxruntime has no option 'workspace'")
        assert error.fix.startswith("it has: allow_fallback, cuda_graph, nhwc, parts, provider, spin, threads")

    def test_a_backend_that_the_agent_lacks_is_refused(self, lab: Lab) -> None:
        error = lab.fails(lab.spec(backend="openvino"))
        assert error.code == "unsupported"
        assert error.fix.startswith("it has: onnxruntime")

    @pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA GPU")
    def test_cuda_without_a_gpu_is_refused_and_not_run_on_the_processor(self, lab: Lab) -> None:
        error = lab.fails(lab.spec(options={"provider": "cuda"}))
        assert error.code == "unsupported"
        assert "CUDA" in error.message
        assert "provider=cpu" in error.fix

    def test_a_provider_that_nobody_knows_is_refused(self, lab: Lab) -> None:
        error = lab.fails(lab.spec(options={"provider": "tpu"}))
        assert (error.code, error.fix) == ("unsupported", "use cpu, cuda, tensorrt")


class TestDamage:
    def test_an_artifact_that_changed_after_shipping_is_not_measured(self, lab: Lab) -> None:
        spec, model = lab.spec(), lab.workdir / "artifacts" / lab.artifact / "model.onnx"
        model.write_bytes(model.read_bytes()[:-1] + b"!")
        error = lab.fails(spec)
        assert (error.code, error.where) == ("artifact_damaged", str(model))

    def test_an_artifact_that_was_never_shipped_is_named(self, lab: Lab) -> None:
        error = lab.fails(lab.spec(artifact="another-0001"))
        assert error.code == "artifact_damaged"
        assert "is missing" in error.message

    @pytest.mark.parametrize("content", [b"", b"no ONNX at all", b"\x08\x08"], ids=["empty", "text", "cut"])
    def test_a_file_that_is_no_model_fails_to_load_with_a_sentence(self, lab: Lab, content: bytes) -> None:
        lab.model, lab.artifact = {"model.onnx": content}, "corrupt-0001"
        lab.ship(lab.artifact, lab.model)
        error = lab.fails(lab.spec(golden_file=None, parity_limit=None))
        assert (error.code, error.stage, error.where) == ("load_failed", "load", "model.onnx")
        assert error.message.startswith("onnxruntime could not load the model (")

    def test_a_model_with_other_inputs_than_its_manifest_says_fails_to_load(self, lab: Lab) -> None:
        spec = lab.spec(golden_file=None, parity_limit=None)
        renamed = (dataclasses.replace(spec.inputs[0], name="picture"),)
        error = lab.fails(dataclasses.replace(spec, inputs=renamed))
        assert error.code == "load_failed"
        assert error.message == "the model takes image; the manifest says picture"

    def test_shapes_that_the_model_cannot_take_are_an_error_of_the_run_with_the_runtime_s_words(self, lab: Lab) -> None:
        spec = lab.spec(golden_file=None, parity_limit=None)
        wider = (dataclasses.replace(spec.inputs[0], shape=(1, 3, 4, 5)),)
        error = lab.fails(dataclasses.replace(spec, inputs=wider))
        assert error.code == "run_failed"
        assert "image" in error.message
        assert "Traceback" not in error.message

    def test_golden_data_without_the_arrays_it_needs_is_named(self, lab: Lab) -> None:
        spec = lab.spec()
        error = lab.fails(dataclasses.replace(spec, outputs=(dataclasses.replace(spec.outputs[0], name="logits"),)))
        assert (error.code, error.message) == ("artifact_damaged", "no array 'output:logits'")


class TestHostileSpecs:
    @pytest.mark.parametrize(
        ("raw", "where"),
        [
            ({"colour": "red"}, "unknown key 'colour'"),
            ({"schema": 99}, "schema: version 99; this agent reads 1"),
            ({"job": "../../etc"}, "job: '../../etc' is no id"),
            ({"artifact": "/etc"}, "artifact: '/etc' is no id"),
            ({"model_file": "../secret.onnx"}, "files: '../secret.onnx' is not among"),
            ({"files": [{"name": "../../x", "size": 1, "sha256": "0" * 64}]}, "files[0].name: '../../x' is no plain"),
            ({"batch": "1"}, "batch: expected an integer"),
            ({"seed": -1}, "seed: "),
            ({"deadline_s": 1e300}, "deadline_s: "),
            ({"lock_timeout_s": 1e300}, "lock_timeout_s: "),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
    )
    def test_is_refused_by_a_sentence_that_names_the_place(self, lab: Lab, raw: dict[str, object], where: str) -> None:
        error = lab.call("run", "--timeout", 1, stdin=encode(lab.spec(), **raw)).error
        assert error["code"] == "schema"
        assert error["message"].startswith(where)
        assert not (lab.workdir / "jobs").exists()

    @pytest.mark.parametrize(
        "text",
        [b"", b"{", b"\xff\xfe", b"[]", b"null", b"NaN", b"[" * 100_000],
        ids=["nothing", "cut", "no-utf8", "list", "null", "nan", "deep"],
    )
    def test_what_is_no_spec_at_all_is_refused(self, lab: Lab, text: bytes) -> None:
        answer = lab.call("run", "--timeout", 1, stdin=text)
        assert answer.error["code"] == "schema"
        assert answer.stderr == ""


class TestOtherPythons:
    def test_the_same_job_runs_on_the_python_of_a_device(self, lab: Lab, device_python: str) -> None:
        lab.python = device_python
        report = from_json(ProbeReport, lab.call("probe", "--backend", "onnxruntime").json)
        assert report.backends["onnxruntime"].version.value
        assert lab.run(lab.spec(batch=3, hot_input=False)).status.state == "done"
        result = lab.result()
        assert result.identity["python"].value == _version_of(device_python)
        assert result.processes[0].parity_after is not None
        assert result.processes[0].parity_after.passed
        assert lab.left_in() == RESULT_FILES

    def test_one_older_than_3_8_answers_that_it_is_too_old(self, agent: Path, too_old_python: str) -> None:
        answer = finish(subprocess.Popen([too_old_python, str(agent), "probe"], stdout=-1, stderr=-1, stdin=-1))
        version = _version_of(too_old_python)
        assert answer.error["code"] == "old_python"
        assert answer.error["message"] == f"Python {version} is older than 3.8"


def _version_of(python: str) -> str:
    words = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", words], capture_output=True, text=True, check=True).stdout.strip()
