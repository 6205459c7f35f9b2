"""The rows of the decision matrix: what of a measurement stands in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from device_agents.contract import Precision
from edge.results.claims.measures import MEASURED, Figure, around, ratio
from edge.results.claims.reading import Measurements, Read
from edge.results.decision.environments import COMPILED, identity_of
from edge.results.energy import NotKnown
from edge.results.likeness import request_key
from edge.results.verdict import Status

Of = Callable[[Read, Measurements], "Figure | NotKnown"]


@dataclass(frozen=True)
class Row:
    """`ways` are those that have it, all where it is empty; `needs` is in what a request differs that brings it."""

    name: str
    unit: str
    of: Of
    ways: tuple[str, ...] = ()
    needs: Mapping[str, Any] = field(default_factory=dict)


def _measured(measure: str) -> Of:
    def of(read: Read, _: Measurements) -> Figure | NotKnown:
        return MEASURED[measure](read)

    return of


def _compile_s(read: Read, _: Measurements) -> Figure | NotKnown:
    """Of the processes that found nothing compiled before."""
    cold = [
        process.seconds["compile"]
        for process in read.measurement.result.processes
        if "compile" in process.seconds and str(process.state.get("compile_cache")) != "warm"
    ]
    return around(cold) if cold else NotKnown("no process compiled anew")


def _int8(read: Read, among: Measurements) -> Figure | NotKnown:
    """Its time over that of the same request in the matrix's precision, in one environment."""
    wanted = request_key(replace(read.measurement.cell, precision=Precision.INT8), ())
    version = read.measurement.result.switches.get("runtime_version")
    for one in among.all:
        alike = request_key(one.cell, ()) == wanted and identity_of(one) == identity_of(read.measurement)
        if alike and one.result.switches.get("runtime_version") == version:
            quantised = among.read(one)
            if quantised is not None and quantised.verdict.status is not Status.INVALID:
                return ratio(read, quantised)
    return NotKnown("INT8 was not measured")


MEDIAN = "median"

ROWS: tuple[Row, ...] = (
    Row(MEDIAN, "ms", _measured("latency_median_ms")),
    Row("p99", "ms", _measured("latency_p99_ms")),
    Row("throughput", "images/s", _measured("throughput_images_per_s")),
    Row("compiling", "s", _compile_s, ways=(COMPILED,)),
    Row("energy", "J an image", _measured("energy_j_per_image")),
    Row("INT8", "x the time", _int8, ways=("in onnxruntime", "in tensorrt", "in trtexec"),
        needs={"precision": Precision.INT8}),
)  # fmt: skip
