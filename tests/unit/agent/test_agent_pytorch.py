"""The pytorch backend where there is no GPU: torchvision's networks with an artifact's weights, and no foreign code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agents.backends.base import check_request
from device_agents.backends.pytorch import Backend
from device_agents.contract import NETWORK_FILE, JobSpec, LoadPattern, Precision, dumps
from device_agents.errors import DeviceError
from device_agents.pt.compiling import Counted, compiled
from tests.torch_weights import DRAWN, NETWORK, SIDE, SPEC, computes_every_size, save, squeezenet

torch = pytest.importorskip("torch", reason="no PyTorch: install edgebench[pytorch]")
pytest.importorskip("torchvision", reason="no torchvision: install edgebench[pytorch]")


ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def network() -> Any:
    return squeezenet()


@pytest.fixture
def weights(network: Any, tmp_path: Path) -> Path:
    return save(network.state_dict(), tmp_path)


def images(count: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    return [{"images": random.random((2, 3, SIDE, SIDE), np.float32)} for _ in range(count)]


def loaded(weights: Path, spec: JobSpec = SPEC, **options: Any) -> Backend:
    backend = Backend()
    backend.start()
    backend.load(weights, replace(spec, options=options))
    return backend


def refusal(weights: Path, spec: JobSpec = SPEC, **options: Any) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        loaded(weights, spec, **options)
    return caught.value


def answer(backend: Backend, inputs: dict[str, Any], slot: int = 0) -> Any:
    backend.bind(inputs, slot)
    backend.enqueue(slot)
    backend.wait(slot)
    return backend.outputs(slot)["logits"]


def test_a_probe_is_told_the_version_without_the_seconds_of_an_import() -> None:
    look = "import sys; from device_agents.backends import create; one = create('pytorch'); one.facts(); "
    done = subprocess.run(
        [sys.executable, "-c", f"{look}print(one.look(), 'torch' in sys.modules)"], capture_output=True, text=True,
        timeout=60, check=True, env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.split() == [str(torch.__version__), "False"]
    assert Backend().start() == str(torch.__version__)


class TestOnTheProcessor:
    def test_each_slot_has_its_own_inputs_and_outputs(self, network: Any, weights: Path) -> None:
        backend = loaded(weights)
        batches = images(3)
        for slot, batch in enumerate(batches):
            backend.bind(batch, slot)
        for slot in (0, 2, 1):
            backend.enqueue(slot)
            backend.wait(slot)
        with torch.inference_mode():
            wanted = [network(torch.from_numpy(batch["images"])).numpy() for batch in batches]
        for slot in range(3):
            np.testing.assert_allclose(backend.outputs(slot)["logits"], wanted[slot], rtol=1e-4, atol=1e-5)
        assert not np.allclose(wanted[0], wanted[1], rtol=1e-4, atol=1e-5)
        backend.close()
        backend.close()

    @pytest.mark.parametrize(
        ("options", "off"), [({"channels_last": True}, 1e-5), ({"dtype": "bf16"}, 0.1), ({"threads": 1}, 1e-5)]
    )
    def test_options_change_how_and_not_what_it_computes(
        self, network: Any, weights: Path, options: dict[str, Any], off: float
    ) -> None:
        (batch,) = images(1)
        found = answer(loaded(weights, **options), batch)
        with torch.inference_mode():
            wanted = network(torch.from_numpy(batch["images"])).numpy()
        assert found.dtype == np.float32
        assert np.linalg.norm(found - wanted) / np.linalg.norm(wanted) < off

    def test_the_switches_tell_what_was_set(self, weights: Path) -> None:
        switches = loaded(weights, channels_last=True, dtype="bf16", threads=1).switches()
        told = {"provider": "cpu", "mode": "eager", "dtype": "bfloat16", "channels_last": True, "threads": 1}
        assert told.items() <= switches.items()
        assert switches["tf32"] is False

    def test_fp16_weights_make_an_fp16_network(self, network: Any, weights: Path) -> None:
        half = {name: one.half() if one.is_floating_point() else one for name, one in network.state_dict().items()}
        images16 = (replace(SPEC.inputs[0], dtype="float16"),)
        spec = replace(SPEC, precision=Precision.FP16, inputs=images16)
        backend = loaded(save(half, weights.parent), spec)
        assert backend.switches()["dtype"] == "float16"
        (batch,) = images(1)
        found = answer(backend, {"images": batch["images"].astype(np.float16)})
        assert 0 < np.abs(found - answer(loaded(save(network.state_dict(), weights.parent)), batch)).max() < 0.1

    def test_it_has_no_pipeline(self) -> None:
        with pytest.raises(DeviceError, match="cannot run the load pattern pipelined"):
            check_request(Backend(), replace(SPEC, pattern=LoadPattern("pipelined")))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"mode": "quick"}, "option mode does not know 'quick'"),
        ({"compile_mode": "max-autotune"}, "are for mode=compile"),
        ({"dynamic": True}, "are for mode=compile"),
        ({"mode": "compile", "dynamic": "always"}, "option dynamic is true, false or automatic, got 'always'"),
        ({"dtype": "fp8"}, "the option dtype is bf16"),
        ({"channels_last": "yes"}, "channels_last is true or false"),
        ({"threads": -1}, "threads takes a whole number"),
        ({"provider": "tpu"}, "option provider does not know 'tpu'"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(weights: Path, options: dict[str, Any], why: str) -> None:
    error = refusal(weights, **options)
    assert error.info.code == "unsupported"
    assert why in error.info.message


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_no_processor(weights: Path) -> None:
    assert refusal(weights, provider="cuda").info.fix.endswith("or ask for provider=cpu")


class TestAHostileArtifact:
    @pytest.mark.parametrize("builder", ["evil:run", "torchvision:../evil", "os:system", "torchvision:models.evil"])
    def test_a_builder_off_the_list_is_refused_before_it_is_looked_for(
        self, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builder: str
    ) -> None:
        (tmp_path / "evil.py").write_text("raise SystemExit('it was imported')")
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / NETWORK_FILE).write_text(dumps(NETWORK).replace("torchvision:squeezenet1_1", builder))
        error = refusal(weights)
        assert error.info.code == "artifact_damaged"
        assert "none of torchvision's networks" in error.info.message
        assert "evil" not in sys.modules

    def test_a_network_that_torchvision_does_not_have_is_refused(self, weights: Path, tmp_path: Path) -> None:
        (tmp_path / NETWORK_FILE).write_text(dumps(replace(NETWORK, builder="torchvision:evil")))
        assert "has no network 'evil'" in refusal(weights).info.message

    def test_arguments_off_the_list_are_refused(self, weights: Path, tmp_path: Path) -> None:
        told = dumps(NETWORK).replace('"arguments":{}', '"arguments":{"weights":"DEFAULT"}')
        assert "DEFAULT" in told
        (tmp_path / NETWORK_FILE).write_text(told)
        assert "unknown argument 'weights'" in refusal(weights).info.message

    def test_outputs_that_are_not_the_job_s_are_refused(self, weights: Path, tmp_path: Path) -> None:
        (tmp_path / NETWORK_FILE).write_text(dumps(replace(NETWORK, outputs=("boxes",))))
        assert "not those of the manifest" in refusal(weights).info.message

    def test_weights_of_another_network_are_refused(self, weights: Path, tmp_path: Path) -> None:
        (tmp_path / NETWORK_FILE).write_text(dumps(replace(NETWORK, builder="torchvision:squeezenet1_0")))
        assert "not those of this torchvision's torchvision:squeezenet1_0" in refusal(weights).info.message

    def test_weights_that_are_cut_are_refused(self, weights: Path) -> None:
        weights.write_bytes(weights.read_bytes()[:-1])
        error = refusal(weights)
        assert error.info.code == "artifact_damaged"
        assert "its header says" in error.info.message


class Broken(torch.nn.Module):
    """Falls back to Python in its midst."""

    def forward(self, x: Any) -> Any:
        x = x + 1
        torch._dynamo.graph_break()
        return x * 2


class TestWhatIsCounted:
    def test_graph_breaks_are_those_that_dynamo_explains(self) -> None:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        counted = Counted()
        torch.compile(Broken(), backend="eager", dynamic=False)(torch.zeros(2))
        counted.compiled()
        found = counted.readings()
        assert (found["graph_breaks"].value, found["recompiles"].value) == (1, 0)
        assert torch._dynamo.explain(Broken())(torch.zeros(2)).graph_break_count == 1

    def test_what_is_compiled_after_it_was_done_is_a_recompile(self) -> None:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        counted = Counted()
        network = torch.compile(torch.nn.Softmax(dim=-1), backend="eager", dynamic=False)
        network(torch.zeros(2))
        counted.compiled()
        network(torch.zeros(2))
        assert counted.readings()["recompiles"].value == 0
        network(torch.zeros(3))
        assert counted.readings()["recompiles"].value == 1

    def test_every_size_is_compiled_however_many_there_are(self) -> None:
        """Dynamo's own limit is 8 graphs of a function: beyond it falls back to Python."""
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        counted = Counted()
        with torch._dynamo.config.patch({}):
            compiled(torch, torch.nn.Identity(), "default", sizes=12)
            network = torch.compile(torch.nn.Softmax(dim=-1), backend="eager", dynamic=False)
            for size in range(2, 14):
                network(torch.zeros(size))
        counted.compiled()
        assert counted.readings()["compilations"].value == 12


