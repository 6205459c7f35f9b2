"""`edgebench report --claims` on what was really measured, with a claims file of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.operator import BRIEF, SOUND, Operator
from tests.report_lab import Made, add

pytestmark = pytest.mark.leaves("the browser serves all tests of the module")

FILE = """
[source]
title = "Release 1"
url = "https://example.com/release-1"
read = "2026-11-26"

[[claims]]
id = "as-it-was"
sentence = "<b>tiny</b> is as fast as in release 1"
measure = "latency_mean_ms"
value = {mean}
unit = "ms"
tolerance = 0.01
conditions = {{ model = "tiny", backends = ["onnxruntime"], precision = "fp32", batch = 8, device = "local" }}

[[claims]]
id = "ten-times"
sentence = "tiny takes ten times as long"
measure = "throughput_images_per_s"
value = {tenth}
unit = "images/s"
conditions = {{ model = "tiny", batch = 8 }}

[[claims]]
id = "on-a-gpu"
sentence = "tiny is faster on an A100"
measure = "latency_p99_ms"
value = [0.001, 0.002]
unit = "ms"
conditions = {{ model = "tiny", batch = 8, precision = "fp16", device = "a100-80gb" }}

[[claims]]
id = "never"
sentence = "nobody has measured this"
measure = "latency_median_ms"
value = 1
unit = "ms"
conditions = {{ model = "resnet18" }}
"""


def test_a_users_own_claims_are_held_against_what_was_measured(operator: Operator, tiny_onnx: Path) -> None:
    measuring = Operator(operator.home, prelude=BRIEF + SOUND)
    asked = ("deploy", tiny_onnx, "--device", "local", "--batch", "8", "--quick", "--json")
    measured = measuring.run(*asked, timeout=180)  # other jobs may hold the processor
    assert measured.code == 0, measured.err
    (one,) = measured.json["measurements"]
    file = operator.home / "release.toml"
    file.write_text(FILE.format(mean=one["mean_ms"], tenth=one["throughput_per_s"] / 10))

    told = operator.run("report", "--claims", "release.toml", "--json").json["claims"]
    found = {claim["id"]: claim for claim in told["claims"]}
    assert {name: claim["verdict"] for name, claim in found.items()} == {
        "as-it-was": "reproduced", "ten-times": "not reproduced", "on-a-gpu": "not comparable", "never": "not measured",
    }  # fmt: skip
    its = found["ten-times"]["against"][0]
    assert its["measurements"] == [one["id"]]
    assert its["ratio"] == pytest.approx(10)
    assert {one["name"] for one in found["on-a-gpu"]["against"][0]["differences"]} == {"device", "precision"}
    assert found["never"]["command"].startswith("edgebench deploy resnet18 ")

    shown = operator.run("report", "--claims", "release.toml")
    assert shown.out.startswith("4 claims of Release 1")
    assert "measured by edgebench deploy resnet18" in shown.out
    assert "| as-it-was |" in operator.run("report", "--claims", "release.toml", "--markdown").out


def test_the_article_needs_no_name_and_no_measurement(operator: Operator) -> None:
    told = operator.run("report", "--claims")
    assert told.code == 0, told.err
    assert "1 not reproduced, 15 not measured" in told.out, "edgebench comes with how many models compile"
    assert "memory-pytorch is absurd" in told.out
    assert operator.run("report", "--matrix").out.startswith("nothing of PyTorch or TensorFlow was measured")
    assert operator.run("report", "--matrix", "--claims", "--json").json["matrices"] == []


def test_of_the_articles_sweep_a_processor_has_every_row(operator: Operator) -> None:
    """Both frameworks as they are and compiled, exported to onnxruntime, in INT8, with drawn sizes; no TensorRT."""
    for framework in ("torch", "tensorflow"):
        pytest.importorskip(framework)
    planned = operator.run("sweep", "article", "--device", "local", "--quick", "--dry-run", "--json")
    assert planned.code == 0, planned.err
    cells = planned.json["cells"]
    rows = {(one["model"], one["batch"], one["backend"], one["options"].get("mode", "")) for one in cells}
    for framework, mode in (("pytorch", "compile"), ("tensorflow", "xla")):
        assert {("resnet50", 1, framework, ""), ("resnet50", 1, framework, mode)} <= rows
        assert {("resnet50", 32, framework, ""), ("vit_b_16", 16, framework, "")} <= rows
    assert {("resnet50", 32, "pytorch", "compile"), ("vit_b_16", 16, "pytorch", "compile")} <= rows
    exported = {(one["framework"], one["precision"]) for one in cells if one["backend"] == "onnxruntime"}
    assert exported == {(name, precision) for name in ("pytorch", "tensorflow") for precision in ("fp32", "int8")}
    drawn = [one for one in cells if one["pattern"]["kind"] == "sizes"]
    assert {(one["backend"], tuple(one["pattern"]["sizes"])) for one in drawn} == {
        (name, (224, 384, 512)) for name in ("pytorch", "tensorflow")
    }
    assert {one["timing"]["processes"] for one in cells} == {1}
    assert "left out on local: tensorrt" in "".join(planned.json["notes"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--claims", "nosuch"], "nosuch: there is no such claims file; name a TOML file, or one of: article"),
        (["--claims", "."], "is a folder, and a claims file is a file"),
        (["--claims", "broken.toml"], "broken.toml, key 'claims[0].unit': 'kg' is no unit of latency_mean_ms"),
        (["--markdown"], "say --html FILE, --live, --claims or --matrix"),
        (["--html", "r.html", "--markdown"], "--markdown is of claims and the matrix"),
        (["--html", "r.html", "--live", "--claims"], "say one of --html FILE and --live"),
        (["--claims", "--device", "nosuch"], "nosuch"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_one_sentence(operator: Operator, arguments: list[str], told: str) -> None:
    text = FILE.format(mean=1, tenth=1).replace('unit = "ms"', 'unit = "kg"', 1)
    (operator.home / "broken.toml").write_text(text)
    answer = operator.run("report", *arguments)
    assert answer.code == 2
    assert told in answer.err
    assert len(answer.err.strip().splitlines()) == 1


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("claiming")
    add(
        home / ".local/share/edgebench",
        Made("aaaa1", model="tiny", batch=8, ms=2.0, device="local", profile="local"),
        Made("aaaa2", model="tiny", batch=8, ms=3.0, device="local", profile="local", framework="tensorflow"),
    )
    (home / "mine.toml").write_text(FILE.format(mean=2.0, tenth=400))
    answer = Operator(home).run("report", "--html", "r.html", "--claims", "mine.toml")
    assert answer.code == 0, answer.err
    assert Operator(home).run("report", "--html", "plain.html").code == 0
    return (home / "r.html").as_uri()


class TestThePage:
    def test_has_the_claims_with_their_verdicts(self, browser: Browser, page: str) -> None:
        browser.open(page, 2)
        assert browser.complaints() == []
        assert browser.texts("#claim-rows tbody th") == ["as-it-was", "ten-times", "on-a-gpu", "never"]
        assert browser.texts("#claim-rows .claim-not-measured") == ["not measured"]
        assert browser.texts("#claim-rows .claim-not-comparable")
        assert "<b>tiny</b> is as fast as in release 1" in browser.texts("#claim-rows td")
        assert "4 claims of Release 1" in browser.find("#claims-source").text
        assert browser.texts("#claims .again code") == ["edgebench report --html r.html --claims mine.toml"]

    def test_keeps_to_the_filters(self, browser: Browser, page: str) -> None:
        browser.open(page, 2)
        browser.find("#search").send_keys("nothing at all")
        assert browser.texts("#claim-rows tbody th") == ["never"]
        assert "Nothing of either framework" in browser.find("#matrices").text

    def test_sets_both_frameworks_beside_one_another(self, browser: Browser, page: str) -> None:
        browser.open(page, 2)
        assert browser.texts("#matrices caption") == ["local tiny/* fp16 batch 8: tensorrt 10.3.0"]
        heads = browser.texts("#matrices thead th")
        assert heads == ["runs", "figure", "unit", "PyTorch", "TensorFlow", "TensorFlow / PyTorch"]
        cells = browser.texts("#matrices tbody tr")
        assert any("in tensorrt" in row and "median" in row and "1.5" in row for row in cells)

    def test_without_claims_has_no_such_section(self, browser: Browser, page: str) -> None:
        browser.open(page.replace("r.html", "plain.html"), 2)
        assert not browser.find("#claims").is_displayed()
        assert not browser.find("nav a.claims").is_displayed()

    def test_fits_a_phone(self, browser: Browser, page: str) -> None:
        browser.emulate(width=360)
        browser.open(page, 2)
        assert browser.ask("document.documentElement.scrollWidth <= 360")


def test_json_of_a_page_tells_of_the_file_alone(operator: Operator) -> None:
    add(operator.home / ".local/share/edgebench", Made("aaaa1"))
    told = operator.run("report", "--html", "r.html", "--claims", "article", "--json")
    assert json.loads(told.out)["measurements"] == 1
