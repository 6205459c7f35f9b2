"""The physical floor: what published peaks leave, by operations and by bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from device_agents.contract import LoadPattern, Precision
from edge.results.energy import NotKnown
from edge.results.floor import COMPUTE, MEMORY, Floor, floor
from export.artifact import GraphFacts
from profiles.load import device_profile
from profiles.schema import Peak
from tests.report_lab import Made

GRAPH = GraphFacts(10**9, 1, 1, 0, 18, weight_bytes=100_000_000, input_bytes=500_000, output_bytes=500_000)
PEAK = Peak(fp16_tflops=10.0, memory_gb_s=100.0, source="a datasheet", last_cache_mb=1.0)


def of(peak: Peak = PEAK, graph: GraphFacts = GRAPH, **fields: Any) -> Floor | NotKnown:
    return floor(Made("m", processes=1, **fields).measurement, graph, (peak,))


def test_of_few_operations_is_the_time_to_read_what_no_cache_holds() -> None:
    found = of()
    assert isinstance(found, Floor)
    assert (found.bound, found.ns) == (MEMORY, pytest.approx(1e6))  # 101 MB less 1 MB, at 100 GB/s


def test_grows_with_the_operations_of_a_batch() -> None:
    found = of(batch=32)
    assert isinstance(found, Floor)
    assert (found.bound, found.ns) == (COMPUTE, pytest.approx(6.4e6))  # 2 x 32 GMAC at 10 TFLOP/s


def test_leaves_memory_out_where_the_cache_is_not_known() -> None:
    found = of(replace(PEAK, last_cache_mb=None))
    assert isinstance(found, Floor)
    assert (found.bound, found.ns) == (COMPUTE, pytest.approx(2e5))
    assert "cache" in found.memory


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"peak": replace(PEAK, power_mode="15W")}, "power mode MAXN"),
        ({"graph": replace(GRAPH, macs=None, unknown={"macs": "a loop of unknown length"})}, "a loop"),
        ({"precision": Precision.INT8}, "INT8"),
        ({"pattern": LoadPattern.parse("sizes:224-512")}, "sizes were drawn"),
    ],
)
def test_is_not_known_without_what_it_is_made_of(changes: dict[str, Any], why: str) -> None:
    found = of(**changes)
    assert isinstance(found, NotKnown)
    assert why in found.reason


def test_of_an_orin_in_its_highest_mode_is_known() -> None:
    made = Made("m", processes=1).measurement
    assert isinstance(floor(made, GRAPH, device_profile("jetson-agx-orin-64gb").peaks), Floor)
