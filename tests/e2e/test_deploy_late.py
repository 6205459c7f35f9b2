"""A load with a time-out, through the real command: late answers are counted, told, and none is left out."""

from __future__ import annotations

from pathlib import Path

from tests.operator import FAST, Operator


def test_late_answers_are_told_wherever_the_figures_stand(operator: Operator, tiny_onnx: Path) -> None:
    shares = []
    for timeout, told in (("1us", "0.001ms"), ("60s", "60000ms")):
        asked = ("--pattern", f"rate:100,poisson,timeout:{timeout}", "--precision", "fp32")
        answer = operator.run("deploy", *FAST, tiny_onnx, *asked)
        assert answer.code in (0, 4), answer.err
        (row,) = [one for one in operator.measurements() if one["pattern"] == f"rate:100,poisson,timeout:{told}"]
        shares.append(row["late_answers"]["share"])
        assert row["samples"] == row["counts"]["arrivals"] - row["counts"]["waiting"]
        assert f"of {row['samples']} answers later than" in answer.out + answer.err
        assert "late answers" in operator.run("results", "show", row["id"]).out
    assert shares == [1.0, 0.0]
    queried = operator.run("results", "query", "SELECT late_share FROM measurements ORDER BY 1", "--json").json
    assert [next(iter(one.values())) for one in queried["rows"]] == [0.0, 1.0]


def test_a_time_out_without_a_rate_is_refused(operator: Operator, tiny_onnx: Path) -> None:
    refused = operator.run("deploy", *FAST, tiny_onnx, "--pattern", "serial,timeout:50ms")
    assert refused.code == 2
    assert "--pattern: unknown load pattern 'serial,timeout:50ms'" in refused.err
