"""Execution providers: which one a job gets, its settings as ONNX Runtime takes them, and the session that has them.

Sources: onnxruntime.ai/docs/execution-providers/{CUDA,TensorRT}-ExecutionProvider.html and the option names in the
libraries of onnxruntime-gpu 1.31. tests/gpu shows CUDA's where there is a GPU; it passed on an H100. TensorRT's never
ran.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from device_agents import asked
from device_agents.backends import base
from device_agents.contract import JobSpec, Precision, Scalar
from device_agents.errors import DeviceError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
NAMES = {"cpu": CPU, "cuda": CUDA, "tensorrt": TENSORRT}

_GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu")  # discrete, Jetson before and from JetPack 6

OWN_STREAM_SINCE = (1, 18)
"""Python can give CUDA and TensorRT a stream (pull requests 19229 and 20168), and `gpu_graph_id` parts CUDA graphs."""


class Choice(NamedTuple):
    """What a job asked for: a provider by its short name, and switches that hold for it alone."""

    provider: str
    cuda_graph: bool
    nhwc: bool
    spin: bool
    threads: int
    workspace_mib: int
    allow_fallback: bool
    parts: bool

    @property
    def on_gpu(self) -> bool:
        return self.provider != "cpu"


def choose(ort: Any, spec: JobSpec) -> Choice:
    """Errors: DeviceError for a provider that is not there, or a switch that it does not have."""
    provider = _provider(ort, spec)
    flags = {name: asked.flag(spec, name) for name in ("cuda_graph", "nhwc", "allow_fallback")}
    flags.update({name: asked.flag(spec, name, True) for name in ("spin", "parts")})
    for name, owners in (("cuda_graph", "cuda tensorrt"), ("nhwc", "cuda"), ("workspace_mib", "tensorrt")):
        if spec.options.get(name) and provider not in owners.split():
            message = f"onnxruntime's option {name} is for the provider {owners.replace(' ', ' or ')}, not {provider}"
            raise DeviceError("unsupported", "load", message, fix="leave it out, or name that provider")
    workspace = asked.whole_number(spec, "workspace_mib")
    return Choice(provider=provider, threads=asked.whole_number(spec, "threads"), workspace_mib=workspace, **flags)


def version(ort: Any) -> Tuple[int, int]:
    """(1, 18) of `1.18.1`; (0, 0) of what is no number."""
    found = re.match(r"(\d+)\.(\d+)", str(ort.__version__))
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def settings(ort: Any, choice: Choice, spec: JobSpec, stream: Optional[int]) -> List[Any]:
    """Providers in order of preference, each with its options; `stream` is a CUDA stream's handle, theirs to use."""
    if not choice.on_gpu:
        return [CPU]
    shared = {"device_id": "0"}
    if stream is not None:
        shared["user_compute_stream"] = str(stream)
    cuda = dict(shared)
    if version(ort) >= OWN_STREAM_SINCE:
        cuda["use_tf32"] = "0"
    if choice.provider == "cuda":
        cuda["enable_cuda_graph"] = _switch(choice.cuda_graph)
        if choice.nhwc:
            cuda["prefer_nhwc"] = "1"
        return [(CUDA, cuda), CPU]
    tensorrt = {
        **shared,
        "trt_cuda_graph_enable": _switch(choice.cuda_graph),
        "trt_fp16_enable": _switch(spec.precision is Precision.FP16),
        "trt_int8_enable": _switch(spec.precision is Precision.INT8),
        "trt_engine_cache_enable": "0",  # an engine is code: ours alone are loaded, and this one is not in our cache
        "trt_timing_cache_enable": "0",
    }
    if choice.workspace_mib:
        tensorrt["trt_max_workspace_size"] = str(choice.workspace_mib << 20)
    return [(TENSORRT, tensorrt), (CUDA, cuda), CPU]


def session_options(ort: Any, choice: Choice, spec: JobSpec) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, optimization(choice, spec))
    options.intra_op_num_threads = choice.threads
    options.add_session_config_entry("session.intra_op.allow_spinning", _switch(choice.spin))
    for name, size in spec.free_dims.items():
        options.add_free_dimension_override_by_name(name, size)
    return options


