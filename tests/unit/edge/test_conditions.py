"""What `results show` tells of a verdict, of the device meanwhile, and of a soak."""

from __future__ import annotations

import numpy as np
import pytest

from device_agents.contract import SCHEMA, JobResult, LoadPattern, ProcessResult, SampleRange, Series, Watch
from edge.report.conditions import explained, meanwhile, soaked, sparkline
from edge.results.stats import Soak
from edge.results.stats import soaked as soaking
from edge.results.verdict import Finding, Flag, Held, Status, Verdict
from edge.results.watched import Watched


def text(lines: object) -> str:
    return "\n".join(f"{name}|{value}" for name, value in lines)  # type: ignore[attr-defined]


def test_a_verdict_says_figure_threshold_source_and_what_mends_it() -> None:
    found = text(
        explained(
            Verdict(
                Status.INVALID,
                (Finding("throttled", True, "heat held its clocks back for 9% of the timed part, over 2%", "/sys/t"),
                 Finding("incomplete_state", False, "not known: power (no sensor)")),
                (Flag("not_read", "energy (root alone)"),),
                (Held("unstable", "the processes' medians vary by 1.0%, at most 5%", "the samples"),),
            )
        )
    ).splitlines()  # fmt: skip
    assert found[0] == "verdict|INVALID throttled"
    assert found[1] == "|broken: throttled: heat held its clocks back for 9% of the timed part, over 2% [/sys/t]"
    assert found[2].startswith("|  advice: cool the device")
    assert found[3] == "|not judged: incomplete_state: not known: power (no sensor)"
    assert found[4].startswith("|  advice: see `edgebench devices doctor`")
    assert found[5] == "|flag: not_read: energy (root alone)"
    assert found[6] == "|held: unstable: the processes' medians vary by 1.0%, at most 5% [the samples]"


def test_the_device_is_told_by_least_mean_and_most_and_counters_by_what_they_counted() -> None:
    times = np.arange(4) * 100
    given = {
        "gpu_clock": ("Hz", [900e6, 1000e6, 1100e6, 5e9]), "temperature": ("C", [40.0, 41.0, 42.0, 99.0]),
        "energy": ("J", [10.0, 11.0, 13.0, 90.0]), "throttled_power": ("", [0.0, 1.0, 1.0, 1.0]),
        "cpu_foreign": ("", [0.0, 0.01, 0.02, 1.0]), "memory_used": ("B", [1e9, 1e9, 1e9, 9e9]),
        "power.VDD_IN": ("W", [5.0, 6.0, 7.0, 8.0]),
    }  # fmt: skip
    data, series = [], []
    for name, (unit, values) in given.items():
        place = sum(map(len, data))
        data += [times, np.round(np.array(values) * 1000).astype(np.int64)]
        series.append(Series(name, unit, "/sys/x", 1000, SampleRange(place, 4), SampleRange(place + 4, 4)))
    process = ProcessResult(0, 1, 1, 1, SampleRange(0, 0), SampleRange(0, 1), 250, True, 1, 1, {}, began_ns=1)
    watch = Watch(tuple(series), 10.0, 0.012, unknown={"fan": "there is none"})
    result = JobResult(
        SCHEMA, "j", "a" * 64, "onnxruntime", "now", {}, {}, {}, (process,), 56, "0" * 64, {}, watch=watch
    )
    found = text(meanwhile(Watched(result, np.concatenate(data)))).splitlines()
    assert found == [
        "what the device did|gpu clock 1000 MHz / 1050 MHz / 1100 MHz (/sys/x)",
        "|temperature 41.0 C / 41.5 C / 42.0 C (/sys/x)",
        "|energy 2 J in all (/sys/x)",
        "|throttled power 100.0% of the time (/sys/x)",
        "|cpu foreign 1.0% / 1.5% / 2.0% (/sys/x)",
        "|memory used 954 MiB / 954 MiB / 954 MiB (/sys/x)",
        "|power.VDD IN 6.0 W / 6.5 W / 7.0 W (/sys/x)",
        "|looked 10 times a second, at 1.20% of a processor",
        "|fan is not known: there is none",
    ]


def test_a_soak_is_told_by_burst_steady_and_a_line_of_its_medians() -> None:
    slower = (10e6 + 3e6 * np.minimum(np.linspace(0, 4, 20_000), 1)).astype(np.int64)
    found = text(soaked(soaking([slower], 400.0, 0.02)))
    assert "burst ms|10." in found
    assert "first 10.0 s" in found
    assert "steady ms|13.00 from " in found
    assert "equilibrium was reached" in found
    assert {"▁", "█"} <= set(found)
    going_on = Soak(10e6, 20e6, 390.0, 400.0, False, (10e6, 20e6))
    assert "no equilibrium yet, a longer soak would go on changing" in text(soaked(going_on))
    assert text(soaked(None)) == ""


@pytest.mark.parametrize(("values", "line"), [([1, 1], "▁▁"), ([1, 8], "▁█"), ([8, 1, 4.5], "█▁▅")])
def test_a_sparkline_goes_from_the_least_to_the_most(values: list[float], line: str) -> None:
    assert sparkline(values) == line


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("soak:10m", "soak:10m"), ("soak:90s", "soak:90s"), ("soak:2h", "soak:120m"), ("soak:1.5min", "soak:90s")],
)
def test_a_soak_is_parsed_and_written(text: str, pattern: str) -> None:
    found = LoadPattern.parse(text)
    assert (found.kind, found.loop, str(found)) == ("soak", "serial", pattern)
    assert LoadPattern.parse(str(found)) == found
