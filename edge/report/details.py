"""Everything about one measurement, for `results show`: figures, verdict, engine, layers, device, versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.table import Table

from device_agents.contract import EngineUse, Layer, LoadPattern, Opinion
from edge.agent.engine_cache import SHORT
from edge.report.columns import render
from edge.report.engines import size
from edge.report.engines import special as special_engine
from edge.report.opinion import caveats, figures, ratios
from edge.report.rows import CLOCKS, Row, interval, special
from edge.report.table import escape
from edge.results.layers import layers_of, precision_shares, slowest
from edge.results.stats import Summary, milliseconds
from edge.results.verdict import Status
from profiles.errors import sentence

_NODES = 4  # ONNX nodes of a layer that are named

Line = tuple[str, str]


def details(row: Row, width: int) -> str:
    """A table of names and values. Device-made text is printed as text, never as markup."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(row):
        table.add_row(name, escape(value))
    return render(table, width)


def _lines(row: Row) -> Iterator[Line]:
    cell = row.measurement.cell
    yield "measurement", row.measurement.id
    whose = "" if row.runtime == cell.backend else f" ({row.runtime})"
    more = f", with {', '.join(special(cell))}" if special(cell) else ""
    serial = ", serial" if cell.pattern == LoadPattern() else ""
    yield "request", f"{cell.device}: {cell.label}{whose}{serial}{more}"
    yield "verdict", row.verdict.short
    for finding in row.verdict.findings:
        yield "", f"{'broken' if finding.broken else 'not judged'}: {finding.rule}: {finding.reason}"
    for flag in row.verdict.flags:
        yield "", f"flag: {flag.name}: {flag.reason}"
    yield from _latencies(row.summary)
    yield from _parts(row.summary)
    yield from _run(row)
    yield from _engine(row.measurement.result.engine)
    yield from _layers(layers_of(row.measurement.result))
    if row.measurement.result.command:
        yield "the same by hand", row.measurement.result.command
    yield from _opinion(row)
    yield from _provenance(row)


def _latencies(summary: Summary) -> Iterator[Line]:
    unsupported = f"not supported by {summary.samples} samples"
    if summary.median is None or summary.mean_ns is None:
        yield "latency", f"not given: inferences overlap on {summary.streams} streams"
    else:
        yield "median ms", interval(summary.median, summary.samples)
        yield "mean ms", milliseconds(summary.mean_ns)
        for name, tail_ns in (("p90 ms", summary.p90_ns), ("p95 ms", summary.p95_ns)):
            yield name, milliseconds(tail_ns) if tail_ns is not None else unsupported
        yield "p99 ms", interval(summary.p99, summary.samples) if summary.p99 else unsupported
    yield "throughput", f"{summary.throughput_per_s:.1f} images/s"


def _parts(summary: Summary) -> Iterator[Line]:
    for index, (name, median_ns) in enumerate(summary.parts.items()):
        yield "parts, medians" if index == 0 else "", f"{name} {milliseconds(median_ns)} ms ({CLOCKS[name]})"
    counts = summary.counts
    if not counts:
        return
    told = [f"{name} {counts[name]}" for name in ("arrivals", "late", "dropped", "waiting") if name in counts]
    told += [f"seed {counts['seed']}"] if "seed" in counts else []
    yield "arrivals", ", ".join(told) + "; latency counts from the arrival, late is longer than the mean gap"
    if "wake_lag_ns" in counts:
        yield "", f"where nothing waited we were {counts['wake_lag_ns'] / 1e3:.1f} us behind the arrival (median)"


def _run(row: Row) -> Iterator[Line]:
    summary, result = row.summary, row.measurement.result
    yield "load ms", milliseconds(summary.load_ns)
    yield "first inference ms", milliseconds(summary.first_inference_ns) if summary.first_inference_ns else "not told"
    plural = "process" if summary.processes == 1 else "processes"
    yield "samples", f"{summary.samples} in {summary.processes} {plural}; drift {summary.drift:+.1%}"
    unstable = [str(process.index) for process in result.processes if process.warmup_stable is False]
    if result.processes[0].warmup_stable is None:
        yield "warm-up", f"by time alone, as {row.measurement.cell.backend} does: nobody saw whether it was stable"
    if unstable:
        yield "warm-up", f"ended at its cap, not yet stable, in process {', '.join(unstable)}"
    if summary.spread is not None:
        yield "spread of processes", f"{summary.spread:.1%}"
    if summary.within is not None:
        yield "spread within a run", f"{summary.within:.1%}"
    yield from _parity(row)
    yield "peak process memory", size(max(process.peak_rss_bytes for process in result.processes))
    for name, count in row.memory.items():
        yield f"memory: {name.replace('_', ' ')}", size(count)
    yield "waited for the accelerator", f"{result.seconds.get('waited', 0.0):.1f} s"
    if result.seconds.get("cooled"):
        yield "waited to cool down", f"{result.seconds['cooled']:.1f} s"


