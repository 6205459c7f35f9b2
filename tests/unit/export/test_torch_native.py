"""torchvision's networks as weights and a name: what a device builds of them answers as the exporter's network did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from device_agents import described
from device_agents.backends.pytorch import Backend
from device_agents.contract import Precision, TensorSpec
from export.artifact import Format
from export.request import ExportRequest
from profiles.errors import ExportError
from tests.jobs import job_spec

pytest.importorskip("torchvision", reason="torchvision is not installed")

from export.pt import catalog, native


def request(name: str) -> ExportRequest:
    return ExportRequest(
        model=name, framework="pytorch", precision=Precision.FP32, batch="dynamic", weights="random",
        format=Format.SAFETENSORS,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "returns"),
    [("squeezenet1_1", "tensor"), ("googlenet", "tensor"), ("lraspp_mobilenet_v3_large", "named")],
)
def test_what_is_written_is_what_a_device_builds(tmp_path: Path, name: str, returns: str) -> None:
    entry = catalog.find(name)
    (image,) = entry.images
    inputs = {image.name: np.random.default_rng(0).random((1, *image.shape), np.float32)}
    written, answers = native.write(catalog.build(entry), entry, request(name), inputs, tmp_path)
    spec = job_spec(
        backend="pytorch",
        inputs=(TensorSpec(image.name, "float32", (1, *image.shape)),),
        outputs=tuple(TensorSpec(output, "float32", array.shape) for output, array in answers.items()),
        batch=1,
        options={"provider": "cpu"},
    )
    assert described.network_of(tmp_path, spec).returns == returns
    backend = Backend()
    backend.start()
    backend.load(tmp_path / written.model_file, spec)
    backend.bind(inputs, 0)
    backend.enqueue(0)
    found = backend.outputs(0)
    for output, array in answers.items():
        np.testing.assert_allclose(found[output], array, rtol=1e-4, atol=1e-5 * float(np.abs(array).max()))
    backend.close()


def test_a_detector_is_refused_as_what_follows_it_is_python(tmp_path: Path) -> None:
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    entry = catalog.find(name)
    with pytest.raises(ExportError, match="what follows a network of detection is Python; take --backend onnxruntime"):
        native.write(None, entry, request(name), {}, tmp_path)
