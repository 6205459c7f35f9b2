"""The onnxruntime backend where there is no GPU: its CPU provider, and how it refuses a GPU that is not there.

What it does on a GPU is in tests/gpu; how it keeps order on CUDA's streams is in test_ort_streams.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ort_models import classifier, images, job

from device_agents.backends.onnxruntime import Backend
from device_agents.contract import LoadPattern, Precision
from device_agents.errors import DeviceError
from device_agents.ort import providers

ort = pytest.importorskip("onnxruntime", reason="the backend needs onnxruntime")
pytest.importorskip("onnx", reason="making a small model needs onnx")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ort") / "model.onnx"
    classifier(path)
    return path


def started(options: dict[str, Any], model: Path, **changes: Any) -> Backend:
    backend = Backend()
    backend.start()
    backend.load(model, job(options=options, **changes))
    return backend


def refusal(options: dict[str, Any], model: Path, **changes: Any) -> DeviceError:
    with pytest.raises(DeviceError) as caught:
        started(options, model, **changes)
    return caught.value


class TestOnTheProcessor:
    def test_each_slot_has_its_own_inputs_and_outputs(self, model: Path) -> None:
        backend = started({"provider": "cpu"}, model)
        batches = images(3)
        for slot, batch in enumerate(batches):
            backend.bind(batch, slot)
        for slot in (0, 2, 1):
            backend.enqueue(slot)
            backend.wait(slot)
        session = ort.InferenceSession(str(model), providers=[providers.CPU])
        for slot, batch in enumerate(batches):
            wanted = session.run(["p", "y"], batch)
            np.testing.assert_allclose(backend.outputs(slot)["p"], wanted[0], rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(backend.outputs(slot)["y"], wanted[1])
        backend.close()
        backend.close()

    def test_says_why_it_tells_no_parts(self, model: Path) -> None:
        backend = started({"provider": "cpu"}, model)
        backend.bind(images(1)[0], 0)
        backend.enqueue(0)
        backend.wait(0)
        assert backend.parts(0) is None
        assert backend.switches()["parts"] == "not told: it computes on the processor"
        assert backend.memory() == {}
        assert backend.cache_bytes() is None
        backend.close()

    def test_cannot_run_ahead(self, model: Path) -> None:
        error = refusal({"provider": "cpu"}, model, pattern=LoadPattern("pipelined"))
        assert error.info.code == "unsupported"
        assert "cannot run the load pattern pipelined" in error.info.message


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"provider": "rocm"}, "onnxruntime has no provider 'rocm'"),
            ({"provider": "cpu", "cuda_graph": True}, "option cuda_graph is for the provider cuda or tensorrt"),
            ({"provider": "cpu", "nhwc": True}, "option nhwc is for the provider cuda, not cpu"),
            ({"provider": "cpu", "workspace_mib": 64}, "option workspace_mib is for the provider tensorrt"),
            ({"provider": "cpu", "threads": -1}, "the option threads takes a whole number"),
            ({"provider": "cpu", "spin": "yes"}, "the option spin is true or false, got 'yes'"),
        ],
    )
    def test_that_do_not_fit_are_refused(self, model: Path, options: dict[str, Any], says: str) -> None:
        error = refusal(options, model)
        assert error.info.code == "unsupported"
        assert says in error.info.message

    def test_are_all_named_with_what_they_mean(self, model: Path) -> None:
        assert {"provider", "cuda_graph", "nhwc", "parts", "allow_fallback"} < set(Backend.options)


class TestOfProviders:
    """Their options as ONNX Runtime takes them, each held against the library that has to know it."""

    @pytest.mark.parametrize("precision", list(Precision))
    @pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
    def test_every_option_is_one_that_the_library_knows(self, provider: str, precision: Precision) -> None:
        folder = Path(ort.__file__).parent / "capi"
        spec = job(precision=precision)
        choice = providers.choose(ort, spec)._replace(provider=provider, cuda_graph=True, workspace_mib=64)
        chosen = providers.settings(ort, choice._replace(nhwc=provider == "cuda"), spec, stream=4711)
        assert [name if isinstance(name, str) else name[0] for name in chosen][-1] == providers.CPU
        for name, options in chosen[:-1]:
            library = folder / f"libonnxruntime_providers_{'cuda' if name == providers.CUDA else 'tensorrt'}.so"
            if not library.exists():
                pytest.skip(f"this onnxruntime has no {library.name}")
            # TensorRT's options travel in a struct, whose keys its library holds; the stream's is read by the binding
            known = library.read_bytes() + next(folder.glob("onnxruntime_pybind11_state*.so")).read_bytes()
            for option, value in options.items():
                assert option.encode() in known, f"{name} does not know {option}"
                assert isinstance(value, str)

    def test_fp16_and_int8_are_as_the_graph_says(self) -> None:
        for precision, fp16, int8 in (
            (Precision.FP32, "0", "0"), (Precision.FP16, "1", "0"), (Precision.INT8, "0", "1"),
        ):  # fmt: skip
            spec = job(precision=precision)
            choice = providers.choose(ort, spec)._replace(provider="tensorrt")
            options = providers.settings(ort, choice, spec, None)[0][1]
            assert (options["trt_fp16_enable"], options["trt_int8_enable"]) == (fp16, int8)
            assert options["trt_engine_cache_enable"] == "0"

    def test_fp16_on_the_processor_is_not_optimised_to_the_crash(self) -> None:
        for provider, precision, level in (
            ("cpu", Precision.FP16, "basic"), ("cpu", Precision.FP32, "all"), ("cuda", Precision.FP16, "all"),
        ):  # fmt: skip
            spec = job(precision=precision)
            choice = providers.choose(ort, spec)._replace(provider=provider)
            wanted = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level.upper()}")
            assert providers.session_options(ort, choice, spec).graph_optimization_level == wanted
            assert providers.described(choice, spec)["graph_optimization"] == level

    def test_tf32_is_off(self) -> None:
        choice = providers.choose(ort, job())._replace(provider="cuda")
        assert providers.settings(ort, choice, job(), None)[0][1]["use_tf32"] == "0"


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_gpu_that_is_not_there_is_an_error_and_no_slow_number(model: Path, provider: str) -> None:
    if any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu")):
        pytest.skip("there is a GPU here")
    error = refusal({"provider": provider}, model)
    assert error.info.code in ("unsupported", "load_failed")
    assert error.info.fix


def test_a_probe_tells_the_providers_and_the_cuda_it_was_built_for() -> None:
    backend = Backend()
    backend.start()
    facts = backend.facts()
    assert "cpu" in str(facts["providers"].value).split()
    if providers.CUDA in ort.get_available_providers():
        assert int(str(facts["built_for_cuda"].value).partition(".")[0]) >= 11
