"""ONNX Runtime: the CPU provider everywhere; CUDA's and TensorRT's where there is a GPU. I/O binding always.

A request for a GPU that would fall back to the processor is an error, never a slow number: nodes that compute there
are counted, named and refused. TF32 is off: FP32 means FP32. On a GPU the streams are ours, so that the parts of an
inference are told and `pipelined` overlaps; where that cannot be, the switch `parts` says why.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, Optional, Tuple

from device_agents.backends import base
from device_agents.backends.base import Arrays, Runner
from device_agents.by_size import BySize
from device_agents.contract import JobSpec, Reading, Scalar
from device_agents.cuda import Cuda
from device_agents.errors import DeviceError
from device_agents.ort import outputs, placement, providers
from device_agents.ort.host import HostRunner
from device_agents.ort.look import look
from device_agents.ort.providers import Choice
from device_agents.ort.streams import StreamRunner, Streams


class Backend(base.Runs):
    patterns: ClassVar[Tuple[str, ...]] = ("serial", "pipelined", "rate", "sizes")
    packages: ClassVar[Tuple[str, ...]] = ("onnxruntime", "numpy")
    gpu_packages: ClassVar[Tuple[str, ...]] = ("nvidia", "tensorrt_libs")
    options: ClassVar[Dict[str, str]] = {
        "provider": "cpu, cuda or tensorrt; without it, cuda where there is an NVIDIA GPU and the provider, else cpu",
        "cuda_graph": "true: capture the inference as a CUDA graph and replay it (cuda, tensorrt)",
        "nhwc": "true: CUDA's provider lays convolutions out channels last (cuda)",
        "workspace_mib": "the most memory TensorRT's provider may use for scratch, in MiB; 0 (default) leaves it to it",
        "parts": "true (default): own streams on a GPU, so that copies and computing are told apart",
        "allow_fallback": "true: measure although nodes compute on the processor instead of the GPU",
        "threads": "threads within an operator; 0 (default) leaves it to the runtime",
        "spin": "true (default): idle threads spin between operators, and the host while it waits for a GPU; "
        "false: they block",
    }

    def __init__(self) -> None:
        super().__init__()
        self._ort: Any = None
        self._session: Any = None
        self._switches: Dict[str, Scalar] = {}
        self._unlooked: Optional[Tuple[Path, JobSpec, Choice]] = None
        self._cache_bytes: Optional[int] = None
        self._cuda: Optional[Cuda] = None

    def start(self) -> str:
        import onnxruntime

        self._ort = onnxruntime
        return str(onnxruntime.__version__)

    def facts(self) -> Dict[str, Reading]:
        there = self._ort.get_available_providers()
        known = [short for short, name in providers.NAMES.items() if name in there]
        found = {"providers": Reading(" ".join(known), "onnxruntime.get_available_providers")}
        for name, number in providers.built_for().items():
            found[f"built_for_{name.lower()}"] = Reading(number, "onnxruntime.capi.build_and_package_info")
        return found

    def load(self, path: Path, spec: JobSpec) -> None:
        """A model whose compute fell back is refused by `inspect`."""
        choice = providers.choose(self._ort, spec)
        cuda, why_not = self._own_cuda(choice)
        pipelined = spec.pattern.kind == "pipelined"
        if pipelined and choice.provider == "tensorrt" and choice.cuda_graph:
            why_not = "its TensorRT provider keeps one CUDA graph, not one for each inference under way"
        if pipelined and why_not:
            message = f"onnxruntime's provider {choice.provider} cannot run the load pattern pipelined ({why_not})"
            raise DeviceError("unsupported", "load", message, fix="it can: serial, rate")
        if choice.cuda_graph and spec.pattern.sizes:
            message = "a CUDA graph is of one size, and the load pattern draws sizes"
            raise DeviceError("unsupported", "load", message, fix="leave out the option cuda_graph")
        if choice.cuda_graph and not spec.transfers and cuda is None:
            message = f"onnxruntime cannot replay a CUDA graph without transfers here ({why_not})"
            raise DeviceError("unsupported", "load", message, fix="leave out one of the two, or mend that")
        overlap = pipelined and spec.transfers
        self._switches = {**providers.described(choice, spec), "parts": f"not told: {why_not}" if why_not else "told"}
        options = providers.session_options(self._ort, choice, spec)
        options.add_session_config_entry(placement.RECORD, "1" if choice.on_gpu else "0")
        try:
            streams = None if cuda is None else Streams(cuda, overlap=overlap)
            handle = None if streams is None else streams.compute.handle
            chosen = providers.settings(self._ort, choice, spec, handle)
            self._session = providers.session(self._ort, path, choice, options, chosen)
            self._check_inputs(spec)
            make: Callable[[JobSpec], Runner]
            if cuda is None or streams is None:
                make = functools.partial(
                    HostRunner, self._ort, self._session, on_gpu=choice.on_gpu, cuda_graph=choice.cuda_graph
                )
            else:
                self._switches.update(streams=3 if overlap else 1, cudart=cuda.path)
                make = functools.partial(
                    StreamRunner, self._ort, cuda, streams, self._session,
                    in_flight=self.in_flight if pipelined else 1, cuda_graph=choice.cuda_graph, spin=choice.spin,
                )  # fmt: skip
            self._runner = self._run(make, spec, cuda)
            if cuda is not None:
                cuda.stage = "run"
        except BaseException:
            self._session = None
            if cuda is not None:
                cuda.close()
            raise
        self._unlooked = (path, spec, choice) if choice.on_gpu else None

    def inspect(self) -> None:
        if self._unlooked:
            self._look(*self._unlooked)

    def bind(self, inputs: Arrays, slot: int) -> None:
        self.inspect()
        super().bind(inputs, slot)

    def drain(self) -> bool:
        if self._cuda is None:  # it computes on the processor, or there is no CUDA library to ask
            return False
        self._cuda.synchronize()
        return True

    def switches(self) -> Dict[str, Scalar]:
        return dict(self._switches)

    def cache_bytes(self) -> Optional[int]:
        return self._cache_bytes

    def close(self) -> None:
        self._session = None
        super().close()

    def _run(self, make: Callable[[JobSpec], Runner], spec: JobSpec, cuda: Optional[Cuda]) -> Runner:
        """Runs the one size of the job, or each that its load pattern draws."""
        session = self._session
        if not spec.pattern.sizes:
            return make(outputs.settled(session, spec))
        return BySize(lambda sized: make(outputs.tried(session, sized)), spec, cuda.close if cuda else None)

    def _own_cuda(self, choice: Choice) -> Tuple[Optional[Cuda], str]:
        """CUDA for streams of our own, or the reason why the runtime keeps its own."""
        if not choice.on_gpu:
            return None, "it computes on the processor"
        try:
            cuda = Cuda.load()
            cuda.set_schedule("spin" if choice.spin else "block")  # how the runtime waits, too
            cuda.set_device(0)
            self._cache_bytes = cuda.attributes().l2_bytes
            self._cuda = cuda
        except DeviceError as error:
            return None, error.info.message
        if not choice.parts:
            return None, "the option parts is false"
        if providers.version(self._ort) < providers.OWN_STREAM_SINCE:
            return None, f"onnxruntime {self._ort.__version__} takes no stream from Python, 1.18 does"
        return cuda, ""

    def _look(self, path: Path, spec: JobSpec, choice: Choice) -> None:
        """Where the nodes run, once a process. Errors: DeviceError when compute fell back, or nobody can tell."""
        self._unlooked = None
        wanted = providers.NAMES[choice.provider]
        found = placement.assigned(self._session)
        try:
            if found is None:
                # A session with a CUDA graph is refused by the runtime itself where a node fell back.
                plain = providers.settings(self._ort, choice._replace(cuda_graph=False), spec, None)
                found = placement.judge(look(path, choice, spec, plain), wanted)
        except DeviceError as error:
            if not choice.allow_fallback:
                raise
            self._switches["fallback"] = error.info.message
            return
        self._switches.update(placement.switches(found))
        placement.refuse_compute(found, choice.provider, allowed=choice.allow_fallback)

    def _check_inputs(self, spec: JobSpec) -> None:
        names = [tensor.name for tensor in self._session.get_inputs()]
        wanted = [tensor.name for tensor in spec.inputs]
        if sorted(names) != sorted(wanted):
            message = f"the model takes {', '.join(names)}; the manifest says {', '.join(wanted)}"
            raise DeviceError("load_failed", "load", message, fix="export the model again")
