"""How the onnxruntime backend keeps order on CUDA's streams, shown without a GPU.

The libcudart is the stand-in of tests/stand_ins: its device memory is host memory and its streams run at once. So the
real onnxruntime computes with its CPU provider in "device" buffers, between copies and events that the stand-in checks.
It shows that the right buffers go the right way; nothing of speed, and nothing of what overlaps.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ort_models import classifier, images, job

from device_agents.cuda import Cuda
from device_agents.ort import providers
from device_agents.ort.streams import StreamRunner, Streams

ort = pytest.importorskip("onnxruntime", reason="the runtime that computes is onnxruntime")
pytest.importorskip("onnx", reason="making a small model needs onnx")

SOURCE = Path(__file__).parents[2] / "stand_ins" / "cudart.c"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("compiling the stand-in for libcudart needs a C compiler")
    path = tmp_path_factory.mktemp("standin") / "libcudart.so.12"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(path), str(SOURCE), "-lpthread"], check=True)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ort") / "model.onnx"
    classifier(path)
    return path


@pytest.fixture
def cuda(library: Path) -> Iterator[Cuda]:
    with Cuda(str(library)) as cuda:
        yield cuda


class Lab:
    def __init__(self, cuda: Cuda, model: Path, *, overlap: bool, transfers: bool, graph: bool) -> None:
        self.spec = job(transfers=transfers)
        session = ort.InferenceSession(str(model), providers=[providers.CPU])
        self.session = session
        self.runner = StreamRunner(
            ort, cuda, Streams(cuda, overlap=overlap), session, self.spec,
            in_flight=2 if overlap else 1, cuda_graph=graph, device="cpu",
        )  # fmt: skip

    def wanted(self, batch: dict[str, np.ndarray]) -> Any:
        return self.session.run(["p", "y"], batch)

    def check(self, slot: int, batch: dict[str, np.ndarray]) -> None:
        found, wanted = self.runner.outputs(slot), self.wanted(batch)
        np.testing.assert_allclose(found["p"], wanted[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found["y"], wanted[1])


WAYS = [(o, t, g) for o in (False, True) for t in (True, False) for g in (False, True)]


@pytest.mark.parametrize(("overlap", "transfers", "graph"), WAYS)
def test_each_inference_gets_its_own_inputs(
    cuda: Cuda, model: Path, overlap: bool, transfers: bool, graph: bool
) -> None:
    lab = Lab(cuda, model, overlap=overlap, transfers=transfers, graph=graph)
    batches = images(5)
    for slot, batch in enumerate(batches):
        lab.runner.bind(batch, slot)
    for _ in range(2):
        for slot, batch in enumerate(batches):
            lab.runner.enqueue(slot)
            lab.runner.wait(slot)
            lab.check(slot, batch)
    lab.runner.bind(batches[4], 0)  # a slot that is bound again computes the new inputs
    lab.runner.enqueue(0)
    lab.runner.wait(0)
    lab.check(0, batches[4])
    lab.runner.close()


@pytest.mark.parametrize("transfers", [True, False])
def test_two_under_way_do_not_mix(cuda: Cuda, model: Path, transfers: bool) -> None:
    lab = Lab(cuda, model, overlap=True, transfers=transfers, graph=True)
    batches = images(5)
    for slot, batch in enumerate(batches):
        lab.runner.bind(batch, slot)
    lab.runner.enqueue(0)
    for slot in range(1, 5):
        lab.runner.enqueue(slot)
        lab.runner.wait(slot - 1)
        lab.check(slot - 1, batches[slot - 1])
    lab.runner.wait(4)
    lab.check(4, batches[4])
    lab.runner.close()


def test_outputs_that_another_slot_overwrote_are_not_shown_as_this_one_s(cuda: Cuda, model: Path) -> None:
    lab = Lab(cuda, model, overlap=False, transfers=False, graph=True)
    for slot, batch in enumerate(images(2)):
        lab.runner.bind(batch, slot)
        lab.runner.enqueue(slot)
        lab.runner.wait(slot)
    with pytest.raises(RuntimeError, match="outputs of slot 0 are gone"):
        lab.runner.outputs(0)
    lab.runner.close()


@pytest.mark.parametrize("overlap", [False, True])
def test_the_parts_of_an_inference_are_told(cuda: Cuda, model: Path, overlap: bool) -> None:
    lab = Lab(cuda, model, overlap=overlap, transfers=True, graph=False)
    lab.runner.bind(images(1)[0], 0)
    lab.runner.enqueue(0)
    lab.runner.wait(0)
    parts = lab.runner.parts(0)
    assert min(parts) >= 0
    assert parts.compute_ns > 0
    # the stand-in's streams run at once, so that here the host's enqueue holds all of them
    assert parts.h2d_ns + parts.compute_ns + parts.d2h_ns <= parts.enqueue_ns * 1.01
    lab.runner.close()


def test_nothing_is_left_of_a_closed_runner(cuda: Cuda, model: Path) -> None:
    import ctypes

    lab = Lab(cuda, model, overlap=True, transfers=True, graph=False)
    lab.runner.bind(images(1)[0], 0)
    used = lab.runner.memory()["gpu_used"]
    assert used > 0
    lab.runner.close()
    standin = ctypes.CDLL(cuda.path)
    assert standin.standin_live_allocations() == 0
    assert standin.standin_live_handles() == 0
