"""The rows of the decision matrix: what of a measurement stands in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from device_agents.contract import LoadPattern, Precision
from edge.planning.plan import Cell as Asked
from edge.results.claims.measures import MEASURED, Figure, Of, around, cold_s, cost, ratio, top1, warm_s
from edge.results.claims.reading import Measurements, Read
from edge.results.decision.environments import COMPILED, identity_of
from edge.results.energy import NotKnown
from edge.results.likeness import request_key
from edge.results.verdict import Status
from export.models import parse_model, takes_one_size
from profiles.claim_schema import OVERHEAD
from profiles.errors import ConfigError


@dataclass(frozen=True)
class Beside:
    """A figure that another measurement brings than the one that stands in the other rows; `reads` are those that it is
    made of, that one last."""

    figure: Figure
    reads: tuple[Read, ...]


@dataclass(frozen=True)
class Row:
    """`ways` are those that have it, all where it is empty; `needs` is in what a request differs that brings it;
    `never` says why a request has none whatever is measured, "" where it may have one. What `is_difference` may be
    about 0 or below, and has no ratio. What is `of_any_size` is no row of a request for one size."""

    name: str
    unit: str
    of: Callable[[Read, Measurements], Figure | NotKnown | Beside]
    ways: tuple[str, ...] = ()
    needs: Mapping[str, Any] = field(default_factory=dict)
    never: Callable[[Asked], str] = lambda _: ""
    is_difference: bool = False
    of_any_size: bool = False


def _compile_s(read: Read, _: Measurements) -> Figure | NotKnown:
    """Of the processes that found nothing compiled before."""
    cold = [
        process.seconds["compile"]
        for process in read.measurement.result.processes
        if "compile" in process.seconds and str(process.state.get("compile_cache")) != "warm"
    ]
    return around(cold) if cold else NotKnown("no process compiled anew")


def _drawn(read: Read, among: Measurements) -> Beside | NotKnown:
    """The overhead of drawn sizes of the same request, of the newest that has one, in percent."""
    cell = read.measurement.cell
    wanted, why = request_key(cell, _OF_DRAWN), "drawn sizes were not measured"
    for one in among.like(read.measurement):
        drawn = one.measurement.cell
        alike = request_key(drawn, _OF_DRAWN) == wanted and _same(one, read)
        if drawn.pattern.sizes and alike and drawn.options.get("mode") == cell.options.get("mode"):
            found = _scaled(MEASURED[OVERHEAD], 100.0)(one, among)
            if isinstance(found, Figure):
                return Beside(found, (one,))
            why = found.reason
    return NotKnown(why)


def _of_one_size(asked: Asked) -> str:
    try:
        ref = parse_model(asked.model)
    except ConfigError:  # the operator's own, which is not there
        return ""
    return f"{asked.model} takes images of one size" if takes_one_size(ref) else ""


def _same(one: Read, other: Read) -> bool:
    """Whether both were measured in one environment."""
    versions = [read.measurement.result.switches.get("runtime_version") for read in (one, other)]
    return versions[0] == versions[1] and identity_of(one.measurement) == identity_of(other.measurement)


def _int8(read: Read, among: Measurements) -> Beside | NotKnown:
    """Its time over that of the same request in the matrix's precision, in one environment."""
    wanted = request_key(replace(read.measurement.cell, precision=Precision.INT8), ())
    for one in among.like(read.measurement):
        sound = one.verdict.status is not Status.INVALID
        if sound and request_key(one.measurement.cell, ()) == wanted and _same(one, read):
            found = ratio(read, one)
            return found if isinstance(found, NotKnown) else Beside(found, (read, one))
    return NotKnown("INT8 was not measured")


def _scaled(of: Of, factor: float) -> Of:
    """In another unit."""

    def told(read: Read, among: Measurements) -> Figure | NotKnown:
        found = of(read, among)
        if isinstance(found, NotKnown):
            return found
        low, high = (None if end is None else factor * end for end in (found.low, found.high))
        return Figure(factor * found.value, low, high, found.approximate, found.note)

    return told


MEDIAN = "median"
_SIZES = LoadPattern.parse("sizes:224-512")
_OF_DRAWN = ("pattern", "size", "options", "static")

EVERYTHING = Row("everything", "", lambda _read, _among: NotKnown("not measured"))
"""Of a way in which nobody ran in this environment."""

ROWS: tuple[Row, ...] = (
    Row(MEDIAN, "ms", MEASURED["latency_median_ms"]),
    Row("p99", "ms", MEASURED["latency_p99_ms"]),
    Row("throughput", "images/s", MEASURED["throughput_images_per_s"]),
    Row("compiling", "s", _compile_s, ways=(COMPILED,)),
    Row("loading, cold", "s", cold_s, needs={"cold": True}),
    Row("loading, warm", "s", warm_s),
    Row("memory", "MB", _scaled(MEASURED["memory_bytes"], 1e-6)),
    Row("drawn sizes", "% more", _drawn, needs={"pattern": _SIZES}, never=_of_one_size, is_difference=True,
        of_any_size=True),
    Row("top-1", "% right", _scaled(top1, 100.0)),
    Row("cost", "a million images", cost),
    Row("energy", "J an image", MEASURED["energy_j_per_image"]),
    Row("INT8", "x the time", _int8, ways=("in onnxruntime", "in tensorrt", "in trtexec"),
        needs={"precision": Precision.INT8}),
)  # fmt: skip
