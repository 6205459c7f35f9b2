"""From an ONNX file to an engine file: parse, configure, build, write, look into it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

from device_agents.backends.base import Built
from device_agents.contract import JobSpec, Layer
from device_agents.cuda import Cuda
from device_agents.errors import DeviceError
from device_agents.files import write_atomic
from device_agents.trt import config as settings
from device_agents.trt import engine_file, inspection, memory, parsing, shapes, timings
from device_agents.trt.api import Said, quietly
from device_agents.trt.options import DEFAULT, BuildOptions, build_options, whole
from device_agents.trt.progress import Progress, monitor_for

BUILD_RECIPE = 1
"""Raised when the same request would make another engine than before: it is part of an engine's key."""


class Place(NamedTuple):
    """Where a build happens: `cuda` is None without a GPU. `timings` is the file of the timing cache, None where the
    runtime has no use for one."""

    cuda: Optional[Cuda]
    timings: Optional[Path]


class Builder:
    """One build. `seconds` by phase."""

    def __init__(self, trt: Any, logger: Any, said: Said, spec: JobSpec, place: Place) -> None:
        self._trt = trt
        self._logger = logger
        self._said = said
        self._spec = spec
        self._place = place
        self._options: BuildOptions = build_options(spec)
        self.seconds: Dict[str, float] = {}

    def build(self, model: Path, out: Path, tell: Callable[[str], None]) -> Built:
        """Errors: DeviceError of stage `build`; nothing is left at `out` then."""
        self._said.clear()
        capability = self._place.cuda.attributes().compute_capability if self._place.cuda else None
        settings.refuse_gpu(self._trt, capability, self._options)
        memory.refuse_too_little(model, whole(self._options.workspace_mib), self._place.cuda)
        kept = self._timings()
        plan = self._plan(model, kept, tell)
        begin = time.perf_counter()
        write_atomic(out, memoryview(plan))
        self.seconds["write"] = time.perf_counter() - begin
        warnings = (*kept.warnings, *self._said.warnings)
        del plan  # on a Jetson it lies in the GPU's memory, where the engine has to go
        try:
            layers, device_bytes = self._look_into(out, tell)
        except DeviceError:
            out.unlink()
            raise
        return Built(layers, device_bytes, warnings, self.seconds)

    def _plan(self, model: Path, kept: timings.Timings, tell: Callable[[str], None]) -> Any:
        begin = time.perf_counter()
        builder = self._builder()
        tell("reading the model")
        with quietly():
            network = builder.create_network(
                settings.network_flags(self._trt, settings.typing_of(self._trt, self._options))
            )
        parser = parsing.parse(self._trt, self._logger, network, model, self._spec, self._said)
        self.seconds["parse"] = time.perf_counter() - begin
        begin = time.perf_counter()
        config = builder.create_builder_config()
        settings.configure(self._trt, builder, config, network, self._spec, self._options)
        shapes.add_profiles(builder, config, network, self._spec)
        kept.attach(config)
        self._said.errors.clear()  # what was wrong with the timing cache is no reason for what comes
        if hasattr(config, "progress_monitor"):
            config.progress_monitor = monitor_for(self._trt, Progress(tell))
        tell(f"{network.num_layers} layers to optimize")
        plan = builder.build_serialized_network(network, config)
        del parser  # it owned the weights
        if plan is None:
            raise self._failed()
        self.seconds["optimize"] = time.perf_counter() - begin
        kept.keep(config)
        return plan

    def _builder(self) -> Any:
        try:
            builder = self._trt.Builder(self._logger)
        except (TypeError, RuntimeError):  # pybind11: the factory returned nullptr; why, it has logged
            raise engine_file.no_gpu("build", self._said) from None
        return builder

    def _timings(self) -> timings.Timings:
        """Builds that are numbered, to see how much they differ, share no timings."""
        shared = self._options.timing_cache and self._spec.engine.build == 0
        return timings.Timings(self._place.timings if shared else None)

    def _failed(self) -> DeviceError:
        if memory.exhausted(self._said):
            return memory.no_memory("build", "the build", self._spec, self._said, memory.free_bytes(self._place.cuda))
        message = f"{self._spec.backend} could not build the engine ({self._said.reason()})"
        fix = "see the job's log; `edgebench devices doctor` looks for what is wrong with the device"
        if "workspace" in self._said.reason():
            fix = "allow a larger workspace_mib, or leave it out"
        return DeviceError("build_failed", "build", message, where=self._spec.model_file, fix=fix)

    def _look_into(self, out: Path, tell: Callable[[str], None]) -> Tuple[Tuple[Layer, ...], Optional[int]]:
        """Nothing without a GPU, and for an engine that is another GPU's."""
        if self._place.cuda is None or self._options.target != DEFAULT:
            return (), None
        tell("looking into the engine")
        begin = time.perf_counter()
        engine = engine_file.deserialize(
            self._trt, self._logger, out, self._spec, self._options, self._said, self._place.cuda
        )
        layers = inspection.layers_of(self._trt, engine, None)
        self.seconds["inspect"] = time.perf_counter() - begin
        return layers, engine_file.device_memory(engine)
