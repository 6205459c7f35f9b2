"""PyTorch itself: torchvision's network with the artifact's weights, eager or through torch.compile.

The artifact holds weights and the name of a network, no code: the network is the device's own torchvision's. TF32 is
off: FP32 means FP32. What is compiled is compiled before the first inference, told apart from loading and from timing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Dict, List, Optional, Sequence

from device_agents import described, packages
from device_agents.backends import base
from device_agents.backends.base import Runner, first_line
from device_agents.by_size import BySize
from device_agents.contract import JobSpec, Network, Reading, Scalar
from device_agents.errors import DeviceError
from device_agents.pt import compiling, network, settings
from device_agents.pt.runners import Call, GpuRunner, HostRunner

_TRIAL_RUNS = 3  # compiled at the first; CUDA graphs are warmed up at the second and captured at the third
_SLOT = -1


class Backend(base.Runs):
    patterns: ClassVar = ("serial", "rate", "sizes")
    packages: ClassVar = (
        "torch", "torchvision", "numpy", "PIL", "sympy", "mpmath", "networkx", "optree",
        "nvidia", "cuda", "triton",  # a build for CUDA loads them on a machine without a GPU, too
    )  # fmt: skip
    gpu_packages: ClassVar = ()
    options: ClassVar[Dict[str, str]] = settings.OPTIONS

    def __init__(self) -> None:
        super().__init__()
        self._torch: Any = None
        self._switches: Dict[str, Scalar] = {}
        self._counted: Optional[compiling.Counted] = None
        self._settings: settings.Settings
        self._spec: JobSpec

    def start(self) -> str:
        import torch
        import torchvision  # noqa: F401 - without it there are no networks

        self._torch = torch
        return self.look()

    def look(self) -> str:
        packages.version_of("torchvision")
        return packages.version_of("torch")

    def facts(self) -> Dict[str, Reading]:
        return {"torchvision": Reading(packages.version_of("torchvision"), "its package")}

    def load(self, path: Path, spec: JobSpec) -> None:
        told = described.network_of(path.parent, spec)  # before anything of it is looked for
        self._spec, self._settings = spec, settings.read(self._torch, spec)
        if self._settings.compiles and not self._settings.on_gpu:
            compiling.need_compiler()
        self._prepare()
        made = network.build(self._torch, told, path).to(getattr(self._torch, self._settings.dtype))
        if self._settings.channels_last:
            made = made.to(memory_format=self._torch.channels_last)
        if self._settings.on_gpu:
            made = made.cuda()
        if self._settings.compiles:
            made = compiling.compiled(
                self._torch, made, self._settings.compile_mode,
                dynamic=self._settings.for_torch, sizes=len(base.every_size(spec)),
            )  # fmt: skip
        self._runner = self._run(_caller(made, told))
        self._switches = settings.switches(self._torch, self._settings, spec)
        self.compiles = self._settings.compiles

    def compile(self, job: Path, shared: Path) -> None:
        compiling.keep_in((shared if self._settings.compile_cache == "shared" else job) / "inductor")
        self._counted = compiling.Counted()
        try:
            for spec in base.every_size(self._spec):
                self._try(spec)
        except Exception as error:
            message = f"torch.compile failed ({type(error).__name__}: {first_line(error)})"
            fix = "see the job's log, or use mode=eager"
            raise DeviceError("compile_failed", "load", message, where=self._spec.model_file, fix=fix) from error
        compiling.dismiss_workers()
        self._counted.compiled()

    def readings(self) -> Dict[str, Reading]:
        return {} if self._counted is None else self._counted.readings()

    def drain(self) -> bool:
        if self._settings.on_gpu:
            self._torch.cuda.synchronize()
        return self._settings.on_gpu

    def switches(self) -> Dict[str, Scalar]:
        return dict(self._switches)

    def cache_bytes(self) -> Optional[int]:
        if not self._settings.on_gpu:
            return None
        found = getattr(self._torch.cuda.get_device_properties(0), "L2_cache_size", None)
        return None if found is None else int(found)

    def _run(self, call: Call) -> Runner:
        if not self._settings.on_gpu:
            return HostRunner(self._torch, call, self._spec, self._settings)
        if not self._spec.pattern.sizes:
            return GpuRunner(self._torch, call, self._spec, self._settings)
        return BySize(lambda sized: GpuRunner(self._torch, call, sized, self._settings), self._spec)

    def _try(self, spec: JobSpec) -> None:
        runner = self._loaded()
        runner.bind(base.zeros(spec), _SLOT)
        for _ in range(_TRIAL_RUNS):
            runner.enqueue(_SLOT)
            runner.wait(_SLOT)
        runner.forget(_SLOT)

    def _prepare(self) -> None:
        backends = self._torch.backends
        backends.cuda.matmul.allow_tf32 = False
        backends.cudnn.allow_tf32 = False
        backends.cudnn.benchmark = self._settings.cudnn_benchmark
        if self._settings.threads:
            self._torch.set_num_threads(self._settings.threads)


def _caller(network: Any, told: Network) -> Call:
    """The network's outputs in order."""

    def call(*inputs: Any) -> Sequence[Any]:
        found = network(*inputs)
        if told.returns == "named":
            return [found[name] for name in told.outputs]
        chosen: List[Any] = [found[-1] if told.returns == "last" else found]
        return chosen

    return call
