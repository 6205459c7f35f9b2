"""The backend trtexec against a stand-in with the options, defaults and refusals of 8.5 to 11 (tests/stand_ins)."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.backends import trtexec
from device_agents.backends.base import Built, check_request
from device_agents.contract import (
    SCHEMA,
    DimRange,
    EngineRequest,
    FileEntry,
    JobSpec,
    LoadPattern,
    Precision,
    TensorSpec,
    Timing,
)
from device_agents.errors import DeviceError
from device_agents.trtexec_tool import PROGRAM_VARIABLE, Files, Tool

STAND_IN = Path(__file__).parents[2] / "stand_ins" / "trtexec.py"
VERSIONS = ("8.5.2", "8.6.2", "10.3.0", "10.16.2.10", "11.1.0.106")

Prepare = Callable[..., "Device"]


@dataclass
class Device:
    """A folder with a model, a trtexec of a version on PATH, and the backend that found it."""

    folder: Path
    backend: trtexec.Backend
    patch: pytest.MonkeyPatch

    @property
    def engine(self) -> Path:
        return self.folder / "engine" / "model.engine"

    def build(self, spec: JobSpec) -> Built:
        self.engine.parent.mkdir(exist_ok=True)
        (self.folder / "caches").mkdir(exist_ok=True)
        told: list[str] = []
        return self.backend.build(self.folder / "model.onnx", self.engine, spec, self.folder / "caches", told.append)

    def model(self, **parts: Any) -> None:
        model = {"inputs": {"image": ["batch", 3]}, "outputs": {"scores": ["batch", 5]}, "operators": ["Conv"]}
        (self.folder / "model.onnx").write_text(json.dumps({**model, **parts}))

    def fails(self, how: str) -> None:
        self.patch.setenv("STAND_IN_TRTEXEC_FAILS", how)

    def calls(self) -> list[set[str]]:
        return [set(json.loads(line)) for line in (self.folder / "calls").read_text().splitlines()]


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    def make(version: str = "10.3.0") -> Device:
        program = tmp_path / "bin" / "trtexec"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S {shlex.quote(str(STAND_IN))} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        monkeypatch.delenv(PROGRAM_VARIABLE, raising=False)
        monkeypatch.setenv("STAND_IN_TRTEXEC_VERSION", version)
        monkeypatch.setenv("STAND_IN_TRTEXEC_LOG", str(tmp_path / "calls"))
        device = Device(tmp_path, trtexec.Backend(), monkeypatch)
        device.model()
        assert device.backend.start() == version
        return device

    return make


def spec(**changes: Any) -> JobSpec:
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "job": "job-0001",
        "backend": "trtexec",
        "artifact": "tiny-0001",
        "files": (FileEntry("model.onnx", 1, "0" * 64),),
        "model_file": "model.onnx",
        "precision": Precision.FP32,
        "inputs": (TensorSpec("image", "float32", (2, 3)),),
        "outputs": (TensorSpec("scores", "float32", (2, 5)),),
        "graph_inputs": (TensorSpec("image", "float32", ("batch", 3)),),
        "batch": 2,
        "free_dims": {"batch": 2},
        "timing": Timing(processes=1, warmup_s=0.5, duration_s=0.2, iterations=40, cap_s=10),
    }
    return JobSpec(**{**fields, **changes})


def wait_for(happens: Callable[[], bool], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """A zombie, whom nobody has asked yet, is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def error_of(call: Callable[[], Any]) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        call()
    return caught.value


