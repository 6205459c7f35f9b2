"""A stand-in for onnxruntime with a CUDA provider, never a GPU: it says CUDA and computes on the processor.

It is the real onnxruntime but for five things: CUDA and TensorRT are among its providers; a session for CUDA is one of
the CPU provider; buffers on `cuda` are taken for host memory, which the stand-in for libcudart makes them; the
placement that it records names CUDA; with a CUDA graph a run replays the addresses of the first one with its
`gpu_graph_id`, whatever is bound later. It refuses an option that CUDA's provider does not have, and has no session for
TensorRT. With it and the stand-in of cudart.c the whole backend runs from load to close.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import onnxruntime

CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"
OPTIONS = {"device_id", "user_compute_stream", "use_tf32", "enable_cuda_graph", "prefer_nhwc"}


class Runtime:
    """What the backend sees as the module `onnxruntime`."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        """The options of every CUDA provider that was made."""
        self.graphs: list[str] = []
        """The `gpu_graph_id` of every run on a stream of ours."""
        self.places: set[str] = set()
        """Where values of the runtime's own were put: `cpu`, `cuda`."""
        self.OrtValue = SimpleNamespace(ortvalue_from_numpy=self._value)

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def preload_dlls(self) -> None:
        pass

    def _value(self, array: Any, device: str, number: int) -> Any:
        self.places.add(device)  # on a GPU it would be a copy
        return onnxruntime.OrtValue.ortvalue_from_numpy(array.copy() if device == "cuda" else array, "cpu", number)

    def get_available_providers(self) -> list[str]:
        return [CUDA, TENSORRT, CPU]

    def InferenceSession(  # noqa: N802 - onnxruntime's name
        self, path: str, options: Any, *, providers: list[Any], enable_fallback: int
    ) -> Session:
        assert enable_fallback == 0
        (name, given), last = providers
        assert (name, last) == (CUDA, CPU)
        if set(given) - OPTIONS:
            raise RuntimeError(f"Unknown provider option: {min(set(given) - OPTIONS)}")
        self.asked.append(given)
        return Session(path, options, self, graph=given["enable_cuda_graph"] == "1")


class Session(onnxruntime.InferenceSession):
    def __init__(self, path: str, options: Any, runtime: Runtime, *, graph: bool) -> None:
        super().__init__(path, options, providers=[CPU])
        self._runtime = runtime
        self._graph = graph
        self._captured: dict[str, Any] = {}

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def io_binding(self) -> Any:
        return _Binding(super().io_binding())

    def run_with_iobinding(self, iobinding: Any, run_options: Any = None) -> None:
        name = "0"
        if run_options is not None:
            assert run_options.get_run_config_entry("disable_synchronize_execution_providers") == "1", "it would wait"
            name = run_options.get_run_config_entry("gpu_graph_id")
            self._runtime.graphs.append(name)
        if self._graph:
            iobinding = self._captured.setdefault(name, iobinding)
        super().run_with_iobinding(iobinding.real, run_options)

    def get_provider_graph_assignment_info(self) -> list[_Assigned]:
        return [_Assigned(part) for part in super().get_provider_graph_assignment_info()]


class _Binding:
    def __init__(self, real: Any) -> None:
        self.real = real

    def bind_input(self, name: str, device: str, *place: Any) -> None:
        assert device == "cuda"
        self.real.bind_input(name, "cpu", *place)

    def bind_ortvalue_input(self, name: str, value: Any) -> None:
        self.real.bind_ortvalue_input(name, value)

    def bind_ortvalue_output(self, name: str, value: Any) -> None:
        self.real.bind_ortvalue_output(name, value)

    def bind_output(self, name: str, device: str, *place: Any) -> None:
        assert device == "cuda"
        self.real.bind_output(name, "cpu", *place)


class _Assigned:
    ep_name = CUDA

    def __init__(self, real: Any) -> None:
        self._real = real

    def get_nodes(self) -> Any:
        return self._real.get_nodes()
