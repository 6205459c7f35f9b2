"""Models of both frameworks, the known traps among them: exported in FP32 and FP16, checked against their framework,
and built by the real TensorRT-RTX. A fast subset of benchmarks/coverage.py, which walks all that there are.

Not run: that wants a GPU. A model that TensorRT's parser or builder would refuse on a device is found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agents import backends
from device_agents.backends.base import Backend
from device_agents.contract import SCHEMA, DimRange, EngineRequest, JobSpec, Precision
from device_agents.errors import DeviceError
from export.artifact import Artifact, Parity
from export.asking import Options

pytest.importorskip("tensorrt_rtx", reason="the real builder: pip install tensorrt-rtx-cu13")

FP16 = Precision.FP16
ALL = ("sm80", "sm86", "sm89", "sm120")
CASES = [  # (model, framework, Transposes at most, targets)
    ("resnet18", "pytorch", 0, ALL),
    ("resnet18", "tensorflow", 0, ALL),
    ("torchvision:mobilenet_v3_small", "pytorch", 0, ("sm86",)),
    ("torchvision:squeezenet1_1", "pytorch", 0, ("sm89",)),
    ("efficientnet_b0", "pytorch", 0, ("sm120",)),
    ("torchvision:convnext_tiny", "pytorch", None, ("sm80",)),
    ("torchvision:swin_t", "pytorch", None, ("sm80",)),
    ("vit_b_16", "pytorch", None, ("sm80",)),
    ("keras:MobileNetV2", "tensorflow", 0, ("sm80",)),
    ("keras:MobileNetV3Large", "tensorflow", 0, ("sm80",)),
    ("keras:EfficientNetB0", "tensorflow", 0, ("sm120",)),
    ("keras:EfficientNetV2B0", "tensorflow", 0, ("sm80",)),
    ("keras:ConvNeXtTiny", "tensorflow", None, ("sm80",)),
]


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Backend]:
    monkeypatch.setenv("EDGEBENCH_CUDART", str(tmp_path / "none"))  # for a GPU elsewhere, whatever is here
    backend = backends.create("tensorrt-rtx")
    backend.start()
    yield backend
    backend.close()


def job(artifact: Artifact, batch: int, **changes: Any) -> JobSpec:
    return JobSpec(
        schema=SCHEMA,
        job="job-1",
        backend="tensorrt-rtx",
        artifact=artifact.id,
        files=artifact.files,
        model_file=artifact.model_file,
        precision=artifact.precision,
        inputs=tuple(one.at_batch(batch) for one in artifact.inputs),
        outputs=tuple(one.at_batch(batch) for one in artifact.outputs),
        batch=batch,
        free_dims={"batch": batch} if artifact.batch == "dynamic" else {},
        graph_inputs=artifact.inputs,
        task="build",
        **changes,
    )


def engine_of(artifact: Artifact, rtx: Backend, target: str, folder: Path) -> bytes:
    """For one to eight images, or for the batch that the artifact is made for."""
    free = artifact.batch == "dynamic"
    bounds = EngineRequest(profiles=({"batch": DimRange(1, 4, 8)},) if free else ())
    spec = job(artifact, 4 if free else int(artifact.batch), engine=bounds, options={"target": target})
    out = folder / "model.engine"
    built = rtx.build(artifact.path / artifact.model_file, out, spec, folder, lambda _: None)
    assert built.seconds["optimize"] > 0
    return out.read_bytes()


@pytest.mark.parametrize(
    ("model", "framework", "transposes", "targets"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES]
)
def test_an_engine_of_every_model(
    artifact_store: Any,
    rtx: Backend,
    tmp_path: Path,
    model: str,
    framework: str,
    transposes: int | None,
    targets: tuple[str, ...],
) -> None:
    full, half = (artifact_store.get(model, framework, precision) for precision in (Precision.FP32, FP16))
    for artifact in (full, half):
        assert isinstance(artifact.parity, Parity)
        assert artifact.parity.error <= artifact.parity.limit
        assert artifact.parity.agreement["top5"] > 0.9
    assert half.parent == full.id
    assert transposes is None or full.graph.transposes <= transposes
    weights = (half.path / half.model_file).stat().st_size
    assert weights < 0.6 * (full.path / full.model_file).stat().st_size
    engines = {target: engine_of(half, rtx, target, tmp_path) for target in targets}
    assert all(len(engine) > weights / 2 for engine in engines.values()), "the engine holds the weights"
    assert len(set(engines.values())) == len(targets)


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_resnet50_in_int8(artifact_store: Any, rtx: Backend, tmp_path: Path, framework: str) -> None:
    options = Options(calibrate="random")
    artifact = artifact_store.get("resnet50", framework, Precision.INT8, options=options)
    assert artifact.parity.error < 0.3
    assert artifact.calibration.data == "random"
    assert any("random data" in note for note in artifact.notes)
    engine = engine_of(artifact, rtx, "sm80", tmp_path)
    assert len(engine) < 0.4 * (artifact.path / artifact.model_file).stat().st_size, "the engine holds INT8 weights"


def test_a_detector_without_its_nms(artifact_store: Any, rtx: Backend, tmp_path: Path) -> None:
    """With it, the number of boxes is known only when it runs, and TensorRT-RTX takes no such graph."""
    options = Options(head="raw")
    artifact = artifact_store.get(
        "torchvision:ssdlite320_mobilenet_v3_large", "pytorch", FP16, batch=1, options=options
    )
    assert isinstance(artifact.parity, Parity)
    assert artifact.parity.error <= artifact.parity.limit
    weights = (artifact.path / artifact.model_file).stat().st_size
    assert len(engine_of(artifact, rtx, "sm86", tmp_path)) > weights / 2


def test_a_jetson_is_no_target(artifact_store: Any, rtx: Backend, tmp_path: Path) -> None:
    artifact = artifact_store.get("resnet18", "pytorch", FP16)
    spec = job(artifact, 1, options={"target": "sm87"})
    with pytest.raises(DeviceError, match=r"no engine for sm87 \(Jetson Orin\)"):
        rtx.build(artifact.path / artifact.model_file, tmp_path / "model.engine", spec, tmp_path, lambda _: None)
