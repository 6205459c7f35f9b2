"""Results to other tools and back, through the real command, of a real measurement on this machine."""

from __future__ import annotations

import json
from pathlib import Path

from tests.operator import BRIEF, Operator

RECORDED = Path(__file__).parents[1] / "unit" / "agent" / "recorded"


def test_a_measurement_goes_to_another_tool_and_comes_back_beside_itself(operator: Operator, tiny_onnx: Path) -> None:
    operator.prelude = BRIEF
    made = operator.run("deploy", tiny_onnx, "--quick", "--json").json["measurements"][0]
    out = operator.run(
        "results", "export", "--format", "optimum-benchmark", "--out", "benchmark.json", made["id"][:8], "--json"
    )
    assert out.code == 0, out.err
    assert out.json["measurements"] == [made["id"]]
    back = operator.run(
        "results", "import", "benchmark.json", "--as", "optimum-benchmark", "--device", "local", "--json"
    )
    assert back.code == 0, back.err
    theirs = back.json["measurement"]
    for name in ("median_ms", "mean_ms", "samples", "batch", "precision", "model"):
        assert theirs[name] == made[name], name
    assert (theirs["verdict"], [finding["rule"] for finding in theirs["findings"]]) == ("UNJUDGED", ["foreign"])
    listed = operator.run("results", "list").out
    assert "onnxruntime (foreign)" in listed
    again = operator.run("results", "import", "benchmark.json", "--as", "optimum-benchmark", "--device", "local")
    assert "there already" in again.out
    assert len(operator.measurements()) == 2


def test_old_numbers_of_trtexec_stand_beside_ours(operator: Operator) -> None:
    path = RECORDED / "trtexec-10.3.0-orin-summary.txt"
    answer = operator.run(
        "results", "import", path, "--as", "trtexec-stdout", "-d", "orin-1", "--model", "resnet50", "--batch", 1,
        "--precision", "fp16",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    (row,) = operator.measurements()
    shown = operator.run("results", "show", row["id"][:8])
    assert "trtexec 10.3.0, from trtexec-10.3.0-orin-summary.txt" in shown.out
    table = operator.run("results", "export", "--format", "markdown", "--out", "-", row["id"])
    assert "| orin\\-1 | resnet50 |" in table.out


def test_what_cannot_be_is_one_sentence(operator: Operator) -> None:
    path = RECORDED / "times-derived.json"
    refused = operator.run("results", "import", path, "--as", "trtexec-times", "-d", "orin-1", "--json")
    assert refused.code == 2
    assert json.loads(refused.out)["error"]["fix"] == "say it with --model"
    assert len(refused.err.strip().splitlines()) == 1
    nothing = operator.run("results", "export", "--format", "markdowm", "--out", "-", "abc")
    assert (nothing.code, "did you mean 'markdown'" in nothing.err) == (2, True)
