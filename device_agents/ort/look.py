"""One profiled run in a process of its own: where every node ran, and on what.

Of its own because profiling slows a session, and because the run loads GPU code whose cost belongs to the first
inference of the process that is timed. With TensorRT's provider it builds the engines a second time. The profiler's
file is chrome trace events; read here from onnxruntime 1.31.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from device_agents.contract import JobSpec
from device_agents.errors import DeviceError
from device_agents.ort.placement import Node, Tensor
from device_agents.ort.providers import Choice, optimization
from device_agents.worker import die_with

_SUFFIX = "_kernel_time"
_SCRIPT = "import sys; sys.path.insert(0, sys.argv[1]); from device_agents.ort import look; look.main(int(sys.argv[2]))"


def look(model: Path, choice: Choice, spec: JobSpec, providers: Sequence[Any]) -> List[Node]:
    """The nodes of one run on zeros, with the providers that the job will have but for their stream.

    Errors: DeviceError `fallback_unknown` when that process fails.
    """
    home = Path(__file__).parents[2]  # the agent's zip or folder
    request = {
        "model": str(model),
        "providers": providers,
        "free_dims": spec.free_dims,
        "optimization": optimization(choice, spec),
        "inputs": {tensor.name: (tensor.dtype, tensor.shape) for tensor in spec.inputs},
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, str(home), str(os.getpid())],
            input=json.dumps(request).encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=spec.deadline_s, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _unknown(f"the look took longer than {spec.deadline_s:g} s") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _unknown(lines[-1][:300] if lines else f"it ended with {done.returncode}")
    rows = json.loads(done.stdout.decode().strip().rpartition("\n")[2])
    return [Node(row[0], row[1], row[2], _tensors(row[3]), _tensors(row[4])) for row in rows]


def main(worker: int) -> None:
    """In the process of its own: the request on stdin, the nodes as JSON on the last line of stdout.

    It dies with the worker, whose lock is what keeps others off the accelerator.
    """
    die_with(worker)
    import numpy as np
    import onnxruntime

    request = json.loads(sys.stdin.buffer.read())
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, request["optimization"])
    for name, size in request["free_dims"].items():
        options.add_free_dimension_override_by_name(name, size)
    with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder, "profile"))
        chosen = [tuple(each) if isinstance(each, list) else each for each in request["providers"]]
        if len(chosen) > 1 and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        session = onnxruntime.InferenceSession(request["model"], options, providers=chosen, enable_fallback=0)
        session.run(None, {name: np.zeros(shape, kind) for name, (kind, shape) in request["inputs"].items()})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    print("", json.dumps(read(events)), sep=os.linesep)


def read(events: Sequence[Mapping[str, Any]]) -> List[Node]:
    """The nodes in a profile of ONNX Runtime (chrome trace events), each once, in the order of running."""
    found: Dict[Tuple[str, str, str], Node] = {}
    for event in events:
        name, detail = str(event.get("name", "")), event.get("args") or {}
        if event.get("cat") != "Node" or not name.endswith(_SUFFIX) or "provider" not in detail:
            continue
        operator = str(detail.get("op_name", "?"))
        label = name[: -len(_SUFFIX)] or f"node {detail.get('node_index', '?')}"
        node = Node(
            label,
            operator,
            str(detail["provider"]),
            _typed(detail.get("input_type_shape")),
            _typed(detail.get("output_type_shape")),
        )
        found.setdefault((label, operator, str(detail.get("node_index", ""))), node)
    return list(found.values())


def _typed(told: Any) -> Optional[Tuple[Tensor, ...]]:
    """`[{"float": [2, 3]}, {"int64": []}]` as types and counts."""
    if not isinstance(told, list):
        return None
    found: List[Tensor] = []
    for tensor in told:
        for kind, shape in tensor.items():
            size = 1
            for dim in shape:
                size *= int(dim)
            found.append((str(kind), size))
    return tuple(found)


def _tensors(rows: Optional[Sequence[Sequence[Any]]]) -> Optional[Tuple[Tensor, ...]]:
    return None if rows is None else tuple((str(kind), int(size)) for kind, size in rows)


def _unknown(reason: str) -> DeviceError:
    message = f"it is not known which nodes run on the processor: {reason}"
    fix = "mend that, or pass the option allow_fallback=true to measure all the same"
    return DeviceError("fallback_unknown", "load", message, fix=fix)
