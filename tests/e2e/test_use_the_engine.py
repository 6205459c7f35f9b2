"""The Python of docs/use-the-engine.md, as it stands there, run against the scripted TensorRT of tests/stand_ins."""

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.stand_ins import cudart as stand_in

PAGE = Path(__file__).parents[2] / "docs" / "use-the-engine.md"
RELEASES = ("8.5", "8.6", "10.3", "10.16", "11.4")

BUILD = """
import sys
from pathlib import Path
import tensorrt as trt

model, out = map(Path, sys.argv[1:])
logger = trt.Logger(trt.Logger.WARNING)
builder = trt.Builder(logger)
flags = trt.NetworkDefinitionCreationFlag
network = builder.create_network(1 << int(flags.EXPLICIT_BATCH) if hasattr(flags, "EXPLICIT_BATCH") else 0)
parser = trt.OnnxParser(network, logger)
assert parser.parse(model.read_bytes()), parser.get_error(0).desc()
config, profile = builder.create_builder_config(), builder.create_optimization_profile()
profile.set_shape("images", (1, 3, 32, 32), (2, 3, 32, 32), (4, 3, 32, 32))
config.add_optimization_profile(profile)
out.write_bytes(bytes(builder.build_serialized_network(network, config)))
print(trt.__version__)
"""


@dataclass(frozen=True)
class Device:
    """A folder with an engine as `engines pull` leaves it, and a Python that has the scripted TensorRT."""

    folder: Path
    environment: dict[str, str]

    def run(self, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", program, *map(str, arguments)]
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(params=RELEASES)
def device(request: pytest.FixtureRequest, tmp_path: Path, tiny_onnx: Path, cudart: Path) -> Device:
    libraries = tmp_path / "lib"
    libraries.mkdir()
    (libraries / "libcudart.so").symlink_to(cudart)  # one library: the scripted TensorRT computes in its memory
    environment = {
        **os.environ,
        "SCRIPTED_TENSORRT": request.param,
        "EDGEBENCH_CUDART": str(cudart),
        "LD_LIBRARY_PATH": str(libraries),
        "PYTHONPATH": str(Path(stand_in.__file__).parent),
    }
    device = Device(tmp_path / "pulled", environment)
    device.folder.mkdir()
    built = device.run(BUILD, tiny_onnx, device.folder / "model.engine")
    assert built.returncode == 0, built.stderr
    plan = (device.folder / "model.engine").read_bytes()
    (device.folder / "engine.json").write_text(json.dumps({"file": {"sha256": hashlib.sha256(plan).hexdigest()}}))
    return device


@pytest.fixture(scope="module")
def program() -> str:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(block)


def test_the_program_runs_the_engine_and_prints_what_onnxruntime_gives(
    device: Device, program: str, tiny_onnx: Path
) -> None:
    import onnxruntime

    done = device.run(program, device.folder / "model.engine")
    assert done.returncode == 0, done.stderr
    images, logits = done.stdout.splitlines()
    assert images.startswith("images float32 (2, 3, 32, 32) [")
    assert logits.startswith("logits float32 (2, 10) [")
    data = np.random.default_rng(0).random((2, 3, 32, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession(tiny_onnx, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"images": data})
    printed = [float(word) for word in logits.partition("[")[2].rstrip("]").split()]
    assert np.allclose(printed, expected.ravel()[:4], rtol=1e-4, atol=1e-5)


def test_the_program_says_that_the_engine_cannot_be_loaded(device: Device, program: str) -> None:
    plan = device.folder / "model.engine"
    plan.write_bytes(plan.read_bytes()[:100])
    done = device.run(program, plan)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().endswith("the engine cannot be loaded")


def test_the_check_tells_a_damaged_engine(device: Device) -> None:
    (check,) = re.findall(r"^cd resnet50 && (.*)$", PAGE.read_text(), re.MULTILINE)

    def shell() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", check], cwd=device.folder, capture_output=True, text=True, check=False)

    assert (shell().returncode, shell().stdout) == (0, "model.engine: OK\n")
    plan = device.folder / "model.engine"
    plan.write_bytes(plan.read_bytes()[:-1] + b"!")
    assert shell().returncode == 1
