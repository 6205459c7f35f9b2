"""What the engine inspector tells, in the shapes of the versions.

Before 11 the list of inputs and outputs is `Bindings`, names alone, and a tensor has `Format/Datatype` in one text; 11
has `I/O Tensors`, an object each, and splits format and type. Layers are names alone unless the engine was built with
ProfilingVerbosity.DETAILED. Metadata, the ONNX nodes of a layer, came with 8.6.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from ._foundation import complain, must_be
from ._names import ENUMS, VERSION, Played

if TYPE_CHECKING:
    from ._engine import ICudaEngine

_FORMATS = {"fp32": "FP32", "fp16": "FP16 format", "int8": "INT8 format", "int32": "INT32", "bool": "BOOL"}


class EngineInspector(Played):
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._context: Optional[Any] = None

    execution_context = property(lambda self: self._context, lambda self, context: setattr(self, "_context", context))

    def get_layer_information(self, layer_index: int, format: Any) -> str:  # noqa: A002
        layers = self._layers()
        if not 0 <= layer_index < len(layers):
            complain(self._engine._logger, 3, f"Parameter check failed: there is no layer {layer_index}")
            return ""
        return _written(layers[layer_index], format)

    def get_engine_information(self, format: Any) -> str:  # noqa: A002
        about: Dict[str, Any] = {"Layers": self._layers()}
        if VERSION >= (11,):
            verbosity = "DETAILED" if self._detailed() else self._engine._about["verbosity"]
            about = {"ProfilingVerbosity": verbosity, **about, "I/O Tensors": self._tensors(), "Engine Metadata": {}}
        else:
            about["Bindings"] = [tensor.name for tensor in (*self._engine._inputs, *self._engine._outputs)]
        return _written(about, format)

    def _detailed(self) -> bool:
        return self._engine._about["verbosity"] in ("DETAILED", "VERBOSE")

    def _layers(self) -> List[Any]:
        if self._engine._about["verbosity"] == "NONE":
            return []
        layers: List[Dict[str, Any]] = self._engine._about["layers"]
        if not self._detailed():
            return [layer["name"] for layer in layers]
        return [self._layer(layer, tactic) for layer, tactic in zip(layers, self._engine._about["tactics"])]

    def _layer(self, layer: Dict[str, Any], tactic: int) -> Dict[str, Any]:
        told = {
            "Name": layer["name"],
            "LayerType": layer["kind"],
            "Inputs": [self._described(name, layer["precision"]) for name in layer["inputs"]],
            "Outputs": [self._described(name, layer["precision"]) for name in layer["outputs"]],
            "TacticName": f"scripted_{layer['precision']}_{layer['kind']}",
            "TacticValue": hex(tactic),
        }
        if VERSION >= (8, 6):
            told.update(StreamId=0, Metadata="\x1e".join(f"[ONNX Layer: {name}]" for name in layer["nodes"]))
        return told

    def _described(self, name: str, precision: str) -> Dict[str, Any]:
        shape = [] if self._context is None else self._shape(name)
        told = {"Name": name, "Location": "Device", "Dimensions": shape}
        if VERSION >= (11,):
            return {**told, "Format": "Row major linear", "DataType": precision.upper()}
        return {**told, "Format/Datatype": f"Row major linear {_FORMATS.get(precision, precision.upper())}"}

    def _shape(self, name: str) -> List[int]:
        known = {tensor.name for tensor in (*self._engine._inputs, *self._engine._outputs)}
        return list(self._context.get_tensor_shape(name)) if name in known and self._context is not None else []

    def _tensors(self) -> List[Dict[str, Any]]:
        inputs = {tensor.name for tensor in self._engine._inputs}
        short = {"FLOAT": "FP32", "HALF": "FP16"}
        told = []
        for tensor in (*self._engine._inputs, *self._engine._outputs):
            dtype = self._engine.get_tensor_dtype(tensor.name).name
            told.append(
                {
                    "Name": tensor.name,
                    "IOMode": "Input" if tensor.name in inputs else "Output",
                    "DataType": short.get(dtype, dtype),
                    "Dimensions": list(self._engine.get_tensor_shape(tensor.name)),
                    "Location": "Device",
                    "IsShapeInferenceIO": False,
                }
            )
        return told


def _written(value: Any, how: Any) -> str:
    formats = ENUMS["LayerInformationFormat"]
    if must_be(how, formats, "format") == formats.JSON:
        return json.dumps(value, indent=2)
    return value if isinstance(value, str) else json.dumps(value)
