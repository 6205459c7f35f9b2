"""The engines of a device: found by what they are made of, believed only by their hash."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_agents.backends.base import Backend
from device_agents.contract import (
    ENGINE_FILE,
    ENGINE_MANIFEST,
    SCHEMA,
    DataSet,
    DimRange,
    EngineReport,
    EngineRequest,
    FileEntry,
    GivenEngine,
    JobSpec,
    Precision,
    Reading,
    Scalar,
    TensorSpec,
    dumps,
)
from device_agents.engines import Engines, key_of, made_of
from device_agents.errors import DeviceError
from device_agents.files import entry_of
from device_agents.tasks import Work

ORIN = {
    "gpu_name": Reading("Orin", "cuda"),
    "l4t": Reading("36.4.7", "file"),
    "power_mode": Reading("MAXN", "nvpmodel"),
}


class Runtime(Backend):
    """Says what it is made of; nothing else is asked of it here."""

    def __init__(self, version: str = "10.3.0.30") -> None:
        self._version = version

    def made_of(self, spec: JobSpec) -> dict[str, Scalar]:
        return {"runtime": "tensorrt", "runtime_version": self._version, **spec.options}


def spec(**changes: object) -> JobSpec:
    fields: dict[str, object] = {
        "schema": SCHEMA,
        "job": "job-0001",
        "backend": "tensorrt",
        "artifact": "tiny-0001",
        "files": (FileEntry("model.onnx", 1, "0" * 64),),
        "model_file": "model.onnx",
        "precision": Precision.FP16,
        "inputs": (TensorSpec("image", "float16", (1, 3, 4, 4)),),
        "outputs": (TensorSpec("scores", "float16", (1, 5)),),
        "batch": 1,
    }
    return JobSpec(**{**fields, **changes})  # type: ignore[arg-type]


def build(cache: Engines, wanted: JobSpec, version: str = "10.3.0.30", data: bytes = b"plan") -> EngineReport:
    """What the build task does, but for the building."""
    facts = made_of(wanted, Runtime(version), ORIN)
    folder = cache.making(wanted.job)
    (folder / ENGINE_FILE).write_bytes(data)
    report = EngineReport(
        SCHEMA, key_of(facts), wanted.artifact, entry_of(folder / ENGINE_FILE), "tensorrt", version,
        wanted.precision, "2026-01-01T00:00:00Z", facts,
    )  # fmt: skip
    cache.adopt(folder, report)
    return report


class TestTheKey:
    def test_is_the_same_for_the_same_engine(self) -> None:
        assert key_of(made_of(spec(), Runtime(), ORIN)) == key_of(made_of(spec(job="job-0002"), Runtime(), dict(ORIN)))

    @pytest.mark.parametrize(
        "other",
        [
            spec(artifact="tiny-0002"),
            spec(precision=Precision.FP32),
            spec(inputs=(TensorSpec("image", "float16", (8, 3, 4, 4)),)),
            spec(options={"optimization_level": 5}),
            spec(engine=EngineRequest(profiles=({"batch": DimRange(1, 8, 32)},))),
            spec(engine=EngineRequest(build=1)),
        ],
    )
    def test_changes_with_what_the_engine_is_made_of(self, other: JobSpec) -> None:
        assert key_of(made_of(other, Runtime(), ORIN)) != key_of(made_of(spec(), Runtime(), ORIN))

    @pytest.mark.parametrize("name", ["gpu_name", "l4t", "power_mode"])
    def test_changes_with_the_device(self, name: str) -> None:
        moved = {**ORIN, name: Reading("another", "test")}
        assert key_of(made_of(spec(), Runtime(), moved)) != key_of(made_of(spec(), Runtime(), ORIN))

    def test_of_an_engine_with_profiles_does_not_know_the_batch_that_is_measured(self) -> None:
        request = EngineRequest(profiles=({"batch": DimRange(1, 8, 32)},))
        graph = (TensorSpec("image", "float16", ("batch", 3, 4, 4)),)
        one = spec(engine=request, graph_inputs=graph)
        eight = replace(one, batch=8, inputs=(TensorSpec("image", "float16", (8, 3, 4, 4)),))
        assert key_of(made_of(one, Runtime(), ORIN)) == key_of(made_of(eight, Runtime(), ORIN))


class TestTheCache:
    def test_finds_what_was_built(self, tmp_path: Path) -> None:
        cache = Engines(tmp_path)
        report = build(cache, spec())
        assert cache.find(report.key) == report
        assert cache.all() == [report]

    @pytest.mark.parametrize("damage", [b"plam", b"pla", b""])
    def test_removes_an_engine_that_is_not_what_was_built(self, tmp_path: Path, damage: bytes) -> None:
        cache = Engines(tmp_path)
        report = build(cache, spec())
        (tmp_path / "engines" / report.key / ENGINE_FILE).write_bytes(damage)
        with pytest.raises(DeviceError, match="the cached engine was damaged"):
            cache.find(report.key)
        assert not (tmp_path / "engines" / report.key).exists()
        assert cache.find(report.key) is None

    def test_does_not_believe_a_folder_of_another_key(self, tmp_path: Path) -> None:
        cache = Engines(tmp_path)
        report = build(cache, spec())
        (tmp_path / "engines" / report.key).rename(tmp_path / "engines" / "0123")
        with pytest.raises(DeviceError, match="the cached engine was damaged"):
            cache.find("0123")

    def test_says_what_is_different_from_the_engine_that_is_there(self, tmp_path: Path) -> None:
        cache = Engines(tmp_path)
        build(cache, spec())
        now = made_of(spec(), Runtime("10.16.1.11"), ORIN)
        assert cache.why_built(now, rebuild=False) == "built: runtime_version was 10.3.0.30, is 10.16.1.11"
        assert cache.why_built(now, rebuild=True) == "built anew, as was asked"
        assert Engines(tmp_path / "empty").why_built(now, rebuild=False) == "built: there was none"


class TestAnEngineThatWasGiven:
    def given(self, tmp_path: Path, data: bytes = b"plan") -> JobSpec:
        """One that a device of this class built, as the operator sends it on."""
        report = build(Engines(tmp_path / "builder"), spec(), data=data)
        folder = tmp_path / "artifacts" / "engine-0001"
        folder.mkdir(parents=True)
        (folder / ENGINE_FILE).write_bytes(data)
        (folder / ENGINE_MANIFEST).write_text(dumps(report))
        return spec(engine=EngineRequest(given=GivenEngine("engine-0001", report.file, "orin-1")))

    def test_is_used_as_it_is(self, tmp_path: Path) -> None:
        wanted, cache = self.given(tmp_path), Engines(tmp_path)
        use = cache.given(wanted, made_of(wanted, Runtime(), ORIN))
        assert (use.reused, use.why) == (True, "built by orin-1")
        assert Work(wanted, tmp_path / "jobs" / "job", 0).engine_file.read_bytes() == b"plan"

    def test_is_refused_when_its_bytes_are_others(self, tmp_path: Path) -> None:
        wanted = self.given(tmp_path)
        (tmp_path / "artifacts" / "engine-0001" / ENGINE_FILE).write_bytes(b"evil")
        with pytest.raises(DeviceError, match="is not what was shipped"):
            Engines(tmp_path).given(wanted, made_of(wanted, Runtime(), ORIN))

    def test_is_refused_on_another_version(self, tmp_path: Path) -> None:
        wanted = self.given(tmp_path)
        with pytest.raises(DeviceError, match=r"runtime_version was 10\.3\.0\.30, is 8\.6\.2") as refused:
            Engines(tmp_path).given(wanted, made_of(wanted, Runtime("8.6.2"), ORIN))
        assert refused.value.info.code == "engine_foreign"

    def test_is_refused_on_a_gpu_of_another_target(self, tmp_path: Path) -> None:
        """A Jetson has no nvidia-smi to name its GPU, and TensorRT says what it built for all the same."""
        wanted = self.given(tmp_path)
        there = {**made_of(wanted, Runtime(), ORIN), "target": "sm72"}
        with pytest.raises(DeviceError, match=r"does not fit \(target was not set, is sm72\)"):
            Engines(tmp_path).given(wanted, there)


class TestAnEngineThatWasBuiltAheadOfTime:
    """For a target, by a machine that has no GPU, or another one: what the target is decides."""

    @pytest.mark.parametrize(
        "builder", [{}, {"gpu_name": Reading("RTX 4090", "cuda"), "gpu_compute_cap": Reading("8.9", "cuda")}]
    )
    def test_fits_the_gpu_of_its_target_and_no_other(self, tmp_path: Path, builder: dict[str, Reading]) -> None:
        facts = made_of(spec(options={"target": "sm80"}), Runtime(), builder)
        folder = tmp_path / "artifacts" / "engine-0001"
        folder.mkdir(parents=True)
        (folder / ENGINE_FILE).write_bytes(b"plan")
        report = EngineReport(
            SCHEMA, key_of(facts), "tiny-0001", entry_of(folder / ENGINE_FILE), "tensorrt", "10.3.0.30",
            Precision.FP16, "2026-01-01T00:00:00Z", facts,
        )  # fmt: skip
        (folder / ENGINE_MANIFEST).write_text(dumps(report))
        given = EngineRequest(given=GivenEngine("engine-0001", report.file, "this machine, ahead of time"))
        wanted, here = spec(engine=given), {"target": "any"}

        def use(version: str = "10.3.0.30", **gpu: str) -> str:
            identity = {name: Reading(value, "nvidia-smi") for name, value in gpu.items()}
            return Engines(tmp_path).given(wanted, {**made_of(wanted, Runtime(version), identity), **here}).why

        assert use(gpu_name="A100", gpu_compute_cap="8.0") == "built by this machine, ahead of time"
        with pytest.raises(DeviceError, match=r"does not fit \(target was sm80, is sm86\)"):
            use(gpu_name="A10", gpu_compute_cap="8.6")
        with pytest.raises(DeviceError, match=r"target was sm80, is sm of an unknown GPU"):
            use()
        with pytest.raises(DeviceError, match=r"runtime_version was 10\.3\.0\.30, is 8\.6\.2"):
            use("8.6.2", gpu_compute_cap="8.0")


def test_a_job_names_every_folder_that_it_needs() -> None:
    """`gc` keeps these while the job is there, and starting it marks them as used."""
    entry = FileEntry("model.engine", 4, "0" * 64)
    given = EngineRequest(given=GivenEngine("engine-0001", entry, "orin-1"))
    assert spec().folders == ("tiny-0001",)
    assert spec(engine=given, data=DataSet("data-0001", entry)).folders == ("tiny-0001", "engine-0001", "data-0001")
