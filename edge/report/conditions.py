"""For `results show`: why a verdict is what it is, what the device did meanwhile, and how a soak went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from device_agents.contract import QUANTITIES
from edge.report.engines import size
from edge.results.stats import Soak, milliseconds
from edge.results.verdict import ADVICE, Verdict
from edge.results.watched import Track, Watched

_COUNTERS = ("energy", "throttled_limit")
_YES_OR_NO = ("throttled_thermal", "throttled_power", "throttled_other")
_SHARES = ("gpu_busy", "cpu_busy", "cpu_foreign", "cpu_steal", "fan")
_BLOCKS = "▁▂▃▄▅▆▇█"

Line = tuple[str, str]


def explained(verdict: Verdict) -> Iterator[Line]:
    """Every rule with its figure, its threshold and where that was read; what is broken or unknown with its mending."""
    yield "verdict", verdict.short
    for finding in verdict.findings:
        what = "broken" if finding.broken else "not judged"
        yield "", f"{what}: {finding.rule}: {finding.reason}{_read(finding.source)}"
        if finding.rule in ADVICE:
            yield "", f"  advice: {ADVICE[finding.rule]}"
    for flag in verdict.flags:
        yield "", f"flag: {flag.name}: {flag.reason}"
    for held in verdict.held:
        yield "", f"held: {held.rule}: {held.figure}{_read(held.source)}"


def meanwhile(watched: Watched) -> Iterator[Line]:
    """The least, the mean and the most of each series over the timed parts; of counters what they counted."""
    known = [name for name in QUANTITIES if name in watched.names]
    others = sorted(set(watched.names) - set(known))
    title = "what the device did"
    for name in (*known, *others):
        told = _counted(watched.timed(name)) if name in _COUNTERS else _ranged(watched.during(name))
        if told:
            yield title, f"{name.replace('_', ' ')} {told}"
            title = ""
    if watched.watch is not None:
        cost = f"looked {watched.watch.rate_hz:g} times a second, at {watched.watch.cost:.2%} of a processor"
        yield title, cost
    for name, why in sorted(watched.watch.unknown.items() if watched.watch else ()):
        yield "", f"{name.replace('_', ' ')} is not known: {why}"


def soaked(soak: Soak | None) -> Iterator[Line]:
    if soak is None:
        return
    yield (
        "burst ms",
        f"{milliseconds(soak.burst_ns)}, the median of the first {soak.length_s / len(soak.curve_ns):.1f} s",
    )
    if soak.equilibrium:
        since = f"from {soak.steady_from_s:.0f} s of {soak.length_s:.0f} s on"
        yield "steady ms", f"{milliseconds(soak.steady_ns)} {since} ({soak.change:+.1%}): equilibrium was reached"
    else:
        what = f"{milliseconds(soak.steady_ns)} at the end of {soak.length_s:.0f} s ({soak.change:+.1%})"
        yield "steady ms", f"{what}: no equilibrium yet, a longer soak would go on changing"
    least, most = min(soak.curve_ns), max(soak.curve_ns)
    yield "medians over time", f"{sparkline(soak.curve_ns)} {milliseconds(least)} to {milliseconds(most)} ms"


def sparkline(values: Sequence[float]) -> str:
    """One block a value, from the least of them to the most; of values that are all alike, the lowest."""
    least, most = min(values), max(values)
    scale = (len(_BLOCKS) - 1) / (most - least) if most > least else 0.0
    return "".join(_BLOCKS[round((value - least) * scale)] for value in values)


def _ranged(track: Track | None) -> str:
    if track is None:
        return ""
    if track.name in _YES_OR_NO:
        return f"{track.mean:.1%} of the time ({track.source})"
    least, mean, most = (_figure(track, value) for value in (track.least, track.mean, track.most))
    return f"{least} / {mean} / {most} ({track.source})"


def _counted(tracks: list[Track]) -> str:
    if not tracks:
        return ""
    total = sum(track.rise for track in tracks)
    return f"{total:.3g} {tracks[0].unit} in all ({tracks[0].source})"


def _figure(track: Track, value: float) -> str:
    if track.unit == "Hz":
        return f"{value / 1e6:.0f} MHz"
    if track.unit == "B":
        return size(round(value))
    if track.name in _SHARES:
        return f"{value:.1%}"
    return f"{value:.1f} {track.unit}".strip()


def _read(source: str) -> str:
    return f" [{source}]" if source else ""
