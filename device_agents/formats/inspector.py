"""What TensorRT's engine inspector says of an engine, as JSON; trtexec's --exportLayerInfo writes the same.

Seen, or read in the documents:
- 8.4 to 10: {"Layers": [...], "Bindings": [names]}. An engine built without detailed verbosity has layers that are bare
  names (NVIDIA/trt-samples-for-hackathon-cn issue 18); a tensor's type and layout are one string, `Format/Datatype`:
  `Channel major FP16 format where channel % 8 == 0` (NVIDIA/TensorRT issues 3876 and 4020), or plainly `Half` for the
  layers that Myelin made.
- 11: `I/O Tensors` instead of `Bindings`, objects with mode, type and shape, and `Format/Datatype` split in two
  (docs.nvidia.com, 11.3.0, tensorrt-10x-to-11x-IEngineInspector). The spelling of the new type field of a layer's
  tensors was not to be found beside `DataType`: keys are compared without regard to case.
- `Metadata` names the ONNX nodes, separated by U+001E or U+001F; from 8.6.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from device_agents.formats import lenient_json
from device_agents.formats.lenient_json import Garbled

MIXED, UNKNOWN, REFORMAT = "mixed", "unknown", "reformat"

_WHAT = "the engine inspector's text"
_WHOLE = ("int64", "int32", "uint8", "bool")  # of shapes, indices and masks: no layer computes in them

# Within a format's description; the first that fits counts, so `bf16` comes before `f16` and `uint8` before `int8`.
_TYPES = (
    (re.compile(r"bf16|bfloat", re.IGNORECASE), "bf16"),
    (re.compile(r"fp16|\bhalf\b|float16", re.IGNORECASE), "fp16"),
    (re.compile(r"fp8|e4m3|float8", re.IGNORECASE), "fp8"),
    (re.compile(r"fp4|e2m1|float4", re.IGNORECASE), "fp4"),
    (re.compile(r"fp32|tf32|\bfloat(32)?\b", re.IGNORECASE), "fp32"),
    (re.compile(r"\buint8\b", re.IGNORECASE), "uint8"),
    (re.compile(r"\bint4\b", re.IGNORECASE), "int4"),
    (re.compile(r"\bint8\b", re.IGNORECASE), "int8"),
    (re.compile(r"\bint32\b", re.IGNORECASE), "int32"),
    (re.compile(r"\bint64\b", re.IGNORECASE), "int64"),
    (re.compile(r"\bbool\b", re.IGNORECASE), "bool"),
)
_QUANTISED = ("int8", "fp8", "int4", "fp4")
_MULTIPLIES = re.compile(r"gemm|conv|matmul|matrixmultiply|fullyconnected", re.IGNORECASE)
_COPIES = re.compile(r"Reformatting CopyNode\b|copied_|.* copy\Z")
_PROFILE_SUFFIX = re.compile(r" \[profile \d+\]\Z")
_NODE = "[ONNX Layer: "
_NODE_END = re.compile(r"\][\x1e\x1f]")


class InspectedLayer(NamedTuple):
    """A layer of an engine. `kind` is the inspector's LayerType, `reformat` for whatever only copies into another
    format, empty where no more than the name is told. `precision`: fp32, fp16, bf16, fp8, int8 (fp4, int4); a type of
    whole numbers where the layer has no other tensors; `mixed`; `unknown`. `nodes` are names of ONNX nodes."""

    name: str
    kind: str
    precision: str
    nodes: Tuple[str, ...]


class IOTensor(NamedTuple):
    """An input or output of an engine; before TensorRT 11 nothing but its name is told."""

    name: str
    mode: str = ""
    dtype: str = ""
    shape: Optional[Tuple[int, ...]] = None


def parse_layers(text: str) -> List[InspectedLayer]:
    """The layers in order of execution. Errors: ValueError, saying what is wrong with the text."""
    layers = _list(_object(text), "Layers")
    return [_layer(entry, index) for index, entry in enumerate(layers)]


def parse_io(text: str) -> List[IOTensor]:
    """The engine's inputs and outputs, each once whatever the number of profiles. Errors: ValueError."""
    found = _object(text)
    if "I/O Tensors" in found:
        return [_io_tensor(entry, index) for index, entry in enumerate(_list(found, "I/O Tensors"))]
    names: Dict[str, IOTensor] = {}
    for index, name in enumerate(_list(found, "Bindings")):
        if not isinstance(name, str):
            raise Garbled(f"{_WHAT}: Bindings[{index}] is no name")
        plain = _PROFILE_SUFFIX.sub("", name)
        names[plain] = IOTensor(plain)
    return list(names.values())


