"""A stand-in for onnxruntime with a CUDA provider, never a GPU: it says CUDA and computes on the processor.

It is the real onnxruntime but for four things: CUDA is among its providers; a session for CUDA is one of the CPU
provider; buffers on `cuda` are taken for host memory, which the stand-in for libcudart makes them; the placement that
it records names CUDA. It refuses an option that CUDA's provider does not have. With it and the stand-in of cudart.c the
whole backend runs from load to close.
"""

from __future__ import annotations

from typing import Any

import onnxruntime

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
OPTIONS = {"device_id", "user_compute_stream", "use_tf32", "enable_cuda_graph", "prefer_nhwc"}


class Runtime:
    """What the backend sees as the module `onnxruntime`."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        """The options of every CUDA provider that was made."""

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def preload_dlls(self) -> None:
        pass

    def get_available_providers(self) -> list[str]:
        return [CUDA, CPU]

    def InferenceSession(  # noqa: N802 - onnxruntime's name
        self, path: str, options: Any, *, providers: list[Any], enable_fallback: int
    ) -> Session:
        assert enable_fallback == 0
        (name, given), last = providers
        assert (name, last) == (CUDA, CPU)
        if set(given) - OPTIONS:
            raise RuntimeError(f"Unknown provider option: {min(set(given) - OPTIONS)}")
        self.asked.append(given)
        return Session(path, options)


class Session(onnxruntime.InferenceSession):
    def __init__(self, path: str, options: Any) -> None:
        super().__init__(path, options, providers=[CPU])

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def io_binding(self) -> Any:
        return _Binding(super().io_binding())

    def run_with_iobinding(self, iobinding: Any, run_options: Any = None) -> None:
        super().run_with_iobinding(iobinding.real, run_options)

    def get_provider_graph_assignment_info(self) -> list[_Assigned]:
        return [_Assigned(part) for part in super().get_provider_graph_assignment_info()]


class _Binding:
    def __init__(self, real: Any) -> None:
        self.real = real

    def bind_input(self, name: str, device: str, *place: Any) -> None:
        assert device == "cuda"
        self.real.bind_input(name, "cpu", *place)

    def bind_output(self, name: str, device: str, *place: Any) -> None:
        assert device == "cuda"
        self.real.bind_output(name, "cpu", *place)


class _Assigned:
    ep_name = CUDA

    def __init__(self, real: Any) -> None:
        self._real = real

    def get_nodes(self) -> Any:
        return self._real.get_nodes()
