"""The pytorch backend on a real GPU: its parts, its outputs, and CUDA graphs of torch.compile."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.backends.pytorch import Backend
from device_agents.contract import JobSpec
from tests.torch_weights import DRAWN, SIDE, SPEC, computes_every_size, save, squeezenet

torch = pytest.importorskip("torch", reason="no PyTorch: install edgebench[pytorch]")
pytest.importorskip("torchvision", reason="no torchvision: install edgebench[pytorch]")

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no GPU here"),
    pytest.mark.leaves("CUDA's driver keeps pipes, threads and its context for the life of the process"),
]

WAYS: list[dict[str, Any]] = [
    {},
    {"channels_last": True, "spin": False},
    {"mode": "compile"},
    {"mode": "compile", "compile_mode": "reduce-overhead"},
]


def loaded(spec: JobSpec, folder: Path, transfers: bool, options: dict[str, Any]) -> tuple[Any, Backend]:
    """The network on the processor, and the backend that computes it on the GPU, compiled where that is asked."""
    network = squeezenet()
    backend = Backend()
    backend.start()
    backend.load(
        save(network.state_dict(), folder), replace(spec, transfers=transfers, options={"provider": "cuda", **options})
    )
    if backend.compiles:
        backend.compile(folder, folder)
    return network, backend


@pytest.mark.parametrize("transfers", [True, False])
@pytest.mark.parametrize("options", WAYS, ids=str)
def test_slots_are_answered_as_on_the_processor_and_taken_apart(
    tmp_path: Path, options: dict[str, Any], transfers: bool
) -> None:
    network, backend = loaded(SPEC, tmp_path, transfers, options)
    random = np.random.default_rng(0)
    batches = [{"images": random.random((2, 3, SIDE, SIDE), np.float32)} for _ in range(3)]
    for slot, batch in enumerate(batches):
        backend.bind(batch, slot)
    for slot in (0, 2, 1):
        begin = time.perf_counter_ns()
        backend.enqueue(slot)
        backend.wait(slot)
        took_ns = time.perf_counter_ns() - begin
        parts = backend.parts(slot)
        assert parts is not None
        assert 0 < parts.compute_ns <= parts.h2d_ns + parts.compute_ns + parts.d2h_ns <= took_ns * 1.05 + 50_000
        with torch.inference_mode():
            wanted = network(torch.from_numpy(batches[slot]["images"])).numpy()
        np.testing.assert_allclose(backend.outputs(slot)["logits"], wanted, rtol=1e-3, atol=1e-4)
    recompiles = backend.readings().get("recompiles")
    assert recompiles is None or recompiles.value == 0
    backend.close()


@pytest.mark.parametrize("transfers", [True, False])
@pytest.mark.parametrize("options", [{}, {"mode": "compile"}, {"mode": "compile", "dynamic": False}], ids=str)
def test_drawn_sizes_are_computed_each_and_compiled_before(
    tmp_path: Path, options: dict[str, Any], transfers: bool
) -> None:
    network, backend = loaded(DRAWN, tmp_path, transfers, options)
    computes_every_size(backend, network)
    told = backend.readings()
    assert not told or told["recompiles"].value == 0
    backend.close()