def _layer(entry: Any, index: int) -> InspectedLayer:
    if isinstance(entry, str):
        return InspectedLayer(entry, REFORMAT if _COPIES.match(entry) else "", UNKNOWN, ())
    if not isinstance(entry, dict) or not isinstance(entry.get("Name"), str):
        raise Garbled(f"{_WHAT}: Layers[{index}] has no Name")
    kind = str(entry.get("LayerType", ""))
    if kind.lower() == REFORMAT or _COPIES.match(entry["Name"]):
        kind = REFORMAT
    return InspectedLayer(entry["Name"], kind, _precision(entry, index), _nodes(entry.get("Metadata")))


def _precision(layer: Dict[str, Any], index: int) -> str:
    """The type a layer computes in, as far as its tensors tell: their only type; where they have several, the type of
    its weights, if a tensor has that too; a quantised type that all inputs of a multiplication share."""
    inputs = _types(layer, "Inputs", index)
    told = inputs | _types(layer, "Outputs", index)
    numbers = told.difference(_WHOLE)
    if not numbers:
        return next((whole for whole in _WHOLE if whole in told), UNKNOWN)
    if len(numbers) == 1:
        return next(iter(numbers))
    weights = layer.get("Weights")
    of_weights = _type_in(weights.get("Type")) if isinstance(weights, dict) else None
    if of_weights in numbers:
        return str(of_weights)
    fed = inputs.difference(_WHOLE)
    multiplies = _MULTIPLIES.search(f"{layer.get('LayerType', '')} {layer.get('TacticName', '')}")
    if len(fed) == 1 and multiplies and fed.issubset(_QUANTISED):
        return next(iter(fed))
    return MIXED


def _types(layer: Dict[str, Any], side: str, index: int) -> Set[str]:
    tensors = layer.get(side, [])
    if not isinstance(tensors, list):
        raise Garbled(f"{_WHAT}: {side} of Layers[{index}] is no list")
    found = (_tensor_type(tensor) for tensor in tensors if isinstance(tensor, dict))
    return {one for one in found if one is not None}


def _tensor_type(tensor: Dict[str, Any]) -> Optional[str]:
    fields = {str(key).lower(): value for key, value in tensor.items()}
    for key in ("datatype", "format/datatype", "format"):
        found = _type_in(fields.get(key))
        if found is not None:
            return found
    return None


def _type_in(text: Any) -> Optional[str]:
    if not isinstance(text, str):
        return None
    return next((name for pattern, name in _TYPES if pattern.search(text)), None)


def _nodes(metadata: Any) -> Tuple[str, ...]:
    """`[ONNX Layer: a]\\x1e[ONNX Layer: b]` names a and b; a name may hold brackets itself."""
    if not isinstance(metadata, str):
        return ()
    pieces = (piece.rstrip("\x1e\x1f ") for piece in metadata.split(_NODE)[1:])
    names = (piece[:-1] if piece.endswith("]") else _NODE_END.split(piece, maxsplit=1)[0] for piece in pieces)
    return tuple(dict.fromkeys(name for name in names if name))


def _io_tensor(entry: Any, index: int) -> IOTensor:
    if not isinstance(entry, dict) or not isinstance(entry.get("Name"), str):
        raise Garbled(f"{_WHAT}: I/O Tensors[{index}] has no Name")
    dims = entry.get("Dimensions")
    whole = isinstance(dims, list) and all(isinstance(dim, int) for dim in dims)
    shape = tuple(dims) if isinstance(dims, list) and whole else None
    return IOTensor(entry["Name"], str(entry.get("IOMode", "")).lower(), _tensor_type(entry) or "", shape)


def _object(text: str) -> Dict[str, Any]:
    found = lenient_json.loads(text, _WHAT)
    if not isinstance(found, dict):
        raise Garbled(f"{_WHAT} is no JSON object")
    return found


def _list(found: Dict[str, Any], key: str) -> List[Any]:
    if not isinstance(found.get(key), list):
        raise Garbled(f"{_WHAT} has no list {key!r}")
    return list(found[key])
