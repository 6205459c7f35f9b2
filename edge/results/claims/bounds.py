"""What a claimed figure could be at all: the least that physics leaves on the claimed device, the most that a network
can fill."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from device_agents.contract import Precision
from edge.results.energy import NotKnown
from edge.results.floor import floor_of
from edge.results.store import Measurement
from export.artifact import GraphFacts, Store
from profiles.claim_schema import Claim, Conditions
from profiles.errors import ConfigError, EdgebenchError
from profiles.load import device_profile, model_profile

_BYTES = {Precision.FP32: 4, Precision.FP16: 2, Precision.INT8: 1}
_RUNTIME_BYTES = 2e9
"""What is granted to a framework beside the network's tensors: its libraries, the GPU's context, scratch memory."""

_ANY_BATCH = 10**6
"""What a claim of a throughput may be at that tells no batch: the weights are then read for nothing."""

Costs = Callable[[Conditions], "GraphFacts | NotKnown"]


@dataclass(frozen=True)
class Bounds:
    """In the measure's own unit: no figure can be below `least`, none is plausible above `most`, or possible, where it
    is `physical`; `how` says what they are made of."""

    how: str
    least: float | None = None
    most: float | None = None
    physical: bool = False


def bounds(claim: Claim, costs: Costs) -> Bounds | NotKnown:
    """Of a claim's figure under its conditions, or why there are none."""
    if claim.measure.startswith("latency_"):
        return _of_time(claim, costs, is_rate=False)
    if claim.measure == "throughput_images_per_s":
        return _of_time(claim, costs, is_rate=True)
    if claim.measure == "memory_bytes":
        return _of_memory(claim.conditions, costs)
    return NotKnown("no physics bounds it")


def called_out(claim: Claim, found: Bounds | NotKnown) -> str:
    """What is impossible or absurd about the claimed figure; "" where nothing is."""
    if isinstance(found, NotKnown):
        return ""
    low, high = claim.own
    if found.least is not None and high < found.least:
        return f"impossible: {high / found.least:.2g} of the least that there can be ({found.how})"
    if found.most is not None and low > found.most:
        what = "impossible" if found.physical else "absurd"
        can_be = "can be" if found.physical else "is plausible"
        return f"{what}: {low / found.most:.2g} times the most that {can_be} ({found.how})"
    return ""


def cost_of_profile(wanted: Conditions) -> GraphFacts | NotKnown:
    """Of a model of ours, at its own size and in the claimed precision."""
    try:
        profile = model_profile(wanted.model or "")
    except ConfigError:
        return NotKnown(f"{wanted.model} is no model profile")
    shape = profile.input.shape
    if profile.cost is None or wanted.sides not in (None, shape[-2:]):
        return NotKnown(f"what {wanted.model} costs at that size is not in its profile")
    size = _BYTES[wanted.precision or Precision.FP32]
    cost = profile.cost
    return GraphFacts(
        cost.macs, cost.parameters, 0, 0, 0, size * cost.parameters, size * math.prod(shape), 0,
        activation_bytes=size * cost.activations,
    )  # fmt: skip


class Networks:
    """What networks cost: ours by their profiles, others by the artifacts of measurements, as far as they are here."""

    def __init__(self, artifacts: Store, measurements: Iterable[Measurement]) -> None:
        self._artifacts = artifacts
        self._measurements = tuple(measurements)

    def __call__(self, wanted: Conditions) -> GraphFacts | NotKnown:
        found = cost_of_profile(wanted)
        for one in self._measurements if isinstance(found, NotKnown) else ():
            cell = one.cell
            alike = cell.model == wanted.model and wanted.precision in (None, cell.precision)
            if alike and wanted.sides in (None, cell.size):
                with contextlib.suppress(EdgebenchError):
                    return self._artifacts.get(one.origin.artifact).graph
        return found


def _of_time(claim: Claim, costs: Costs, *, is_rate: bool) -> Bounds | NotKnown:
    wanted = claim.conditions
    if wanted.device is None:
        return NotKnown("no device is named")
    profile = device_profile(wanted.device)
    precision, mode = wanted.precision or profile.precision, wanted.power_mode or profile.power_mode
    facts = costs(replace(wanted, precision=precision))
    if isinstance(facts, NotKnown):
        return facts
    if not profile.peaks:
        return NotKnown(f"the profile {profile.name} has no published peak")
    batch = wanted.batch or (_ANY_BATCH if is_rate else 1)
    least = floor_of(facts, batch, precision, profile.peaks, mode)
    if isinstance(least, NotKnown):
        return least
    what = f"{facts.macs or 0:,} multiply-adds" if least.bound == "compute" else f"{facts.least_bytes(batch):,} bytes"
    per = " a sample" if least.bound == "compute" else ""
    at = f"batch {batch:,}" + ("" if wanted.batch else ", as none is claimed")
    assumed = "" if wanted.precision else f" in {precision}, as no precision is claimed,"
    how = f"{what}{per} at {at}{assumed} over the peak of {profile.name}: {least.ns / 1e6:.3g} ms"
    if is_rate:
        return Bounds(how, most=batch / (least.ns / 1e9), physical=True)
    return Bounds(how, least=least.ns / 1e6)


def _of_memory(wanted: Conditions, costs: Costs) -> Bounds | NotKnown:
    """Of a claim without a precision, the least has the smallest numbers and the most the largest; without a batch
    there is no most."""
    small = costs(replace(wanted, precision=wanted.precision or Precision.INT8))
    large = costs(replace(wanted, precision=wanted.precision or Precision.FP32))
    if isinstance(small, NotKnown):
        return small
    everything = None if isinstance(large, NotKnown) or wanted.batch is None else large.most_bytes(wanted.batch)
    if everything is None:
        return Bounds(f"weights are {small.weight_bytes / 1e9:.2g} GB", least=small.weight_bytes)
    how = (
        f"weights and every activation at batch {wanted.batch}, none freed, are {everything / 1e9:.2f} GB; "
        f"{_RUNTIME_BYTES / 1e9:.0f} GB are granted to the runtime"
    )
    return Bounds(how, least=small.weight_bytes, most=everything + _RUNTIME_BYTES)
