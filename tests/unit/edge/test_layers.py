"""Shares of precision over the layers that compute, and which layers cost most."""

from __future__ import annotations

import pytest

from device_agents.contract import Layer
from edge.results.layers import computes, precision_shares, slowest


@pytest.mark.parametrize(
    "kind", ["Reformat", "NoOp", "Shuffle", "Constant", "DeviceToShapeHost", "train_station", "Signal", "Concatenation"]
)
def test_what_only_moves_data_does_not_compute(kind: str) -> None:
    assert not computes(Layer("a", "fp16", kind))


@pytest.mark.parametrize("kind", ["CaskConvolution", "kgen", "gemm", "PointWiseV2", "SoftMax", "MatrixMultiply", ""])
def test_what_calculates_does(kind: str) -> None:
    assert computes(Layer("a", "fp32", kind))
    assert not computes(Layer("a", "int64", kind))


def test_shares_are_of_time_where_there_are_times_and_of_layers_where_there_are_none() -> None:
    timed = [
        Layer("a", "fp16", time_ns=300),
        Layer("b", "fp32", time_ns=100),
        Layer("r", "fp32", "Reformat", time_ns=600),
    ]
    by_time = precision_shares(timed)
    assert by_time is not None
    assert (by_time.by_time, by_time.passed_over, by_time.of("fp16"), by_time.of("fp32")) == (True, 1, 0.75, 0.25)
    assert str(by_time) == "fp16 75% of time (1), fp32 25% of time (1)"
    by_count = precision_shares([Layer("a", "int8"), Layer("b", "int8"), Layer("c", "mixed"), Layer("d", "unknown")])
    assert by_count is not None
    assert (by_count.by_time, by_count.of("int8"), by_count.unclear) == (False, 0.5, 0.5)


def test_shares_add_up_to_the_whole_and_nothing_has_none() -> None:
    layers = [Layer(str(index), precision, time_ns=index) for index, precision in enumerate(["fp16", "fp32", "x"] * 7)]
    shares = precision_shares(layers)
    assert shares is not None
    assert sum(share.share for share in shares.shares) == pytest.approx(1.0)
    assert sum(share.layers for share in shares.shares) == 21
    assert precision_shares([]) is None
    assert precision_shares([Layer("r", "fp16", "Reformat")]) is None


def test_the_slowest_come_first_with_their_share_of_all_the_time() -> None:
    layers = [Layer(str(index), "fp16", time_ns=index) for index in range(1, 21)]
    found = slowest([*layers, Layer("untimed", "fp32"), Layer("move", "fp32", "Reformat", time_ns=90)])
    assert [layer.name for layer, _ in found] == ["move", *(str(index) for index in range(20, 11, -1))]
    assert found[0][1] == pytest.approx(90 / 300)
    assert slowest([Layer("untimed", "fp32")]) == []
