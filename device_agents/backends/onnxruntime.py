"""ONNX Runtime: CPU provider everywhere, CUDA provider where there is a GPU; I/O binding always.

A request for CUDA that would fall back to the CPU is an error, never a slow number. TF32 is off: FP32 means FP32.
Options of the providers: https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Dict, List, Optional

from device_agents.backends import base
from device_agents.backends.base import Arrays
from device_agents.contract import JobSpec, Precision, Scalar
from device_agents.errors import DeviceError

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"


class Backend(base.Backend):
    options: ClassVar[Dict[str, str]] = {
        "provider": "cpu or cuda; without it, cuda where there is an NVIDIA GPU and the provider, else cpu",
        "cuda_graph": "true: capture the inference as a CUDA graph and replay it (cuda only)",
        "threads": "threads within an operator; 0 (default) leaves it to the runtime",
        "spin": "true (default): idle threads spin between operators; false: they block",
    }

    def __init__(self) -> None:
        self._ort: Any = None
        self._session: Any = None
        self._slots: Dict[int, _Slot] = {}
        self._switches: Dict[str, Scalar] = {}
        self._spec: Optional[JobSpec] = None

    def start(self) -> str:
        import onnxruntime

        self._ort = onnxruntime
        return str(onnxruntime.__version__)

    def load(self, path: Path, spec: JobSpec) -> None:
        provider = self._choose_provider(spec)
        options = self._session_options(spec, provider)
        try:
            self._session = self._ort.InferenceSession(str(path), options, providers=_providers(provider, spec))
        except Exception as error:  # noqa: BLE001 - onnxruntime raises its own classes by status, and RuntimeError
            fix = "check that the file is ONNX and its opset one that this onnxruntime reads"
            message = f"onnxruntime could not load the model ({base.first_line(error)})"
            raise DeviceError("load_failed", "load", message, where=path.name, fix=fix) from None
        self._refuse_fallback(provider)
        self._check_inputs(spec)
        self._spec = spec
        self._switches["provider"] = provider

    def bind(self, inputs: Arrays, slot: int) -> None:
        self._slots[slot] = _Slot(self._ort, self._session, self._loaded(), inputs, self._switches)

    def enqueue(self, slot: int) -> None:
        self._slots[slot].run()

    def wait(self, slot: int) -> None:
        """run_with_iobinding has returned: it is finished."""

    def outputs(self, slot: int) -> Arrays:
        return self._slots[slot].outputs()

    def switches(self) -> Dict[str, Scalar]:
        return dict(self._switches)

    def close(self) -> None:
        self._slots.clear()
        self._session = None

    def _loaded(self) -> JobSpec:
        if self._spec is None:
            raise RuntimeError("bind comes after load")
        return self._spec

    def _choose_provider(self, spec: JobSpec) -> str:
        wanted = spec.options.get("provider")
        there = self._ort.get_available_providers()
        if wanted is None:
            return "cuda" if _CUDA in there and Path("/dev/nvidiactl").exists() else "cpu"
        if wanted not in ("cpu", "cuda"):
            raise DeviceError("unsupported", "load", f"onnxruntime has no provider {wanted!r}", fix="use cpu or cuda")
        if wanted == "cuda" and _CUDA not in there:
            fix = "install onnxruntime-gpu for this Python, or ask for provider=cpu"
            raise DeviceError("unsupported", "load", "this onnxruntime has no CUDA provider", fix=fix)
        if wanted == "cuda" and hasattr(self._ort, "preload_dlls"):
            self._ort.preload_dlls()  # finds the CUDA libraries of pip's nvidia packages
        return str(wanted)

    def _session_options(self, spec: JobSpec, provider: str) -> Any:
        options = self._ort.SessionOptions()
        # The CPU provider crashed the process on an FP16 ViT at full optimisation (onnxruntime 1.24, 1.27).
        basic = provider == "cpu" and spec.precision is Precision.FP16
        levels = self._ort.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_ENABLE_BASIC if basic else levels.ORT_ENABLE_ALL
        threads = _whole_number(spec, "threads")
        options.intra_op_num_threads = threads
        spin = bool(spec.options.get("spin", True))
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
        for name, size in spec.free_dims.items():
            options.add_free_dimension_override_by_name(name, size)
        self._switches.update(
            graph_optimization="basic" if basic else "all",
            threads=threads,
            spin=spin,
            cuda_graph=provider == "cuda" and bool(spec.options.get("cuda_graph", False)),
            transfers=spec.transfers,
            streams=1,
        )
        if provider == "cuda":
            self._switches["tf32"] = False
        return options

    def _refuse_fallback(self, provider: str) -> None:
        first = self._session.get_providers()[0]
        if provider == "cuda" and first != _CUDA:
            fix = "see the job's log for the library that is missing, or ask for provider=cpu"
            raise DeviceError("unsupported", "load", f"CUDA was asked for, onnxruntime fell back to {first}", fix=fix)

    def _check_inputs(self, spec: JobSpec) -> None:
        names = [tensor.name for tensor in self._session.get_inputs()]
        wanted = [tensor.name for tensor in spec.inputs]
        if sorted(names) != sorted(wanted):
            message = f"the model takes {', '.join(names)}; the manifest says {', '.join(wanted)}"
            raise DeviceError("load_failed", "load", message, fix="export the model again")


class _Slot:
    """One binding of inputs to preallocated outputs.

    On the CPU, and on a GPU with transfers, inputs and outputs live in host memory and the runtime copies. Without
    transfers they live on the GPU. A CUDA graph replays fixed addresses, so there the copies are made here.
    """

    def __init__(self, ort: Any, session: Any, spec: JobSpec, inputs: Arrays, switches: Dict[str, Scalar]) -> None:
        import numpy as np

        cuda = switches.get("tf32") is False
        graph = bool(switches["cuda_graph"])
        place = "cuda" if cuda and (graph or not spec.transfers) else "cpu"
        self._session = session
        self._binding = session.io_binding()
        self._copies = []
        for tensor in spec.inputs:
            host = np.ascontiguousarray(inputs[tensor.name])
            value = ort.OrtValue.ortvalue_from_numpy(host, place, 0)
            self._binding.bind_ortvalue_input(tensor.name, value)
            if graph and spec.transfers:
                self._copies.append((value, host))
        self._names = [tensor.name for tensor in spec.outputs]
        self._outputs = []
        for tensor in spec.outputs:
            empty = np.empty([int(dim) for dim in tensor.shape], dtype=tensor.dtype)
            value = ort.OrtValue.ortvalue_from_numpy(empty, place, 0)
            self._binding.bind_ortvalue_output(tensor.name, value)
            self._outputs.append(value)
        self._fetch = graph and spec.transfers
        self._fetched: List[Any] = []

    def run(self) -> None:
        for value, host in self._copies:
            value.update_inplace(host)
        self._session.run_with_iobinding(self._binding)
        if self._fetch:
            self._fetched = [value.numpy() for value in self._outputs]

    def outputs(self) -> Arrays:
        return {name: value.numpy() for name, value in zip(self._names, self._outputs)}


def _whole_number(spec: JobSpec, name: str) -> int:
    value = spec.options.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DeviceError("unsupported", "load", f"the option {name} takes a whole number, got {value!r}")
    return value


def _providers(provider: str, spec: JobSpec) -> List[Any]:
    if provider == "cpu":
        return [_CPU]
    graph = bool(spec.options.get("cuda_graph", False))
    settings = {"device_id": "0", "use_tf32": "0", "enable_cuda_graph": "1" if graph else "0"}
    return [(_CUDA, settings), _CPU]
