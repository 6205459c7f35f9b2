"""Which nodes of a graph fell back to the processor, and whether that matters.

A node on the processor is shape work when it handles no data of the model: whole numbers and booleans, or a handful
of floats (the scales of a Resize) that were not fetched from the GPU. CUDA's provider leaves such nodes to the
processor on purpose (onnxruntime's fallback_cpu_capability.cc). Everything else there is compute: it reads or makes
the model's data, so that the data crosses twice and the processor's speed is what gets timed.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from device_agents.contract import Scalar
from device_agents.errors import DeviceError
from device_agents.ort import providers

RECORD = "session.record_ep_graph_assignment_info"

_READS_NO_DATA = ("Shape", "Size")
_FETCH = "MemcpyToHost"
_COPIES = (_FETCH, "MemcpyFromHost")
_WHOLE = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "string")
_FEW_FLOATS = 8  # one scale for each axis
_SMALL = 1_024  # more elements than any shape has
_NAMED = 5

Tensor = Tuple[str, int]
"""Its type as the profiler names it, and how many elements it has."""


class Node(NamedTuple):
    """A node as it ran. `reads` and `writes` are None where this version of the profiler does not tell them."""

    name: str
    operator: str
    provider: str
    reads: Optional[Tuple[Tensor, ...]]
    writes: Optional[Tuple[Tensor, ...]]


class Placement(NamedTuple):
    """Nodes by provider; those on the processor, as `name (Operator)`, parted into compute and shape work."""

    counts: Dict[str, int]
    compute: Tuple[str, ...]
    shape_work: Tuple[str, ...]
    second_choice: Tuple[str, ...]
    """On a GPU, but not by the provider that was asked for: what TensorRT left to CUDA."""


def judge(nodes: Sequence[Node], wanted: str) -> Placement:
    """`wanted` is the provider that was asked for, by its long name."""
    counts: Dict[str, int] = {}
    for node in nodes:
        counts[node.provider] = counts.get(node.provider, 0) + 1
    fetched = any(node.operator == _FETCH and _floats(node.reads) for node in nodes)
    fallen = [node for node in nodes if node.provider == providers.CPU != wanted]
    compute = [node for node in fallen if not _is_shape_work(node, fetched)]
    others = [n for n in nodes if n.provider not in (wanted, providers.CPU) and n.operator not in _COPIES]
    return Placement(
        counts,
        _labels(compute),
        _labels([node for node in fallen if node not in compute]),
        _labels(others),
    )


def refuse_compute(found: Placement, provider: str, *, allowed: bool) -> None:
    """Errors: DeviceError `fell_back` when compute runs on the processor, or nothing where it was asked for."""
    if allowed:
        return
    if found.compute:
        count = len(found.compute)
        message = (
            f"{count} of {sum(found.counts.values())} nodes compute on the processor, not with {provider}: "
            f"{first(found.compute)}"
        )
        fix = "choose operators or a precision that the provider has, or pass the option allow_fallback=true"
        raise DeviceError("fell_back", "load", message, fix=fix)
    if not found.counts.get(providers.NAMES[provider]):
        message = f"no node runs with {provider}; by provider: {found.counts}"
        raise DeviceError("fell_back", "load", message, fix="ask for provider=cuda, or pass allow_fallback=true")


def switches(found: Placement) -> Dict[str, Scalar]:
    """The placement as a result shows it."""
    told: Dict[str, Scalar] = {f"nodes_{_short(name)}": count for name, count in sorted(found.counts.items())}
    for name, labels in (
        ("fallback_compute", found.compute),
        ("fallback_shape_work", found.shape_work),
        ("fallback_to_cuda", found.second_choice),
    ):
        told[name] = len(labels)
        if labels:
            told[f"{name}_nodes"] = first(labels)
    return told


def first(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return ", ".join(labels[:_NAMED]) + more


def assigned(session: Any) -> Optional[Placement]:
    """Where every node runs, of a session that was made with RECORD: None when that does not settle it, because nodes
    are on the processor, or this onnxruntime cannot tell (before 1.24)."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    counts: Dict[str, int] = {}
    others: List[str] = []
    wanted = session.get_providers()[0]
    for part in session.get_provider_graph_assignment_info():
        nodes = part.get_nodes()
        counts[part.ep_name] = counts.get(part.ep_name, 0) + len(nodes)
        if part.ep_name != wanted:
            others += [f"{node.name} ({node.op_type})" for node in nodes]
    if not counts or counts.get(providers.CPU):
        return None
    return Placement(counts, (), (), tuple(others))


def _is_shape_work(node: Node, fetched: bool) -> bool:
    if node.reads is None or node.writes is None:
        return node.operator in _READS_NO_DATA
    tensors = node.writes if node.operator in _READS_NO_DATA else (*node.reads, *node.writes)
    if any(size > _SMALL for _, size in tensors):
        return False
    floats = _floats(tensors)
    return not floats or (not fetched and max(floats) <= _FEW_FLOATS)


def _floats(tensors: Optional[Sequence[Tensor]]) -> List[int]:
    return [size for kind, size in tensors or () if kind not in _WHOLE]


def _labels(nodes: Sequence[Node]) -> Tuple[str, ...]:
    return tuple(f"{node.name} ({node.operator})" for node in nodes)


def _short(provider: str) -> str:
    return next((short for short, name in providers.NAMES.items() if name == provider), provider)
