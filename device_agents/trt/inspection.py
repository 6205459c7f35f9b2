"""What an engine is made of, by its own inspector, and how long each layer takes, by TensorRT's profiler."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Dict, Tuple

from device_agents.contract import Layer
from device_agents.errors import DeviceError
from device_agents.formats import inspector as format_of_inspector


def layers_of(trt: Any, engine: Any, context: Any) -> Tuple[Layer, ...]:
    """The layers in the order of execution. `context` settles the shapes where they are free, and may be None.

    Errors: DeviceError `inspector_unread` when the inspector's answer is none that we know.
    """
    inspector = engine.create_engine_inspector()
    if context is not None:
        inspector.execution_context = context
    text = str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    try:
        found = format_of_inspector.parse_layers(text)
    except ValueError as error:
        message = f"the engine cannot be looked into ({error})"
        raise DeviceError("inspector_unread", "inspect", message, where=f"TensorRT {trt.__version__}") from None
    return tuple(Layer(one.name, one.precision, one.kind, one.nodes or _named(one.name, one.kind)) for one in found)


def _named(name: str, kind: str) -> Tuple[str, ...]:
    """The ONNX nodes in a layer's name, as TensorRT 8.5 tells them nowhere else: `a + PWN(b)` came of a and b,
    `a || b` of two that compute side by side."""
    if kind == format_of_inspector.REFORMAT or any(mark in name for mark in ("ForeignNode", "(Unnamed Layer")):
        return ()
    plain = name.replace("PWN(", "").replace(")", "") if "PWN(" in name else name
    return tuple(re.split(r" \+ | \|\| |, ", plain))


class Times:
    """Milliseconds by layer, summed over the inferences that were profiled; layers in the order they ran."""

    def __init__(self) -> None:
        self.total_ms: Dict[str, float] = {}

    def add(self, name: str, ms: float) -> None:
        self.total_ms[name] = self.total_ms.get(name, 0.0) + ms

    def joined(self, layers: Tuple[Layer, ...], inferences: int) -> Tuple[Layer, ...]:
        """The layers with their mean times; what the profiler names and the inspector does not comes last."""
        found = [_timed(one, self.total_ms.get(one.name), inferences) for one in layers]
        known = {one.name for one in layers}
        rest = [Layer(name, "unknown") for name in self.total_ms if name not in known]
        return (*found, *(_timed(one, self.total_ms[one.name], inferences) for one in rest))


def profiler_for(trt: Any, times: Times) -> Any:
    """An IProfiler that adds up; what it raised would end the process."""

    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            times.add(layer_name, ms)

    return Profiler()


def _timed(one: Layer, total_ms: "float | None", inferences: int) -> Layer:
    if total_ms is None:
        return one
    return replace(one, time_ns=round(total_ms * 1e6 / inferences))
