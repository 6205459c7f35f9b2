"""Everything about one measurement, for `results show`: figures, verdict, engine, layers, device, versions."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from device_agents.contract import EngineUse, JobResult, Layer, LoadPattern, Opinion, Reading
from edge.agent.engine_cache import SHORT
from edge.report import foreign, overhead
from edge.report.columns import render
from edge.report.conditions import explained, meanwhile, soaked
from edge.report.engines import size
from edge.report.engines import special as special_engine
from edge.report.opinion import caveats, figures, ratios
from edge.report.readings import Line, section, told_ms
from edge.report.rows import CLOCKS, Row, interval, late, rate, right
from edge.report.stages import costing, holding, starting
from edge.report.table import escape
from edge.results.energy import COUNTER, NotKnown
from edge.results.layers import layers_of, precision_shares, slowest
from edge.results.overhead import Overhead
from edge.results.special import special
from edge.results.stats import Summary, milliseconds
from edge.results.verdict import Status
from edge.results.watched import Watched
from profiles.errors import sentence

_NODES = 4  # ONNX nodes of a layer that are named


def details(row: Row, watched: Watched, width: int, over: Overhead | None = None) -> str:
    """A table of names and values; `watched` is what its device did meanwhile, `over` what it costs that sizes were
    drawn. Device-made text is printed as text,
    never as markup."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(row, watched, over):
        table.add_row(name, escape(value))
    return render(table, width)


def _lines(row: Row, watched: Watched, over: Overhead | None) -> Iterator[Line]:
    cell = row.measurement.cell
    yield "measurement", row.measurement.id
    whose = "" if row.runtime == cell.backend else f" ({row.runtime})"
    more = f", with {', '.join(special(cell))}" if special(cell) else ""
    serial = ", serial" if row.pattern == str(LoadPattern()) else ""
    yield "request", f"{cell.device}: {cell.label}{whose}{serial}{more}"
    yield from explained(row.verdict)
    yield from _latencies(row.summary)
    yield from soaked(row.summary.soak)
    yield from overhead.lines(over)
    yield from _energy(row)
    yield from costing(row.cost)
    yield from _parts(row.summary)
    yield from foreign.run(row) if row.foreign else (*_run(row), *meanwhile(watched))
    yield from _engine(row.measurement.result.engine)
    yield from _layers(layers_of(row.measurement.result))
    if row.measurement.result.command:
        yield "the same by hand", row.measurement.result.command
    yield from _opinion(row)
    yield from _controlled(row)
    yield from foreign.provenance(row.foreign, row.measurement) if row.foreign else _provenance(row)


def _latencies(summary: Summary) -> Iterator[Line]:
    unsupported = f"not supported by {summary.samples} samples"
    if summary.median is None or summary.mean_ns is None:
        why = f"inferences overlap on {summary.streams} streams" if summary.streams > 1 else "nobody told it"
        yield "latency", f"not given: {why}"
    else:
        yield "median ms", interval(summary.median, summary.samples)
        trimmed = f"; {milliseconds(summary.trimmed_ns)} without a tenth at either end" if summary.trimmed_ns else ""
        yield "mean ms", f"{milliseconds(summary.mean_ns)}{trimmed}"
        tails = {90.0: _plain(summary.p90_ns), 95.0: _plain(summary.p95_ns), 99.9: _plain(summary.p999_ns)}
        tails[99.0] = interval(summary.p99, summary.samples) if summary.p99 else ""
        for p, told in sorted(tails.items()):
            yield f"p{p:g} ms", f"{told}{_proved(summary, p)}" if told else unsupported
        if summary.p99_own is not None:
            yield "p99 of a process ms", interval(summary.p99_own, summary.samples)
    yield "throughput", f"{rate(summary.throughput_per_s)} images/s"


def _plain(ns: int | None) -> str:
    return "" if ns is None else milliseconds(ns)


