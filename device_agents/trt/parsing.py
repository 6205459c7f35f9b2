"""An ONNX file into a network, and every error of the parser by node, with what mends it.

TensorRT before 9.1 stops at the first node that it cannot read and tells its number alone; later ones check all nodes
and tell their names. What is missing is read in the file itself, and asked of the parser operator by operator.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from device_agents.contract import JobSpec
from device_agents.errors import DeviceError
from device_agents.trt import onnx_file
from device_agents.trt.api import Said, plain

# Where onnx-tensorrt began to read an operator: its docs/Changelog.md and the operators.md of each release.
_SINCE = {
    "BlackmanWindow": "10.4", "DeformConv": "10.1", "GridSample": "8.5", "GroupNormalization": "8.6",
    "HammingWindow": "10.4", "HannWindow": "10.4", "Hardmax": "9.2", "IsInf": "8.6", "LayerNormalization": "8.6",
    "MeanVarianceNormalization": "8.5", "Mod": "8.5", "NonMaxSuppression": "8.5", "NonZero": "8.5",
    "RandomNormal": "8.5", "RandomUniform": "8.5", "RoiAlign": "8.5", "STFT": "10.5", "Trilu": "8.5",
}  # fmt: skip
_OPSETS = {8: 17, 10: 20}  # the newest that a major version was made for
_TOLD = 3
_CHECK = "check that the file is ONNX; export the model again"
_MISSING = re.compile(r"No importer registered|Plugin not found|not supported|unsupported", re.IGNORECASE)


class ParseError(NamedTuple):
    """One error. `node` is the place in the graph's list, -1 for none; `missing`: TensorRT lacks the operator."""

    node: int
    name: str
    op: str
    code: str
    text: str
    missing: bool

    def __str__(self) -> str:
        if self.node < 0:
            return f"{self.text} ({self.code})"
        what = f"the operator {self.op} is not supported" if self.missing else f"{self.op}: {self.text}"
        reason = f"; {self.text}" if self.missing and self.text and self.text != "false" else ""
        return f"node {self.node} {self.name!r}: {what} ({self.code}{reason})"


def parse(trt: Any, logger: Any, network: Any, model: Path, spec: JobSpec, said: Said) -> Any:
    """The parser, which owns the weights until the engine is built.

    Errors: DeviceError `unsupported_operator` or `parse_failed` that names the nodes; all of them are in the log.
    """
    data = model.read_bytes()
    parser = trt.OnnxParser(network, logger)
    if parser.parse(data, str(model)):
        return parser
    graph = onnx_file.read(data)
    errors = _errors(parser, graph)
    errors += _never_heard_of(parser, graph, {error.op for error in errors})
    for error in errors:
        said.hear(1, f"ONNX {error}")
    raise _sentence(errors, graph, spec, str(trt.__version__), said)


def _errors(parser: Any, graph: onnx_file.Graph) -> List[ParseError]:
    found = []
    for index in range(parser.num_errors):
        parser_error = parser.get_error(index)
        code = parser_error.code()
        number = int(parser_error.node())
        name, op = graph.nodes[number] if 0 <= number < len(graph.nodes) else ("", "")
        if hasattr(parser_error, "node_name"):
            name, op = parser_error.node_name() or name, parser_error.node_operator() or op
        text = _reason(str(parser_error.desc()))
        label = str(code).rpartition(".")[2]
        missing = label == "UNSUPPORTED_NODE" and (text == "false" or bool(_MISSING.search(text)))
        found.append(ParseError(number, name, op, label, text, missing))
    return sorted(set(found))


def _reason(text: str) -> str:
    """The line that tells most: not that the node is invalid, nor that there is no GPU, which parsing does not need."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Invalid Node - ") and "catchCudaError" not in line]
    return plain((telling or lines or [""])[0])


def _never_heard_of(parser: Any, graph: onnx_file.Graph, told: "set[str]") -> List[ParseError]:
    """The first node of every other operator that the parser has no importer for."""
    first: Dict[str, Tuple[int, str]] = {}
    for index, (name, op) in enumerate(graph.nodes):
        first.setdefault(op, (index, name))
    return [
        ParseError(index, name, op, "UNSUPPORTED_NODE", "", True)
        for op, (index, name) in first.items()
        if op not in told and not parser.supports_operator(op)
    ]


def _sentence(errors: List[ParseError], graph: onnx_file.Graph, spec: JobSpec, version: str, said: Said) -> DeviceError:
    if not errors:
        message = f"TensorRT's parser cannot read the model ({said.reason()})"
        return DeviceError("parse_failed", "build", message, where=spec.model_file, fix=_CHECK)
    told = "; ".join(str(error) for error in errors[:_TOLD])
    more = f"; and {len(errors) - _TOLD} more, see the job's log" if len(errors) > _TOLD else ""
    missing = list(dict.fromkeys(error.op for error in errors if error.missing))
    code = "unsupported_operator" if missing else "parse_failed"
    message = f"{spec.backend} {version} cannot read the model: {told}{more}"
    return DeviceError(
        code, "build", message, where=spec.model_file, fix=_fix(missing, graph, version) if graph.nodes else _CHECK
    )


def _fix(missing: List[str], graph: onnx_file.Graph, version: str) -> str:
    newest = _OPSETS.get(int(version.partition(".")[0]))
    if newest is not None and graph.opset is not None and graph.opset > newest:
        return f"the model is of opset {graph.opset}, this TensorRT reads {newest}: export it with --opset {newest}"
    later = {op: _SINCE[op] for op in missing if op in _SINCE and _newer(_SINCE[op], version)}
    if later:
        return "; ".join(f"TensorRT has {op} since {since}" for op, since in later.items())
    if missing:
        return "export the model without it, or run it with --backend onnxruntime"
    return "export the model again, or run it with --backend onnxruntime"


def _newer(one: str, other: str) -> bool:
    first, second = (_numbers(text) for text in (one, other))
    return first > second


def _numbers(text: str) -> Tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])