class TestDrawnSizes:
    def test_eager_computes_every_size(self, network: Any, weights: Path) -> None:
        backend = loaded(weights, DRAWN)
        computes_every_size(backend, network)
        assert backend.readings() == {}

    @pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler for Inductor")
    def test_what_is_compiled_for_them_is_compiled_before_and_counted(self, weights: Path) -> None:
        """By itself torch.compile takes the first size alone, and any as soon as there is a second."""
        done = subprocess.run(
            [sys.executable, "-c", COMPILE_SIZES, str(weights)], capture_output=True, text=True, timeout=300,
            check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["automatic", "2", "0"]


COMPILE_SIZES = """
import sys
from pathlib import Path
from dataclasses import replace
from device_agents.contract import LoadPattern
from tests.torch_weights import DRAWN, computes_every_size, squeezenet
from tests.unit.agent.test_agent_pytorch import loaded

weights = Path(sys.argv[1])
spec = replace(DRAWN, pattern=LoadPattern("sizes", sizes=(32, 64)))
backend = loaded(weights, spec, mode="compile", provider="cpu")
backend.compile(weights.parent / "kept", weights.parent)
computes_every_size(backend, squeezenet(), (32, 64))
told = backend.readings()
print(backend.switches()["dynamic"], told["compilations"].value, told["recompiles"].value)
"""

COMPILE = """
import sys
from pathlib import Path
from device_agents.pt import compiling
import torch
compiling.keep_in(Path(sys.argv[1]))
counted = compiling.Counted()
network = compiling.compiled(torch, torch.nn.Softmax(dim=-1), "default")
with torch.inference_mode():
    network(torch.zeros(4, 8))
compiling.dismiss_workers()
counted.compiled()
print(counted.readings()["compile_cache"].value, counted.readings()["recompiles"].value)
"""


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="no C++ compiler for Inductor")
def test_what_one_process_compiled_is_warm_for_another_with_the_same_folder(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", COMPILE, str(tmp_path / "shared")], capture_output=True, text=True, timeout=120,
            check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split())
    assert found == [["cold", "0"], ["warm", "0"]]


def test_a_machine_without_a_compiler_is_told_before_inductor_looks_for_one(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    error = refusal(weights, mode="compile", provider="cpu")
    assert (error.info.code, error.info.fix) == ("no_runtime", "install g++ there, or use mode=eager")
