"""What a job asks of TensorFlow, checked; and the switches that tell it."""

from __future__ import annotations

import os
from typing import Any, Dict, NamedTuple

from device_agents import asked
from device_agents.contract import JobSpec, Precision, Scalar
from device_agents.errors import DeviceError

OPTIONS = {
    "mode": "graph (default) or xla: compiled by XLA, for each size by itself",
    "provider": "cpu or cuda; without it, cuda where TensorFlow finds a GPU, else cpu",
    "threads": "threads within an operator; 0 (default) leaves it to TensorFlow (cpu)",
    "wait": "true (default): an inference ends when its outputs are on the host; false: when the call returns, which "
    "is no latency: the measurement is INVALID",
}


class Settings(NamedTuple):
    provider: str
    mode: str
    threads: int
    wait: bool

    @property
    def compiles(self) -> bool:
        return self.mode == "xla"


def read(tf: Any, spec: JobSpec) -> Settings:
    """Errors: DeviceError `unsupported` for what this TensorFlow does not have."""
    if spec.precision not in (Precision.FP32, Precision.FP16):
        raise DeviceError("unsupported", "load", f"TensorFlow has no {spec.precision} of this network here")
    return Settings(
        provider=_provider(tf, spec),
        mode=asked.one_of(spec, "mode", ("graph", "xla")),
        threads=asked.whole_number(spec, "threads"),
        wait=asked.flag(spec, "wait", True),
    )


def apply(tf: Any, settings: Settings) -> None:
    """Before TensorFlow computes anything, once a process."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    if not settings.wait:  # on a processor, too, a call then returns before it is finished, as on a GPU it always does
        tf.config.experimental.set_synchronous_execution(False)
    if settings.threads:
        tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
    gpus = tf.config.list_physical_devices("GPU")
    if settings.provider == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return
    for gpu in gpus:  # else it takes all memory there is, and nobody sees what it needs
        tf.config.experimental.set_memory_growth(gpu, True)


def switches(settings: Settings, spec: JobSpec) -> Dict[str, Scalar]:
    """Every setting that can move a number."""
    found: Dict[str, Scalar] = {
        "provider": settings.provider,
        "mode": settings.mode,
        "dtype": "float16" if spec.precision is Precision.FP16 else "float32",
        "transfers": spec.transfers,
        "streams": 1,
        "tf32": False,
        "waited": settings.wait,
        "parts": "not told: TensorFlow keeps its streams to itself",
    }
    if settings.provider == "cpu":
        found.update(threads=settings.threads or len(os.sched_getaffinity(0)))
    return found


def _provider(tf: Any, spec: JobSpec) -> str:
    there = bool(tf.config.list_physical_devices("GPU"))
    if "provider" not in spec.options:
        return "cuda" if there else "cpu"
    wanted = asked.one_of(spec, "provider", ("cpu", "cuda"))
    if wanted == "cuda" and not there:
        message = f"TensorFlow {tf.__version__} finds no GPU that it can use"
        fix = "install a TensorFlow for this GPU, or ask for provider=cpu"
        raise DeviceError("unsupported", "load", message, fix=fix)
    return wanted