def _parity(row: Row) -> Iterator[Line]:
    own = row.measurement.origin.inputs
    if own is not None:
        yield "inputs", f"{own.samples} samples of the operator's (sha256 {own.sha256[:12]})"
        yield "", f"reference: {own.reference}"
    parity = row.measurement.result.processes[0].parity_after
    if parity is not None:
        once = "" if row.measurement.result.processes[0].parity_before else ", once, after timing"
        on = " on the artifact's golden samples" if own is not None and not own.checked else ""
        yield "parity on the device", f"{parity.error:.2g} of at most {parity.limit:.2g} ({parity.tensor}){on}{once}"


def _engine(use: EngineUse | None) -> Iterator[Line]:
    if use is None:
        return
    report = use.report
    yield "engine", f"reused: {use.why}" if use.reused else use.why
    yield "", f"key {report.key[:SHORT]}, sha256 {report.file.sha256[:SHORT]}"
    yield "", ", ".join([f"{report.runtime} {report.runtime_version}", size(report.file.size), *special_engine(report)])
    phases = ", ".join(f"{name.removeprefix('build_')} {_seconds(seconds)}" for name, seconds in report.seconds.items())
    yield "", f"built at {report.built_at}; seconds: {phases}"
    for profile in report.profiles:
        yield "", "optimization profile " + ", ".join(f"{name} {bounds}" for name, bounds in profile.items())
    if report.device_memory_bytes is not None:
        yield "", f"an execution needs {size(report.device_memory_bytes)} of device memory"
    for warning in report.warnings:
        yield "", f"warning of the builder: {warning}"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _layers(layers: tuple[Layer, ...]) -> Iterator[Line]:
    shares = precision_shares(layers)
    if shares is not None:
        more = f"; {shares.passed_over} layers only move data" if shares.passed_over else ""
        yield "precision", f"{shares}{more}"
    for index, (layer, share) in enumerate(slowest(layers)):
        nodes = ", ".join(layer.nodes[:_NODES]) + (
            f" and {len(layer.nodes) - _NODES} more" * (len(layer.nodes) > _NODES)
        )
        origin = f" from {nodes}" if nodes else ""
        title = "slowest layers" if index == 0 else ""
        yield title, f"{(layer.time_ns or 0) / 1e6:.4f} ms {share:.0%} {layer.precision} {layer.name}{origin}"


def _opinion(row: Row) -> Iterator[Line]:
    opinion: Opinion | None = row.measurement.result.opinion
    if opinion is None:
        return
    yield "second opinion", f"{opinion.tool} {opinion.version}: {opinion.command or 'not begun'}"
    if opinion.error is not None:
        yield "", f"it failed: {sentence(opinion.error.message, where=opinion.error.where, fix=opinion.error.fix)}"
    for caveat in caveats(opinion, row.measurement.result.engine, invalid=row.verdict.status is Status.INVALID):
        yield "", caveat
    for line in figures(ratios(opinion, row.summary)):
        yield "", line


def _provenance(row: Row) -> Iterator[Line]:
    measurement, result = row.measurement, row.measurement.result
    origin = measurement.origin
    yield "artifact", f"{origin.artifact[:12]}, weights {origin.weights}"
    yield "made by", ", ".join(f"{name} {value}" for name, value in sorted(origin.produced_by.items()))
    yield "agent", f"{origin.agent_sha256[:12]}, edgebench {origin.edgebench}"
    yield "started at", result.started_at
    if measurement.imported is not None:
        whole = measurement.imported
        yield (
            "imported",
            f"at {whole.at} from {whole.bundle} (manifest sha256 {whole.sha256[:SHORT]}); not measured from here",
        )
    yield from _section("switches", result.switches)
    yield from _section("identity", result.identity)
    yield from _section("context", result.context)
    yield from _section("state", result.processes[0].state)


def _section(title: str, values: Mapping[str, object]) -> Iterator[Line]:
    for index, (name, value) in enumerate(sorted(values.items())):
        unknown, told = getattr(value, "unknown", None), getattr(value, "value", value)
        if "_bytes" in name and isinstance(told, int):
            name, told = name.replace("_bytes", ""), size(told)  # noqa: PLW2901 - the same name without its unit
        yield title if index == 0 else "", f"{name} = {f'unknown ({unknown})' if unknown else told}"