class TestFound:
    def test_on_path_with_its_version(self, prepare: Prepare, version: str) -> None:
        device = prepare(version)
        assert device.backend.facts()["program"].value == str(device.folder / "bin" / "trtexec")

    def test_where_nvidia_s_packages_put_it(self, prepare: Prepare) -> None:
        device = prepare()
        usual = device.folder / "root" / "usr" / "src" / "tensorrt" / "bin"
        usual.mkdir(parents=True)
        (device.folder / "bin" / "trtexec").rename(usual / "trtexec")
        device.patch.setenv("EDGEBENCH_SYSTEM_ROOT", str(device.folder / "root"))
        assert device.backend.start() == "10.3.0"

    def test_where_the_operator_says(self, prepare: Prepare) -> None:
        device = prepare()
        odd = (device.folder / "bin" / "trtexec").rename(device.folder / "odd")
        device.patch.setenv(PROGRAM_VARIABLE, str(odd))
        assert device.backend.start() == "10.3.0"

    def test_nowhere(self, prepare: Prepare) -> None:
        device = prepare()
        (device.folder / "bin" / "trtexec").unlink()
        with pytest.raises(ImportError, match="neither on PATH nor at /usr/src/tensorrt/bin/trtexec"):
            device.backend.start()
        device.patch.setenv(PROGRAM_VARIABLE, "/nowhere/trtexec")
        with pytest.raises(ImportError, match="EDGEBENCH_TRTEXEC names /nowhere/trtexec"):
            device.backend.start()

    def test_another_program_of_that_name(self, prepare: Prepare) -> None:
        device = prepare()
        (device.folder / "bin" / "trtexec").write_text("#!/bin/sh\necho hello\n")
        with pytest.raises(ImportError, match="does not tell its version"):
            device.backend.start()