def _proved(summary: Summary, p: float) -> str:
    """What the samples prove, if they are independent: LoadGen's early stopping."""
    bound_ns = summary.bounds_ns.get(p)
    return "" if bound_ns is None else f"; at most {milliseconds(bound_ns)} at 99 % confidence"


def _energy(row: Row) -> Iterator[Line]:
    found = row.energy
    if isinstance(found, NotKnown):
        yield "energy", f"not known: {found.reason}"
        return
    inference, sample = f"{found.joules_per_inference:.3g} J", f"{found.joules_per_sample:.3g} J"
    whole = f"{inference} an inference, {sample} an image" if row.measurement.cell.batch > 1 else f"{sample} an image"
    yield "energy", f"{whole}; {found.watts:.3g} W while timed"
    how = "its counter" if found.of == COUNTER else "its power, integrated over the timed part"
    idle = "not looked at" if found.idle_w is None else f"{found.idle_w:.3g} W"
    yield "", f"by {found.source}, {how}, a reading every {found.interval_s * 1e3:.3g} ms; idle {idle}"


def _parts(summary: Summary) -> Iterator[Line]:
    for index, (name, median_ns) in enumerate(summary.parts.items()):
        yield "parts, medians" if index == 0 else "", f"{name} {milliseconds(median_ns)} ms ({CLOCKS[name]})"
    counts = summary.counts
    if not counts:
        return
    told = [f"{name} {counts[name]}" for name in ("arrivals", "late", "dropped", "waiting") if name in counts]
    told += [f"seed {counts['seed']}"] if "seed" in counts else []
    how = "the mean gap" if summary.late is None else "the time-out"
    yield "arrivals", ", ".join(told) + f"; latency counts from the arrival, late is longer than {how}"
    if summary.late is not None:
        yield "late answers", late(summary)
    if "wake_lag_ns" in counts:
        yield "", f"where nothing waited we were {counts['wake_lag_ns'] / 1e3:.1f} us behind the arrival (median)"


def _run(row: Row) -> Iterator[Line]:
    summary, result = row.summary, row.measurement.result
    yield from starting(row.loading)
    yield "load ms", told_ms(summary.load_ns)
    yield from _compiling(result)
    yield "first inference ms", told_ms(summary.first_inference_ns)
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
    yield from holding(row.footprint)
    yield from _accuracy(row)
    yield "peak process memory", size(max(process.peak_rss_bytes for process in result.processes))
    for name, count in row.memory.items():
        yield f"memory: {name.replace('_', ' ')}", size(count)
    yield "waited for the accelerator", f"{result.seconds.get('waited', 0.0):.1f} s"
    if result.seconds.get("cooled"):
        yield "waited to cool down", f"{result.seconds['cooled']:.1f} s"


def _compiling(result: JobResult) -> Iterator[Line]:
    """What a framework compiled before the first inference, process by process: cold, or found in its cache."""
    told = [
        f"{_seconds(process.seconds['compile'])} {_cache(process.state.get('compile_cache'))}".rstrip()
        for process in result.processes
        if "compile" in process.seconds
    ]
    if told:
        yield "compile seconds", ", ".join(told)


def _cache(reading: Reading | None) -> str:
    return "" if reading is None else str(reading)


def _controlled(row: Row) -> Iterator[Line]:
    for index, one in enumerate(row.measurement.result.controlled):
        told = f"{one.name}: {one.before}; while measured {one.during}; afterwards {one.after or 'not known'}"
        yield "changed there" if index == 0 else "", told + (f" (NOT PUT BACK: {one.problem})" if one.problem else "")


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


def _accuracy(row: Row) -> Iterator[Line]:
    told = row.measurement.origin.labelled
    if row.accuracy is None or told is None:
        return
    yield "accuracy", right(row.accuracy)
    yield "", f"labelled images sha256 {told.sha256[:12]}, classes {told.labels}; {told.preprocessing}"


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
    yield from section("switches", result.switches)
    yield from section("identity", result.identity)
    yield from section("context", result.context)
    yield from section("state", result.processes[0].state)
