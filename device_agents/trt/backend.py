"""What `tensorrt` and `tensorrt_rtx` share: the worker's Backend over the builder and the run path of this package."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Optional, Tuple

from device_agents.backends import base
from device_agents.backends.base import Arrays, Built, Parts
from device_agents.contract import EngineReport, JobSpec, Layer, Reading, Scalar
from device_agents.cuda import Attributes, Cuda, CudaError
from device_agents.errors import DeviceError
from device_agents.trt import api, command, engine_file, timings
from device_agents.trt import config as settings
from device_agents.trt.build import BUILD_RECIPE, Builder, Place
from device_agents.trt.options import DEFAULT, RUN_OPTIONS, RunOptions, build_options, run_options
from device_agents.trt.run import Slot
from device_agents.trt.session import Session


class TensorRTBackend(base.Backend):
    """`module` is the Python module. `ahead_of_time`: it settles on kernels when an engine is loaded, so it builds
    without a GPU and times nothing when it does."""

    patterns: ClassVar[Tuple[str, ...]] = ("serial", "pipelined", "rate", "sizes")
    packages: ClassVar[Tuple[str, ...]] = (
        "tensorrt", "tensorrt_libs", "tensorrt_bindings", "tensorrt_rtx", "tensorrt_rtx_libs", "tensorrt_rtx_bindings",
        "numpy",
    )  # fmt: skip
    options: ClassVar[Dict[str, str]] = RUN_OPTIONS
    builds: ClassVar[bool] = True
    module: ClassVar[str]
    ahead_of_time: ClassVar[bool] = False

    def __init__(self) -> None:
        self._trt: Any = None
        self._logger: Any = None
        self._said: api.Said
        self._version = ""
        self._cuda: Optional[Cuda] = None
        self._session: Optional[Session] = None
        self._slots: Dict[int, Slot] = {}

    def start(self) -> str:
        self._trt = api.import_runtime(self.module)
        self._logger = api.logger_for(self._trt)
        self._said = self._logger.said
        self._version = api.version(self._trt)
        return self._version

    def facts(self) -> Dict[str, Reading]:
        cuda = _unless_absent(lambda: Cuda.load("probe"))
        if isinstance(cuda, Reading):
            return {"cudart": cuda}
        found = {
            "cudart": _reading(lambda: _dotted(cuda.runtime_version()), cuda.path),
            "driver_cuda": _reading(lambda: _driver(cuda), "cudaDriverGetVersion"),
            "gpu_compute_cap": _reading(lambda: _capability(cuda, "."), "cudaDeviceGetAttribute"),
        }
        if found["gpu_compute_cap"].value is not None:
            found["dla_cores"] = _reading(lambda: self._dla_cores(cuda), "num_DLA_cores of TensorRT's runtime")
        return found

    def made_of(self, spec: JobSpec) -> Dict[str, Scalar]:
        options = build_options(spec)
        return {
            "runtime": self.module.replace("_", "-"),
            "runtime_version": self._version,
            "recipe": BUILD_RECIPE,
            "tf32": False,
            **options.as_told(self.build_options),
            "typing": settings.typing_of(self._trt, options),
            "target": options.target if options.target != DEFAULT else self._own_target(),
        }

    def build(self, model: Path, out: Path, spec: JobSpec, caches: Path, tell: Callable[[str], None]) -> Built:
        _running(spec)  # what cannot be run is not built
        cuda = self._cuda_to_build()
        place = Place(cuda, None if cuda is None or self.ahead_of_time else self._timings(caches, cuda))
        return Builder(self._trt, self._logger, self._said, spec, place).build(model, out, tell)

    def load(self, path: Path, spec: JobSpec) -> None:
        options = _running(spec)
        self._said.clear()
        cuda = self._cuda = Cuda.load("load")
        cuda.set_schedule("spin" if options.spin else "block")  # before the device is used
        cuda.set_device(0)
        engine = engine_file.deserialize(self._trt, self._logger, path, spec, build_options(spec), self._said, cuda)
        self._session = Session(self._trt, engine, cuda, spec, options, self._said)
        self._slots = self._session.slots
        self.in_flight = 2 * options.streams
        cuda.stage = "run"

    def bind(self, inputs: Arrays, slot: int) -> None:
        self._loaded().bind(inputs, slot)

    def enqueue(self, slot: int) -> None:
        self._slots[slot].enqueue()

    def wait(self, slot: int) -> None:
        self._slots[slot].wait()

    def drain(self) -> bool:
        if self._cuda is not None:
            self._cuda.synchronize()
        return self._cuda is not None

    def parts(self, slot: int) -> Optional[Parts]:
        return self._slots[slot].parts()

    def outputs(self, slot: int) -> Arrays:
        return self._slots[slot].outputs()

    def switches(self) -> Dict[str, Scalar]:
        return self._loaded().switches()

    def memory(self) -> Dict[str, int]:
        return self._loaded().memory()

    def cache_bytes(self) -> Optional[int]:
        return self._loaded().cache_bytes

    def layers(self, slot: int, inferences: int) -> Tuple[Layer, ...]:
        return self._loaded().layers(slot, inferences)

    def command(self, spec: JobSpec, engine: Optional[EngineReport]) -> str:  # noqa: ARG002 - the spec says it all
        if self.ahead_of_time:
            return ""  # TensorRT-RTX has a tool of its own, whose options differ
        build, run = build_options(spec), run_options(spec)
        typing = settings.typing_of(self._trt, build)
        return command.equivalent(spec, self._version, typing, build, run, self._loaded().profile_index)

    def close(self) -> None:
        session, cuda = self._session, self._cuda
        self._session = self._cuda = None
        self._slots = {}
        if cuda is not None and cuda.failed is None:
            with suppress(CudaError):  # it is told by the close that follows
                cuda.synchronize()
        if session is not None:
            session.close()
        if cuda is not None:
            cuda.close()

    def _loaded(self) -> Session:
        if self._session is None:
            raise RuntimeError("load comes first")
        return self._session

    def _cuda_to_build(self) -> Optional[Cuda]:
        """Errors: DeviceError where a GPU is needed, and there is none or its driver is too old."""
        try:
            cuda = Cuda.load("build")
            cuda.device_count()
        except DeviceError:
            if not self.ahead_of_time:
                raise
            return None
        self._cuda = cuda
        return cuda

    def _timings(self, caches: Path, cuda: Cuda) -> Path:
        return timings.path_in(caches, self.module, self._version, _timed_gpu(cuda.attributes()))

    def _own_target(self) -> str:
        """TensorRT builds for the GPU it runs on, TensorRT-RTX for any that it knows."""
        if self.ahead_of_time:
            return "any"
        try:
            return f"sm{_capability(Cuda.load('build'), '')}"
        except DeviceError:
            return "unknown"

    def _dla_cores(self, cuda: Cuda) -> int:
        if not cuda.attributes().integrated:
            return 0
        runtime = engine_file.runtime_for(self._trt, self._logger, self._said)
        return int(runtime.num_DLA_cores)


def _running(spec: JobSpec) -> RunOptions:
    """Errors: DeviceError for options that cannot be meant, alone or with the job's load pattern."""
    options = run_options(spec)
    if options.streams > 1 and spec.pattern.kind != "pipelined" and spec.task == "measure":
        message = f"streams={options.streams} has no use with {spec.pattern}, which keeps one inference under way"
        raise DeviceError("unsupported", "load", message, fix="ask for --pattern pipelined, or leave out streams")
    if options.cuda_graph and spec.pattern.sizes:
        message = "a CUDA graph is of one size, and the load pattern draws sizes"
        raise DeviceError("unsupported", "load", message, fix="leave out cuda_graph")
    return options


def _timed_gpu(about: Attributes) -> str:
    """What timings hold for. A power mode of a Jetson changes multiprocessors and clocks, and with them which kernel is
    the fastest: an engine is built anew for it, and would be the old one by the old timings."""
    major, minor = about.compute_capability
    clocks = ((khz or 0) // 1000 for khz in (about.sm_clock_khz, about.memory_clock_khz))
    return f"sm{major}{minor}-{about.multiprocessors}-{'x'.join(map(str, clocks))}"


def _capability(cuda: Cuda, dot: str) -> str:
    return dot.join(map(str, cuda.attributes().compute_capability))


def _driver(cuda: Cuda) -> str:
    version = cuda.driver_version()
    if not version:
        raise DeviceError("no_device", "probe", "there is no NVIDIA driver")
    return _dotted(version)


def _dotted(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"


def _unless_absent(load: Callable[[], Cuda]) -> "Cuda | Reading":
    try:
        return load()
    except DeviceError as error:
        return Reading(unknown=error.info.message)


def _reading(ask: Callable[[], Scalar], source: str) -> Reading:
    try:
        return Reading(ask(), source)
    except DeviceError as error:
        return Reading(unknown=error.info.message)
