"""What an engine's layers say: which share of the computing is done in which precision, and which layers cost most.

Layers that only move or name data do not count: they are FP32, INT32 or nothing in any engine, and prove nothing.
Where layers were timed the share is of time, else of their number.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from device_agents.contract import JobResult, Layer

# The inspector's LayerType, letters and digits only: reformatting, shapes, constants, scheduling. TensorRT's Shuffle,
# Slice, Concatenation and Gather copy, whatever their type.
_BOOKKEEPING = (
    "reformat", "noop", "shuffle", "reshape", "transpose", "shape", "deviceshape", "deviceto", "hostto", "constant",
    "copy", "memcpy", "cast", "identity", "concat", "slice", "gather", "squeeze", "unsqueeze", "signal", "wait",
    "trainstation", "assertion",
)  # fmt: skip
_WHOLE_NUMBERS = ("int32", "int64", "uint8", "bool")  # the types of shapes and indices
_UNCLEAR = ("mixed", "unknown", "")


@dataclass(frozen=True)
class Share:
    """Of the computing layers: how many have this precision, and their share of the whole, of 1."""

    precision: str
    layers: int
    share: float


@dataclass(frozen=True)
class PrecisionShares:
    """`by_time`: shares are of time; otherwise of the number of layers. `passed_over` layers do not compute."""

    shares: tuple[Share, ...]
    by_time: bool
    passed_over: int

    def of(self, *precisions: str) -> float:
        return sum(share.share for share in self.shares if share.precision in precisions)

    @property
    def unclear(self) -> float:
        """The share of layers whose precision the runtime does not tell, or that compute in several."""
        return self.of(*_UNCLEAR)

    def __str__(self) -> str:
        unit = "of time" if self.by_time else "of layers"
        told = [f"{share.precision} {share.share:.0%} {unit} ({share.layers})" for share in self.shares]
        return ", ".join(told)


def layers_of(result: JobResult) -> tuple[Layer, ...]:
    """The layers that the profiling run told, else those that the inspector told when the engine was built."""
    return result.layers or (result.engine.report.layers if result.engine else ())


def precision_shares(layers: Sequence[Layer]) -> PrecisionShares | None:
    """None where no layer computes, or there are none."""
    computing = [layer for layer in layers if computes(layer)]
    if not computing:
        return None
    total_ns = sum(layer.time_ns or 0 for layer in computing)
    weights: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for layer in computing:
        weights[layer.precision] += (layer.time_ns or 0) / total_ns if total_ns else 1 / len(computing)
        counts[layer.precision] += 1
    shares = [Share(name, counts[name], weight) for name, weight in weights.items()]
    shares.sort(key=lambda share: (-share.share, share.precision))
    return PrecisionShares(tuple(shares), bool(total_ns), len(layers) - len(computing))


def computes(layer: Layer) -> bool:
    kind = re.sub(r"[^a-z0-9]", "", layer.kind.lower())
    return layer.precision not in _WHOLE_NUMBERS and not kind.startswith(_BOOKKEEPING)


def slowest(layers: Sequence[Layer], count: int = 10) -> list[tuple[Layer, float]]:
    """The layers that took most time, with their share of all layers' time (those that move data included)."""
    timed = [layer for layer in layers if layer.time_ns]
    total_ns = sum(layer.time_ns or 0 for layer in timed)
    timed.sort(key=lambda layer: -(layer.time_ns or 0))
    return [(layer, (layer.time_ns or 0) / total_ns) for layer in timed[:count]]