def session(ort: Any, path: Path, choice: Choice, options: Any, providers: List[Any]) -> Any:
    """An InferenceSession on the chosen provider. Errors: DeviceError when it cannot be made, or not there.

    Without `enable_fallback=0` the Python class catches what a provider says, prints it and tries again without it.
    """
    # use_tf32 is young, and TensorRT's provider has no such option: NVIDIA's libraries read this when they are loaded.
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    if choice.on_gpu and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()  # finds the CUDA libraries of pip's nvidia packages
    try:
        made = ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises its own classes by status, and RuntimeError
        fix = "check that the file is ONNX and its opset one that this onnxruntime reads"
        if choice.on_gpu:
            fix = "check that the CUDA, cuDNN (and TensorRT) that this onnxruntime was built for are there"
            if choice.cuda_graph and "graph capture" in str(error):
                fix = "leave out the option cuda_graph: the runtime captures a graph only where no node falls back"
        message = f"onnxruntime could not load the model ({base.first_line(error)})"
        raise DeviceError("load_failed", "load", message, where=path.name, fix=fix) from None
    first = made.get_providers()[0]
    if first != NAMES[choice.provider]:
        fix = f"see the job's log for the library that is missing, or ask for provider=cpu ({needs()})"
        message = f"{NAMES[choice.provider]} was asked for, onnxruntime fell back to {first}"
        raise DeviceError("unsupported", "load", message, fix=fix)
    return made


def optimization(choice: Choice, spec: JobSpec) -> str:
    """The name of the GraphOptimizationLevel."""
    # The CPU provider crashed the process on an FP16 ViT at full optimisation (onnxruntime 1.24, 1.27).
    basic = choice.provider == "cpu" and spec.precision is Precision.FP16
    return "ORT_ENABLE_BASIC" if basic else "ORT_ENABLE_ALL"


def described(choice: Choice, spec: JobSpec) -> Dict[str, Scalar]:
    """The switches of a choice, as they go into the result."""
    level = optimization(choice, spec).partition("ENABLE_")[2].lower()
    found: Dict[str, Scalar] = {
        "provider": choice.provider,
        "graph_optimization": level,
        "threads": choice.threads,
        "spin": choice.spin,
        "cuda_graph": choice.cuda_graph,
        "transfers": spec.transfers,
        "streams": 1,
    }
    if choice.on_gpu:
        found.update(tf32=False, nhwc=choice.nhwc)
    if choice.provider == "tensorrt":
        found.update(workspace_mib=choice.workspace_mib, engine_cache=False, fp16=spec.precision is Precision.FP16)
    return found


def needs() -> str:
    """The CUDA and cuDNN that this build of onnxruntime wants, as far as it tells."""
    build = built_for()
    return "built for " + " and ".join(f"{name} {number}" for name, number in build.items()) if build else "a CPU build"


def built_for() -> Dict[str, str]:
    """`{"CUDA": "13.0", "cuDNN": "9"}` as build_and_package_info says, in which newer builds leave cuDNN out."""
    try:
        from onnxruntime.capi import build_and_package_info as build
    except ImportError:
        return {}
    told = {"CUDA": getattr(build, "cuda_version", ""), "cuDNN": getattr(build, "cudnn_version", "")}
    return {name: str(number) for name, number in told.items() if number}


def _provider(ort: Any, spec: JobSpec) -> str:
    wanted = spec.options.get("provider")
    there = ort.get_available_providers()
    if wanted is None:
        return "cuda" if CUDA in there and any(Path(device).exists() for device in _GPU_DEVICES) else "cpu"
    if wanted not in NAMES:
        raise DeviceError(
            "unsupported", "load", f"onnxruntime has no provider {wanted!r}", fix=f"use {', '.join(NAMES)}"
        )
    if NAMES[str(wanted)] not in there:
        fix = "install onnxruntime-gpu for this Python, or ask for provider=cpu"
        raise DeviceError("unsupported", "load", f"this onnxruntime has no provider {wanted}", fix=fix)
    return str(wanted)


def _switch(on: bool) -> str:
    return "1" if on else "0"
