"""TensorFlow itself: a SavedModel of ours, as a graph or compiled by XLA.

An inference ends when its outputs are on the host: TensorFlow returns before, and what does not wait measures the
call alone. TF32 is off: FP32 means FP32. A SavedModel holds no Python, so there is nothing to run eagerly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Dict, Optional

from device_agents import described, packages
from device_agents.backends import base
from device_agents.backends.base import first_line
from device_agents.contract import JobSpec, Reading, Scalar
from device_agents.errors import DeviceError
from device_agents.tf import settings
from device_agents.tf.running import Runner

_SLOT = -1
_TRACES = "tf.function.experimental_get_tracing_count"
_DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tf-nightly")


class Backend(base.Runs):
    patterns: ClassVar = ("serial", "rate", "sizes")
    packages: ClassVar = (
        "tensorflow", "keras", "numpy", "h5py", "ml_dtypes", "google", "absl", "grpc", "wrapt", "optree", "PIL", "rich",
    )  # fmt: skip
    options: ClassVar[Dict[str, str]] = settings.OPTIONS

    def __init__(self) -> None:
        super().__init__()
        self._tf: Any = None
        self._network: Optional[Runner] = None
        self._settings: settings.Settings
        self._spec: JobSpec

    def start(self) -> str:
        import tensorflow

        self._tf = tensorflow
        return self.look()

    def look(self) -> str:
        return packages.version_of("tensorflow", _DISTRIBUTIONS)

    def load(self, path: Path, spec: JobSpec) -> None:
        told = described.network_of(path.parent, spec)
        self._spec, self._settings = spec, settings.read(self._tf, spec)
        settings.apply(self._tf, self._settings)
        self._runner = self._network = Runner(self._tf, path, told, spec, self._settings)
        self.compiles = self._settings.compiles

    def compile(self, job: Path, shared: Path) -> None:  # noqa: ARG002 - XLA keeps nothing
        runner = self._loaded()
        try:
            for spec in base.every_size(self._spec):
                runner.bind(base.zeros(spec), _SLOT)
                runner.enqueue(_SLOT)
                runner.wait(_SLOT)
        except Exception as error:
            message = f"XLA failed ({type(error).__name__}: {first_line(error)})"
            fix = "see the job's log, or use mode=graph"
            raise DeviceError("compile_failed", "load", message, where=self._spec.model_file, fix=fix) from error
        runner.forget(_SLOT)
        if self._network is not None:
            self._network.compiled()

    def readings(self) -> Dict[str, Reading]:
        if self._network is None:
            return {}
        return {name: Reading(count, _TRACES) for name, count in self._network.counted().items()}

    def drain(self) -> bool:
        self._tf.test.experimental.sync_devices()
        return True

    def switches(self) -> Dict[str, Scalar]:
        return settings.switches(self._settings, self._spec)
