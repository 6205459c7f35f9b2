"""What torch's exporters say when they refuse, as one sentence: the operator, and the line of the network's code."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from export.user_code import is_own
from profiles.errors import ExportError

_OPERATOR = re.compile(r"OpOverload\(op='([\w.:]+)'|operator '?([\w:.]+)'? to ONNX")
_PLACE = re.compile(r'File "([^"]+)", line (\d+), in (\w+)')
_TRACED = re.compile(r"^(\S+\.py)\((\d+)\): \w+", re.MULTILINE)
_CONTROL_FLOW = "GuardOnDataDependentSymNode"


def operator_unknown(error: BaseException) -> bool:
    """Whether an exporter had captured the network, and lacked an operator of ONNX for a part of it."""
    return any(type(one).__name__ in ("DispatchError", "UnsupportedOperatorError") for one in _chain(error))


def refusal(error: BaseException, where: str) -> ExportError:
    """One sentence for whatever an exporter raised."""
    if isinstance(error, ExportError):
        return error
    place = _place(error)
    at = f" at {place}" if place else ""
    chain = list(_chain(error))
    if operator_unknown(error):
        operator = next((found for one in chain if (found := _operator(str(one)))), "an operator")
        fix = "replace it by operations that ONNX has"
        return ExportError(f"torch's exporter knows no ONNX for {operator}{at}", where=where, fix=fix)
    if any(type(one).__name__ == _CONTROL_FLOW for one in chain):
        fix = "use torch.where or torch.cond there"
        return ExportError(f"the network decides by its data{at}, which no graph can", where=where, fix=fix)
    root = chain[-1]
    lines = [line.strip() for line in str(root).splitlines() if line.strip()]
    reason = lines[0][:200] if lines else type(root).__name__
    return ExportError(f"torch's exporter refuses the network{at} ({reason})", where=where)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _operator(text: str) -> str | None:
    found = _OPERATOR.search(text)
    return next(filter(None, found.groups())).removesuffix(".default") if found else None


def _place(error: BaseException) -> str:
    """Where in the network's own code: the node that was being translated knows it, or the text names it."""
    for text in (*_node_traces(error), *(str(one) for one in _chain(error))):
        # The tracer has the innermost line first.
        places = [(path, line) for path, line, _ in _PLACE.findall(text)] or _TRACED.findall(text)[::-1]
        own = [(path, line) for path, line in places if is_own(path)]
        if own or places:
            path, line = (own or places)[-1]
            return f"{Path(path).name}:{line}"
    return ""


def _node_traces(error: BaseException) -> Iterator[str]:
    """torch keeps the line that made a node in the node, which its error does not hold: the frames do."""
    import torch

    for one in _chain(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            node: Any = frame.f_locals.get("node")
            if isinstance(node, torch.fx.Node) and node.meta.get("stack_trace"):
                yield str(node.meta["stack_trace"])
            elif isinstance(node, torch.Node):
                yield str(node.sourceRange())
