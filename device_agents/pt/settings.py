"""What a job asks of PyTorch, checked; and the switches that tell it."""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Union

from device_agents import asked
from device_agents.contract import JobSpec, Precision, Scalar
from device_agents.errors import DeviceError

OPTIONS = {
    "channels_last": "true: images and weights lie channels last in memory (default false)",
    "compile_cache": "job (default): the first process of a job compiles anew, the others find what it made; "
    "shared: jobs on this device share what was compiled",
    "compile_mode": "default, reduce-overhead (CUDA graphs) or max-autotune: torch.compile's own words (mode=compile)",
    "cudnn_benchmark": "true: cuDNN tries its convolutions and takes the fastest (default false; cuda)",
    "dynamic": "false (default): compiled for one size, and for others anew; true: for any size at once; automatic "
    "(default where sizes are drawn): as torch.compile does by itself (mode=compile)",
    "dtype": "bf16: weights and inputs of an FP32 artifact in bfloat16; without it, the precision of the artifact",
    "mode": "eager (default) or compile: torch.compile",
    "provider": "cpu or cuda; without it, cuda where PyTorch finds a GPU, else cpu",
    "spin": "true (default): the host spins while it waits for a GPU; false: it sleeps (cuda)",
    "threads": "threads within an operator; 0 (default) leaves it to PyTorch (cpu)",
}

MODES = ("eager", "compile")
COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")
CACHES = ("job", "shared")
AUTOMATIC = "automatic"
"""torch.compile's own way: for one size first, and for any as soon as there is a second."""
_OF_COMPILE = ("compile_mode", "compile_cache", "dynamic")


class Settings(NamedTuple):
    provider: str
    mode: str
    compile_mode: str
    compile_cache: str
    dynamic: Union[bool, str]
    dtype: str
    channels_last: bool
    cudnn_benchmark: bool
    spin: bool
    threads: int

    @property
    def on_gpu(self) -> bool:
        return self.provider == "cuda"

    @property
    def compiles(self) -> bool:
        return self.mode == "compile"

    @property
    def for_torch(self) -> Optional[bool]:
        """`dynamic` as torch.compile takes it."""
        return self.dynamic if isinstance(self.dynamic, bool) else None


def read(torch: Any, spec: JobSpec) -> Settings:
    """Errors: DeviceError `unsupported` for what this PyTorch does not have, or means nothing here."""
    mode = asked.one_of(spec, "mode", MODES)
    if mode == "eager" and any(name in spec.options for name in _OF_COMPILE):
        message = f"the options {', '.join(_OF_COMPILE)} are for mode=compile"
        raise DeviceError("unsupported", "load", message, fix="leave them out, or add --option mode=compile")
    if mode == "compile" and not hasattr(torch, "compile"):
        message = f"PyTorch {torch.__version__} has no torch.compile, 2.0 does"
        raise DeviceError("unsupported", "load", message, fix="use mode=eager")
    return Settings(
        provider=_provider(torch, spec),
        mode=mode,
        compile_mode=asked.one_of(spec, "compile_mode", COMPILE_MODES),
        compile_cache=asked.one_of(spec, "compile_cache", CACHES),
        dynamic=_dynamic(spec),
        dtype=_dtype(spec),
        channels_last=asked.flag(spec, "channels_last"),
        cudnn_benchmark=asked.flag(spec, "cudnn_benchmark"),
        spin=asked.flag(spec, "spin", True),
        threads=asked.whole_number(spec, "threads"),
    )


def switches(torch: Any, settings: Settings, spec: JobSpec) -> Dict[str, Scalar]:
    """Every setting that can move a number."""
    found: Dict[str, Scalar] = {
        "provider": settings.provider,
        "mode": settings.mode,
        "dtype": settings.dtype,
        "channels_last": settings.channels_last,
        "transfers": spec.transfers,
        "streams": 1,
        "tf32": False,
        "inference_mode": True,
    }
    if settings.on_gpu:
        found.update(cudnn_benchmark=settings.cudnn_benchmark, spin=settings.spin, pinned=True)
    else:
        found.update(threads=int(torch.get_num_threads()), parts="not told: it computes on the processor")
    if settings.compiles:
        found.update(compile_mode=settings.compile_mode, compile_cache=settings.compile_cache, dynamic=settings.dynamic)
    return found


def _provider(torch: Any, spec: JobSpec) -> str:
    there = bool(torch.cuda.is_available())
    if "provider" not in spec.options:
        return "cuda" if there else "cpu"
    wanted = asked.one_of(spec, "provider", ("cpu", "cuda"))
    if wanted == "cuda" and not there:
        why = "finds no GPU" if torch.version.cuda else "is built without CUDA"
        fix = "install a PyTorch for this GPU, or ask for provider=cpu"
        raise DeviceError("unsupported", "load", f"PyTorch {torch.__version__} {why}", fix=fix)
    return wanted


def _dynamic(spec: JobSpec) -> Union[bool, str]:
    value = spec.options.get("dynamic", AUTOMATIC if spec.pattern.sizes else False)
    if not isinstance(value, bool) and value != AUTOMATIC:
        message = f"the option dynamic is true, false or {AUTOMATIC}, got {value!r}"
        raise DeviceError("unsupported", "load", message, fix="leave it out, or take one of them")
    return value


def _dtype(spec: JobSpec) -> str:
    """As torch calls it."""
    if spec.precision not in (Precision.FP32, Precision.FP16):
        raise DeviceError("unsupported", "load", f"PyTorch has no {spec.precision} of this network here")
    wanted = spec.options.get("dtype")
    if wanted is None:
        return "float16" if spec.precision is Precision.FP16 else "float32"
    if wanted != "bf16" or spec.precision is not Precision.FP32:
        message = f"the option dtype is bf16, for an FP32 artifact; got {wanted!r} and {spec.precision}"
        raise DeviceError("unsupported", "load", message, fix="leave it out, or ask for --precision fp32")
    return "bfloat16"