class TestBuild:
    def test_an_engine_and_its_layers(self, prepare: Prepare, version: str) -> None:
        device = prepare(version)
        built = device.build(spec())
        assert device.engine.exists()
        assert [(layer.kind, layer.precision) for layer in built.layers] == [
            ("reformat", "fp32"),
            ("CaskConvolution", "fp32"),
        ]
        assert built.layers[1].nodes == ("/conv/Conv", "/relu/Relu")
        assert built.seconds["trtexec"] > 0
        assert [path.name for path in device.engine.parent.iterdir()] == ["model.engine"]

    def test_an_fp16_graph(self, prepare: Prepare, version: str) -> None:
        """8 needs the flag, 10 goes by the graph's types, 11 always does: the stand-in refuses as the real one."""
        device = prepare(version)
        device.model(types=["float16"])
        built = device.build(spec(precision=Precision.FP16))
        assert built.layers[1].precision == "fp16"
        assert {"--fp16", "--stronglyTyped"} & device.calls()[-1] == {
            "8": {"--fp16"}, "10": {"--stronglyTyped"}, "11": set(),
        }[version.split(".", 1)[0]]  # fmt: skip

    def test_a_model_without_free_dimensions_takes_no_shapes(self, prepare: Prepare, version: str) -> None:
        device = prepare(version)
        device.model(inputs={"image": [2, 3]}, outputs={"scores": [2, 5]})
        static = spec(graph_inputs=(TensorSpec("image", "float32", (2, 3)),), free_dims={})
        device.build(static)
        assert not [word for word in device.calls()[-1] if "Shapes" in word]

    def test_a_profile_and_its_cache(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec(engine=EngineRequest(profiles=({"batch": DimRange(1, 4, 8)},))))
        assert {"--minShapes=image:1x3", "--optShapes=image:4x3", "--maxShapes=image:8x3"} <= device.calls()[-1]
        assert [path.name for path in (device.folder / "caches").iterdir()] == ["timings-trtexec-10.3.0-gpu0.cache"]

    def test_the_cache_grows_and_outlives_a_build_that_is_killed(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        device.build(spec())
        (kept,) = (device.folder / "caches").iterdir()
        assert kept.read_bytes() == b"timings" * 2
        device.fails("half_cache")
        error_of(lambda: device.build(spec()))
        assert kept.read_bytes() == b"timings" * 2
        device.fails("")
        device.build(spec())
        assert kept.read_bytes() == b"timings" * 3

    @pytest.mark.parametrize("changes", [{"options": {"timing_cache": False}}, {"engine": EngineRequest(build=1)}])
    def test_no_cache_where_none_is_wanted(self, prepare: Prepare, changes: dict[str, Any]) -> None:
        device = prepare()
        device.build(spec(**changes))
        assert not list((device.folder / "caches").iterdir())

    def test_options(self, prepare: Prepare) -> None:
        device = prepare("8.6.2")
        options = {
            "dla_core": 0,
            "workspace_mib": 512,
            "optimization_level": 5,
            "hardware_compatibility": "ampere_plus",
            "version_compatible": True,
        }
        asked = spec(options=options, precision=Precision.FP16)
        check_request(device.backend, asked)
        device.build(asked)
        assert {
            "--useDLACore=0", "--allowGPUFallback", "--memPoolSize=workspace:512", "--builderOptimizationLevel=5",
            "--hardwareCompatibilityLevel=ampere+", "--versionCompatible",
        } <= device.calls()[-1]  # fmt: skip

    def test_what_makes_another_engine(self, prepare: Prepare) -> None:
        backend = prepare("10.16.2.10").backend
        made = backend.made_of(spec())
        assert (made["runtime"], made["runtime_version"], made["built_by"]) == ("tensorrt", "10.16.2.10", "trtexec")
        assert made["typing"] == "strong"
        assert backend.made_of(spec(options={"dla_core": 1}))["typing"] == "weak"
        assert backend.made_of(spec(options={"optimization_level": 5})) != made


class TestTime:
    def test_samples_parts_and_outputs(self, prepare: Prepare, version: str) -> None:
        device = prepare(version)
        device.build(spec())
        batches = [{"image": np.full((2, 3), value, np.float32)} for value in (1.0, -2.0)]
        own = device.backend.time(device.engine, spec(), batches, device.folder)
        assert len(own.samples_ns) == 50
        assert own.samples_ns[0] == 3_100_000
        assert (own.parts["h2d"][0], own.parts["compute"][0], own.parts["d2h"][0]) == (50_000, 3_000_000, 50_000)
        assert all(len(part) == 50 for part in own.parts.values())
        assert (own.load_ns, own.warmup_ns) == (250_000_000, 500_000_000)
        assert own.elapsed_ns == pytest.approx(49 * 4e6 + 3.1e6, rel=1e-3)
        assert own.outputs is not None
        assert [batch["scores"][0].tolist() for batch in own.outputs] == [[1, 2, 3, 4, 5], [-2, -1, 0, 1, 2]]
        assert own.outputs[0]["scores"].dtype == np.float32
        assert device.backend.memory() == {"engine_device": 2_621_440}
        assert not list(device.folder.glob("trtexec-*"))

    def test_lasts_as_long_as_asked_and_shows_each_output_once(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        asked = spec(options={"streams": 2})
        device.backend.time(device.engine, asked, [{"image": np.ones((2, 3), np.float32)}], device.folder)
        timed, checked = device.calls()[-2:]
        assert {"--warmUp=500", "--duration=0.2", "--iterations=40", "--infStreams=2"} <= timed
        assert {"--warmUp=0", "--duration=0", "--iterations=1", "--infStreams=1"} <= checked

    def test_whole_numbers_of_64_bits_are_32_on_8(self, prepare: Prepare, version: str) -> None:
        device = prepare(version)
        tool, batch = Tool.find(), {"ids": np.array([[1, 2]], np.int64)}
        (name,) = Files(device.folder).inputs(batch, tool).values()
        size = (device.folder / name).stat().st_size
        assert size == (8 if version.startswith("8") else 16)

    def test_every_switch_is_what_was_asked(self, prepare: Prepare, version: str) -> None:
        """The stand-in has its version's defaults and tells what it set: the backend would raise if they decided."""
        device = prepare(version)
        device.build(spec())
        for on in (False, True):
            asked = spec(options={"cuda_graph": on, "spin": on}, transfers=on, pattern=LoadPattern("pipelined"))
            own = device.backend.time(device.engine, asked, (), device.folder)
            told = device.backend.switches()
            assert (told["cuda_graph"], told["spin"], told["transfers"], told["pinned"]) == (on, on, on, True)
            assert any(own.parts["h2d"]) == on
            assert own.outputs is None
            assert "--exposeDMA" not in device.calls()[-1]

    def test_the_input_is_seeded(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        device.backend.time(device.engine, spec(), (), device.folder)
        assert "--loadInputs=image:trtexec-input-0.bin" in device.calls()[-1]
        assert device.backend.switches()["input_seeded"] is True

    def test_enqueue_times_too_coarse_to_mean_anything_are_left_out(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        assert "enqueue" in device.backend.time(device.engine, spec(), (), device.folder).parts
        late = spec(timing=Timing(processes=1, warmup_s=400.0, duration_s=0.0, iterations=5, cap_s=10))
        assert set(device.backend.time(device.engine, late, (), device.folder).parts) == {"h2d", "compute", "d2h"}

    def test_half_precision_inputs_and_outputs(self, prepare: Prepare) -> None:
        device = prepare()
        device.model(types=["float16"])
        half = spec(
            precision=Precision.FP16,
            inputs=(TensorSpec("image", "float16", (2, 3)),),
            outputs=(TensorSpec("scores", "float16", (2, 5)),),
        )
        device.build(half)
        own = device.backend.time(device.engine, half, [{"image": np.ones((2, 3), np.float16)}], device.folder)
        assert own.outputs is not None
        assert own.outputs[0]["scores"].dtype == np.float16

    def test_layers_with_their_times_in_a_run_of_their_own(self, prepare: Prepare, version: str) -> None:
        device = prepare(version)
        device.build(spec())
        device.backend.load(device.engine, spec(options={"cuda_graph": True, "streams": 1}))
        layers = device.backend.layers(0, 50)
        assert "--useCudaGraph" not in device.calls()[-1], "a graph hides its layers"
        assert [layer.time_ns for layer in layers] == [100_000, 200_000]
        assert layers[1].nodes == ("/conv/Conv", "/relu/Relu")
        assert ("--separateProfileRun" in device.calls()[-1]) == (not version.startswith("11"))
        assert [path.name for path in device.engine.parent.iterdir()] == ["model.engine"]

    def test_several_streams(self, prepare: Prepare, version: str) -> None:
        """Where dimensions are free, streams of 8.6 share a profile by a preview feature; 8.5 has none."""
        device = prepare(version)
        device.build(spec())
        several = spec(options={"streams": 2})
        if version.startswith("8.5"):
            error = error_of(lambda: device.backend.time(device.engine, several, (), device.folder)).info
            assert "every stream of TensorRT 8.5 needs an optimization profile of its own" in error.message
        else:
            device.backend.time(device.engine, several, (), device.folder)
            assert device.backend.switches()["streams"] == 2

    def test_the_command_loads_the_engine_that_was_timed(self, prepare: Prepare, version: str) -> None:
        device = prepare(version)
        device.build(spec())
        device.backend.time(device.engine, spec(), (), device.folder)
        argv = shlex.split(device.backend.command(spec(), None))
        assert f"--loadEngine={device.engine}" in argv
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
        assert set(argv[1:]) <= device.calls()[-2], "the timed run, which has its files beside"

    def test_the_time_of_a_layer_that_the_inspector_does_not_name_is_not_lost(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        device.fails("stranger")
        device.backend.load(device.engine, spec())
        layers = device.backend.layers(0, 50)
        assert [layer.time_ns for layer in layers] == [100_000, 200_000, 300_000]
        assert (layers[2].name, layers[2].precision) == ("stranger", "unknown")

    def test_as_a_second_opinion_on_a_job_of_tensorrt(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        job = spec(backend="tensorrt", options={"pinned": True, "spin": False, "tactic_shared_kib": 48})
        assert len(device.backend.time(device.engine, job, (), device.folder).samples_ns) == 50
        assert "--infStreams=1" in shlex.split(device.backend.command(job, None))


class TestSentences:
    """Every failure is one sentence with what, where and a remedy."""

    def test_an_operator_that_is_not_supported(self, prepare: Prepare) -> None:
        device = prepare()
        device.model(operators=["NonZero2"])
        error = error_of(lambda: device.build(spec())).info
        assert (error.code, error.stage, error.where) == ("unsupported_operator", "build", "model.onnx")
        assert error.message.startswith("trtexec 10.3.0 cannot read the model (operator NonZero2, node found: ")
        assert "\n" not in error.message
        assert not device.engine.exists()

    @pytest.mark.parametrize(
        ("how", "code", "told"),
        [
            ("memory", "out_of_memory", "ran out of memory"),
            ("killed", "build_failed", "signal 9 (often: out of memory)"),
            ("silent", "build_failed", "exit code 3 and gave no reason"),
            ("no_engine", "build_failed", "passed and wrote no engine"),
        ],
    )
    def test_a_build_that_fails(self, prepare: Prepare, how: str, code: str, told: str) -> None:
        device = prepare()
        device.fails(how)
        error = error_of(lambda: device.build(spec())).info
        assert (error.code, error.stage) == (code, "build")
        assert told in error.message
        assert error.fix
        assert not list(device.engine.parent.iterdir())

    def test_a_run_that_passes_and_then_fails(self, prepare: Prepare) -> None:
        device = prepare()
        program = device.folder / "bin" / "trtexec"
        (device.folder / "bin" / "real").write_text(program.read_text())
        program.write_text(f'#!/bin/sh\nsh {device.folder}/bin/real "$@"\nexit 3\n')
        error = error_of(lambda: device.build(spec())).info
        assert "ended with exit code 3 and gave no reason" in error.message

    def test_a_build_that_does_not_end(self, prepare: Prepare) -> None:
        device = prepare()
        device.fails("hangs")
        error = error_of(lambda: device.build(spec(deadline_s=1.0))).info
        assert (error.code, error.message) == ("deadline", "trtexec was ended: it took longer than 1 s")

    def test_the_tool_does_not_outlive_the_worker(self, prepare: Prepare) -> None:
        """A killed worker gives up its lock: nothing may go on computing then."""
        device = prepare()
        device.fails("hangs")
        code = (
            "from pathlib import Path; from device_agents.trtexec_tool import Tool; "
            "from device_agents.formats.trtexec_command import TrtexecRun; "
            "Tool.find().run(TrtexecRun(engine='e'), Path('.'), stage='run', where='', timeout_s=60)"
        )
        with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[3]) as worker:
            try:
                wait_for(lambda: any("--loadEngine=e" in call for call in device.calls()))
                tool = int((device.folder / "calls.pid").read_text())
            finally:
                worker.kill()
        wait_for(lambda: not alive(tool))

    def test_a_trace_that_is_cut(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        device.fails("cut")
        error = error_of(lambda: device.backend.time(device.engine, spec(), (), device.folder)).info
        assert error.code == "run_failed"
        assert "the trace of trtexec is cut or garbled" in error.message
        assert not list(device.folder.glob("trtexec-*"))

    def test_a_trace_that_holds_the_warm_up_too(self, prepare: Prepare, version: str) -> None:
        device = prepare(version)
        device.build(spec())
        device.fails("warm_trace")
        error = error_of(lambda: device.backend.time(device.engine, spec(), (), device.folder)).info
        assert error.code == "run_failed"
        assert "the trace" not in error.message
        assert "trtexec's trace is not what it sums up: wall time" in error.message

    def test_a_summary_that_cannot_be_read_is_passed_over(
        self, prepare: Prepare, capfd: pytest.CaptureFixture[str]
    ) -> None:
        device = prepare()
        device.build(spec())
        device.fails("no_summary")
        assert len(device.backend.time(device.engine, spec(), (), device.folder).samples_ns) == 50
        assert "the trace could not be held against the summary: trtexec's output has no" in capfd.readouterr().err

    def test_an_engine_of_another_version(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        device.patch.setenv("STAND_IN_TRTEXEC_VERSION", "10.16.2.10")
        error = error_of(lambda: device.backend.time(device.engine, spec(), (), device.folder)).info
        assert error.code == "engine_foreign"
        assert "not compatible with this version of TensorRT" in error.message

    def test_a_damaged_engine(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        device.engine.write_text("nothing")
        error = error_of(lambda: device.backend.time(device.engine, spec(), (), device.folder)).info
        assert error.code == "engine_damaged"

    def test_an_engine_that_is_not_there(self, prepare: Prepare) -> None:
        device = prepare()
        error = error_of(lambda: device.backend.time(device.engine, spec(), (), device.folder)).info
        assert error.code == "load_failed"

    @pytest.mark.parametrize("version", ["10.3.0", "11.1.0.106"], indirect=True)
    def test_an_engine_that_no_cuda_graph_takes(self, prepare: Prepare, version: str) -> None:
        device = prepare(version)
        device.build(spec())
        device.fails("no_graph")
        asked = spec(options={"cuda_graph": True})
        error = error_of(lambda: device.backend.time(device.engine, asked, (), device.folder)).info
        assert error.message == "trtexec did not run as asked: the engine cannot be captured as a CUDA graph"
        device.backend.time(device.engine, spec(), (), device.folder)

    def test_a_tool_that_sets_something_else(self, prepare: Prepare) -> None:
        """As if a version yet to come turned its defaults round again: its word for it is not known here."""
        device = prepare("10.3.0")
        device.build(spec())
        (device.folder / "bin" / "real").write_text((device.folder / "bin" / "trtexec").read_text())
        (device.folder / "bin" / "trtexec").write_text(f'#!/bin/sh\nsh {device.folder}/bin/real "$@" --useCudaGraph\n')
        error = error_of(lambda: device.backend.time(device.engine, spec(), (), device.folder)).info
        assert (error.code, error.message) == (
            "unsupported", "trtexec did not run as asked: cuda_graph is True, not False",
        )  # fmt: skip

    def test_a_shape_outside_the_profile(self, prepare: Prepare) -> None:
        device = prepare()
        wide = spec(engine=EngineRequest(profiles=({"batch": DimRange(1, 1, 1)},)))
        device.build(wide)
        assert error_of(lambda: device.backend.time(device.engine, wide, (), device.folder)).info.code == (
            "shape_outside_profile"
        )

    def test_an_output_that_is_not_there(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        other = spec(outputs=(TensorSpec("boxes", "float32", (2, 4)),))
        batch = [{"image": np.ones((2, 3), np.float32)}]
        error = error_of(lambda: device.backend.time(device.engine, other, batch, device.folder)).info
        assert (error.code, error.message) == ("run_failed", "trtexec shows no output 'boxes' of 2x4")

    @pytest.mark.parametrize(
        ("version", "changes", "told"),
        [
            ("8.6.2", {"options": {"typing": "strong"}}, "no strong typing"),
            ("11.1.0.106", {"options": {"typing": "weak"}, "precision": Precision.FP16}, "strongly_typed must be true"),
            ("8.5.2", {"options": {"optimization_level": 5}}, "no optimization levels"),
            ("8.6.2", {"engine": EngineRequest(profiles=({"batch": DimRange(1, 2, 4)},) * 2)}, "one optimization"),
        ],
    )  # fmt: skip
    def test_what_a_version_cannot_build(
        self, prepare: Prepare, version: str, changes: dict[str, Any], told: str
    ) -> None:
        device = prepare(version)
        error = error_of(lambda: device.build(spec(**changes))).info
        assert (error.code, error.stage) == ("unsupported", "build")
        assert told in error.message

    def test_what_it_cannot_run(self, prepare: Prepare) -> None:
        device = prepare()
        device.build(spec())
        rate = spec(pattern=LoadPattern("rate", 30.0))
        assert (
            "load pattern rate:30"
            in error_of(lambda: device.backend.time(device.engine, rate, (), device.folder)).info.message
        )
        pageable = replace(spec(), options={"pinned": False})
        assert (
            "pinned memory"
            in error_of(lambda: device.backend.time(device.engine, pageable, (), device.folder)).info.message
        )
