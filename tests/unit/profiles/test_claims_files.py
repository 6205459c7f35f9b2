"""A claims file is read strictly: whatever is wrong in it is one sentence that names file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.contract import Precision
from profiles.claim_schema import MEASURES
from profiles.errors import ConfigError
from profiles.load import claims_file, claims_file_names

SOURCE = '[source]\ntitle = "A datasheet"\nurl = "https://example.com/x"\nread = "2026-11-26"\n'
CLAIM = """[[claims]]
id = "one"
sentence = "It takes 8 ms"
measure = "latency_mean_ms"
value = 8
unit = "ms"
conditions = { model = "resnet50", batch = 32 }
"""


def of(measure: str, unit: str) -> str:
    """The claim, of another measure and in its unit."""
    return CLAIM.replace("latency_mean_ms", measure).replace('"ms"', f'"{unit}"')


def write(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


def test_what_all_claims_share_is_laid_under_each(tmp_path: Path) -> None:
    shared = '[conditions]\nprecision = "fp16"\nbatch = 1\noptions = { mode = "compile", threads = 2 }\n'
    more = CLAIM.replace("batch = 32", 'batch = 32, options = { mode = "eager" }')
    (claim,) = claims_file(write(tmp_path, SOURCE + shared + more)).whole
    assert (claim.conditions.precision, claim.conditions.batch) == (Precision.FP16, 32)
    assert claim.conditions.options == {"mode": "eager", "threads": 2}


def test_a_ratio_has_a_baseline_that_says_in_what_it_differs(tmp_path: Path) -> None:
    text = (
        of("time_ratio", "% less")
        .replace("value = 8", "value = [20, 25]")
        .replace("batch = 32", 'batch = 32, options = { mode = "compile" }')
    )
    (claim,) = claims_file(write(tmp_path, SOURCE + text + 'baseline = { options = { mode = "eager" } }\n')).whole
    assert claim.own == pytest.approx((0.75, 0.80))
    assert claim.other_side is not None
    assert (claim.other_side.model, claim.other_side.options) == ("resnet50", {"mode": "eager"})


@pytest.mark.parametrize(
    ("was", "instead", "told"),
    [
        ('measure = "latency_mean_ms"', 'measure = "speed"', r"key 'claims\[0\].measure': unknown measure 'speed'"),
        ('unit = "ms"', 'unit = "GB"', r"key 'claims\[0\].unit': 'GB' is no unit of latency_mean_ms; allowed: us"),
        ("value = 8", "value = [9, 8]", r"key 'claims\[0\].value': is neither a number nor a range"),
        ("value = 8", "value = -8", r"key 'claims\[0\].value': -8 ms cannot be"),
        ("value = 8", "value = nan", r"key 'claims\[0\].value': not a finite number"),
        ("value = 8", 'value = "8 ms"', r"key 'claims\[0\].value': expected a number"),
        ("value = 8\n", "", r"the key 'value' is missing"),
        ('id = "one"', 'id = "One!"', r"key 'claims\[0\].id': 'One!' is not of small letters"),
        ("batch = 32", "batch = 0", r"key 'claims\[0\].conditions.batch': 0 is not between"),
        ("batch = 32", 'size = "big"', r"key 'claims\[0\].conditions.size': 'big' is no size"),
        ("batch = 32", 'device = "a100"', r"conditions.device': unknown device profile 'a100' \(did you mean"),
        ("batch = 32", 'framework = "jax"', r"conditions.framework': unknown framework 'jax'"),
        ("batch = 32", 'pattern = "sometimes"', r"unknown load pattern 'sometimes'"),
        ("batch = 32", "btach = 32", r"unknown key 'btach' \(did you mean 'batch'\?\)"),
        ('model = "resnet50", ', "", r"conditions.model': is missing: a figure of which model"),
        ('read = "2026-11-26"', 'read = "last week"', r"key 'source.read': 'last week' is no day"),
        ('read = "2026-11-26"', "read = 2026-11-26", r"key 'source.read': expected text"),
        ('unit = "ms"', 'unit = "ms"\ntolerance = 10', r"key 'claims\[0\].tolerance': 10 is not between 0 and 1"),
        ('unit = "ms"', 'unit = "ms"\nbaseline = {}', r"key 'claims\[0\].baseline': is for time_ratio alone"),
        ('"latency_mean_ms"', '"time_ratio"', r"key 'claims\[0\].unit': 'ms' is no unit of time_ratio"),
        (CLAIM, of("dynamic_overhead_share", "%"),
         r"key 'claims\[0\].conditions.pattern': is to say which sizes are drawn"),
        (CLAIM, "claims = []", r"key 'claims': 0 claims are not between 1 and 500"),
        (CLAIM, CLAIM + CLAIM, r"key 'claims\[1\].id': 'one' is there twice"),
        (CLAIM, "[[claims", "not valid TOML"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_and_key(tmp_path: Path, was: str, instead: str, told: str) -> None:
    whole = SOURCE + CLAIM
    assert was in whole
    text = f"{instead}\n{SOURCE}" if instead == "claims = []" else whole.replace(was, instead)
    with pytest.raises(ConfigError, match=told) as caught:
        claims_file(write(tmp_path, text))
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("baseline", "told"),
    [
        ('model = "resnet101"', r"key 'claims\[0\].baseline.model': is of both sides: it belongs to conditions"),
        ('runtime = "8.6"', r"baseline.runtime': is of both sides"),
        ("batch = 32", r"key 'claims\[0\].baseline': differs in nothing from conditions"),
        ('precision = "fp32"', r"key 'claims\[0\].conditions.precision': is missing: baseline has it"),
        ('options = { mode = "eager" }', r"key 'claims\[0\].conditions.options.mode': is missing: baseline has it"),
    ],
)
def test_a_baseline_that_nothing_could_be_held_against_is_refused(tmp_path: Path, baseline: str, told: str) -> None:
    text = of("time_ratio", "x")
    with pytest.raises(ConfigError, match=told):
        claims_file(write(tmp_path, SOURCE + text + f"baseline = {{ {baseline} }}\n"))


@pytest.mark.parametrize(
    ("measure", "conditions", "told"),
    [
        ("compile_share", 'model = "resnet50"', r"conditions': of a count of models can be framework"),
        ("compile_share", 'framework = "tensorflow"', r"conditions': of a count of models can be framework"),
        ("late_share", 'model = "resnet50"', r"conditions.pattern': is to say at which rate, such as rate:30"),
        ("top1_share", 'model = "resnet50", pattern = "sizes:224-512"', r"conditions.pattern': draws sizes, of which"),
    ],
)
def test_conditions_that_no_figure_has_are_refused(tmp_path: Path, measure: str, conditions: str, told: str) -> None:
    text = of(measure, "%").replace('model = "resnet50", batch = 32', conditions)
    with pytest.raises(ConfigError, match=told):
        claims_file(write(tmp_path, SOURCE + text))


def test_the_end_of_a_range_that_cannot_be_is_told(tmp_path: Path) -> None:
    text = of("time_ratio", "% less").replace("= 8", "= [20, 120]")
    with pytest.raises(ConfigError, match="120 % less cannot be"):
        claims_file(write(tmp_path, SOURCE + text + "baseline = { batch = 1 }\n"))


def test_more_than_all_cannot_be_compiled(tmp_path: Path) -> None:
    text = of("compile_share", "%").replace("value = 8", "value = 101")
    with pytest.raises(ConfigError, match="101 % is more than all"):
        claims_file(write(tmp_path, SOURCE + text))


def test_claims_that_are_not_there_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such claims file; name a TOML file, or one of: article"):
        claims_file("nosuch")
    with pytest.raises(ConfigError, match="is a folder, and a claims file is a file"):
        claims_file(str(tmp_path))


def test_the_claims_that_come_with_edgebench_can_be_read() -> None:
    assert claims_file_names()
    for name in claims_file_names():
        file = claims_file(name)
        assert file.name == name
        assert all(claim.unit in MEASURES[claim.measure] for claim in file.whole)
