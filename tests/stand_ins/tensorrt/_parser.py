"""The ONNX parser, and what it says of what it cannot parse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Tuple

from . import _foundation, _layers, _onnx
from ._foundation import ILogger, complain, must_be
from ._names import ENUMS, VERSION, Played
from ._network import INetworkDefinition, dtype_of
from ._onnx import Model, Node

OPSET_CEILING = 17 if VERSION < (10,) else 20 if VERSION < (11,) else 24
MODEL = "model.onnx"


class _Error(NamedTuple):
    code: str
    node: int
    desc: str
    name: str = ""
    operator: str = ""


class ParserError(Played):
    """What went wrong; `node` is the node's index, -1 for none."""

    def __init__(self, error: _Error) -> None:
        self._error = error

    def code(self) -> Any:
        return getattr(ENUMS["ErrorCode"], self._error.code)

    def desc(self) -> str:
        return self._error.desc

    def node(self) -> int:
        return self._error.node

    def node_name(self) -> str:
        return self._error.name

    def node_operator(self) -> str:
        return self._error.operator

    def file(self) -> str:
        return "scripted/ModelImporter.cpp"

    def func(self) -> str:
        return "parseNode"

    def line(self) -> int:
        return 1

    def local_function_stack(self) -> List[str]:
        return []

    def local_function_stack_size(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"In node {self._error.node} (parseNode): {self._error.code}: {self._error.desc}"


class OnnxParser(Played):
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network = must_be(network, INetworkDefinition, "OnnxParser")
        self._logger = must_be(logger, ILogger, "OnnxParser")
        if VERSION < (10,):
            _foundation.init_libnvinfer_plugins(logger, "")
        self._errors: List[_Error] = []
        self._flags = 0
        self._subgraphs: List[Tuple[List[int], bool]] = []

    num_errors = property(lambda self: len(self._errors))
    num_subgraphs = property(lambda self: len(self._subgraphs))
    flags = property(lambda self: self._flags, lambda self, flags: setattr(self, "_flags", flags))

    def set_flag(self, flag: Any) -> None:
        self._flags |= 1 << int(must_be(flag, ENUMS["OnnxParserFlag"], "set_flag"))

    def clear_flag(self, flag: Any) -> None:
        self._flags &= ~(1 << int(flag))

    def get_flag(self, flag: Any) -> bool:
        return bool(self._flags >> int(flag) & 1)

    def get_error(self, index: int) -> ParserError:
        return ParserError(self._errors[index])

    def clear_errors(self) -> None:
        self._errors.clear()

    def supports_operator(self, op_name: str) -> bool:
        return op_name not in _unsupported()

    def parse(self, model: Any, path: Optional[str] = None) -> bool:
        """`path` is that of the model's file, beside which its external weights lie."""
        folder = None if path is None else Path(path).parent
        return self._parse(bytes(model), folder)

    def parse_from_file(self, model: str) -> bool:
        try:
            data = Path(model).read_bytes()
        except OSError:
            return self._fail([_Error("MODEL_DESERIALIZE_FAILED", -1, f"Failed to open file: {model}")])
        return self._parse(data, Path(model).parent)

    def supports_model(self, model: Any, path: Optional[str] = None) -> Tuple[bool, List[Tuple[List[int], bool]]]:
        fine = self._divide(bytes(model))
        return fine, list(self._subgraphs)

    def supports_model_v2(self, model: Any, path: Optional[str] = None) -> bool:
        return self._divide(bytes(model))

    def _divide(self, data: bytes) -> bool:
        """Into runs of nodes that are supported, and that are not."""
        self._subgraphs = []
        read = self._read(data)
        if read is None:
            return False
        for index, node in enumerate(read.nodes):
            fine = _trouble(node) is None
            if self._subgraphs and self._subgraphs[-1][1] == fine:
                self._subgraphs[-1][0].append(index)
            else:
                self._subgraphs.append(([index], fine))
        return all(fine for _, fine in self._subgraphs)

    def is_subgraph_supported(self, index: int) -> bool:
        return self._subgraphs[index][1]

    def get_subgraph_nodes(self, index: int) -> List[int]:
        return self._subgraphs[index][0]

    def get_used_vc_plugin_libraries(self) -> List[str]:
        return []

    def _read(self, data: bytes) -> Optional[Model]:
        try:
            return _onnx.read(data)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._fail([_Error("MODEL_DESERIALIZE_FAILED", -1, "Failed to parse the ONNX model.")])
            return None

    def _parse(self, data: bytes, folder: Optional[Path]) -> bool:
        model = self._read(data)
        if model is None:
            return False
        errors = self._graph_errors(model) or _node_errors(model)
        files = {MODEL: data}
        for name in model.external:
            file = (folder or Path()) / name
            if not file.is_file():
                errors = [_Error("MODEL_DESERIALIZE_FAILED", -1, f"Failed to open file: {file}")]
                break
            files[name] = file.read_bytes()
        if errors:
            return self._fail(errors)
        self._network._model, self._network._files = model, files
        return True

    def _graph_errors(self, model: Model) -> List[_Error]:
        if self._network.has_implicit_batch_dimension:
            desc = (
                "This version of the ONNX parser only supports TensorRT INetworkDefinitions with an explicit batch "
                "dimension. Please ensure the network was created using the EXPLICIT_BATCH flag."
            )
            return [_Error("INVALID_GRAPH", -1, desc)]
        if model.opset > OPSET_CEILING:
            desc = f"opset {model.opset} is above {OPSET_CEILING}, the highest that this parser knows"
            return [_Error("UNSUPPORTED_GRAPH", -1, desc)]
        wrong = [tensor.name for tensor in model.inputs if dtype_of(tensor.dtype) is None]
        return [_Error("UNSUPPORTED_GRAPH", -1, f"Failed to convert the data type of input {name}") for name in wrong]

    def _fail(self, errors: List[_Error]) -> bool:
        self._errors += errors
        for error in errors:
            complain(self._logger, 4, f"In node {error.node}: {error.code}: {error.desc}", "ONNX parser")
        return False


def _unsupported() -> List[str]:
    return os.environ.get("SCRIPTED_TENSORRT_UNSUPPORTED", "NonMaxSuppression,TfIdfVectorizer,Unique").split(",")


def _trouble(node: Node) -> Optional[str]:
    if node.domain not in ("", "ai.onnx"):
        return f"No importer registered for op: {node.op} of domain {node.domain}. Plugin not found"
    if node.op in _foundation.plugins() and not _foundation.plugins_are_there:
        return f"Plugin not found: {node.op}, version: 1"
    if node.op in _unsupported():
        return f"No importer registered for op: {node.op}. Attempting to import as plugin: plugin not found"
    return None


def _node_errors(model: Model) -> List[_Error]:
    """Before 10 the first one alone, as parsing stops there."""
    found = []
    for index, node in enumerate(model.nodes):
        trouble = _trouble(node)
        if trouble is not None:
            found.append(_Error("UNSUPPORTED_NODE", index, trouble, _layers.name_of(node), node.op))
    return found[:1] if VERSION < (10,) else found
