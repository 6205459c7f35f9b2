"""A cold deployment at a shell: how long until the first answer, what memory, what it costs, wherever results are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operator import BRIEF, Operator

COMMAND = ("--backend", "onnxruntime", "--device", "local", "--quick", "--processes", "2")


@pytest.fixture
def priced(operator: Operator) -> Operator:
    pytest.importorskip("onnxruntime", reason="install edgebench[local]")
    (operator.home / "fleet.toml").write_text('[devices.local]\nprice_per_hour = 0.36\ncurrency = "EUR"\n')
    operator.prelude = BRIEF
    return operator


def test_a_cold_start_its_memory_and_its_cost_are_told_everywhere(priced: Operator, heavy_onnx: Path) -> None:
    answer = priced.run("deploy", heavy_onnx, *COMMAND, "--cold", timeout=180)
    assert answer.code in (0, 4), answer.err
    (made,) = priced.measurements()
    assert made["cold"] is True
    first, second = made["loading"]["processes"]
    assert first["total_s"] == pytest.approx(sum(first["parts"].values()))
    assert list(first["parts"]) == ["bind", "first_inference", "import", "interpreter", "load"]  # JSON is sorted
    readings = [one["state"] for one in priced.stored(made["id"])["result"]["processes"]]
    cold, warm = (one["page_cache_share_model"]["value"] for one in readings)
    assert cold == 0.0
    assert warm == pytest.approx(1.0, abs=0.05), "a busy machine may take a few pages back"
    assert first["resident"] < 1
    assert second["page_cache"] == "warm"
    assert made["memory"]["process"] > heavy_onnx.stat().st_size, "it has loaded the model"
    assert made["cost"]["per_million_images"] == pytest.approx(0.36 / 3600 / made["throughput_per_s"] * 1e6)

    shown = priced.run("results", "show", made["id"][:8]).out
    assert "cold start" in shown
    assert "to the first answer s" in shown
    assert "memory by stage" in shown
    assert "at 0.36 EUR an hour (fleet.toml)" in shown
    pytest.importorskip("duckdb", reason="pip install 'edgebench[query]'")
    columns = "cold, first_answer_warm_s, peak_memory_bytes, cost_per_million_images, currency"
    (row,) = priced.run("results", "query", f"SELECT {columns} FROM measurements", "--json").json["rows"]
    assert row["cold"] is True
    assert row["first_answer_warm_s"] == pytest.approx(second["total_s"])
    assert (row["peak_memory_bytes"], row["currency"]) == (made["memory"]["process"], "EUR")
    assert row["cost_per_million_images"] == pytest.approx(made["cost"]["per_million_images"])
