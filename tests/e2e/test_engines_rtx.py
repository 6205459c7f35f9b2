"""Engines of models of both frameworks, built by the real TensorRT-RTX of what our exporters write.

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
from export.artifact import Artifact

pytest.importorskip("tensorrt_rtx", reason="the real builder: pip install tensorrt-rtx-cu13")

FP16 = Precision.FP16
CASES = [
    ("resnet18", "pytorch", ("sm80", "sm86", "sm89", "sm120")),
    ("resnet18", "tensorflow", ("sm80", "sm86", "sm89", "sm120")),
    ("torchvision:mobilenet_v3_small", "pytorch", ("sm86",)),
    ("torchvision:squeezenet1_1", "pytorch", ("sm89",)),
    ("efficientnet_b0", "pytorch", ("sm120",)),
    ("keras:MobileNetV2", "tensorflow", ("sm80",)),
    ("keras:EfficientNetB0", "tensorflow", ("sm120",)),
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
        free_dims={"batch": batch},
        graph_inputs=artifact.inputs,
        task="build",
        **changes,
    )


@pytest.mark.parametrize(("model", "framework", "targets"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_an_engine_of_every_model(
    artifact_store: Any, rtx: Backend, tmp_path: Path, model: str, framework: str, targets: tuple[str, ...]
) -> None:
    artifact = artifact_store.get(model, framework, FP16)
    weights = (artifact.path / artifact.model_file).stat().st_size
    engines = set()
    for target in targets:
        out = tmp_path / f"{target}.engine"
        bounds = EngineRequest(profiles=({"batch": DimRange(1, 4, 8)},))
        spec = job(artifact, 4, engine=bounds, options={"target": target})
        built = rtx.build(artifact.path / artifact.model_file, out, spec, tmp_path, lambda _: None)
        assert built.seconds["optimize"] > 0
        assert out.stat().st_size > weights / 2, "the engine holds the weights"
        engines.add(out.read_bytes())
    assert len(engines) == len(targets)


def test_a_jetson_is_no_target(artifact_store: Any, rtx: Backend, tmp_path: Path) -> None:
    artifact = artifact_store.get("resnet18", "pytorch", FP16)
    spec = job(artifact, 1, options={"target": "sm87"})
    with pytest.raises(DeviceError, match=r"no engine for sm87 \(Jetson Orin\)"):
        rtx.build(artifact.path / artifact.model_file, tmp_path / "model.engine", spec, tmp_path, lambda _: None)
