"""optimum-benchmark's benchmark.json: {config, report}, latencies in seconds; also its benchmark_report.json, which is
the report alone. After optimum-benchmark 0.6.0, optimum_benchmark/benchmark and optimum_benchmark/trackers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from device_agents.contract import LoadPattern, Precision, Reading, dumps
from device_agents.formats import lenient_json
from device_agents.formats.lenient_json import Garbled
from edge import version
from edge.results.interop.given import Given, alone, only
from edge.results.interop.read import Read

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "optimum-benchmark"
_WHAT = "the benchmark"
_DTYPES = {"float32": Precision.FP32, "float16": Precision.FP16, "int8": Precision.INT8}
_BY_WEIGHTS = "auto"
_OURS, _VERDICT, _PATTERN = "edgebench_version", "edgebench_verdict", "edgebench_pattern"  # in the environment
_MB = 1_000_000
_MOST = 1 << 62


def write(given: Sequence[Given]) -> bytes:
    """Their statistics are made by their own rules: percentiles between samples, a deviation over n.

    Errors: ConfigError for several measurements, streams, or figures without samples.
    """
    one = only(given, NAME)
    alone(one, NAME)
    forward = {
        "latency": _latency(one.timed()),
        "throughput": {"unit": "samples/s", "value": one.summary.throughput_per_s},
        "memory": _memory(one),
        "energy": None,
        "efficiency": None,
    }
    report: dict[str, object] = {
        "load_model": _target([process.load_ns for process in one.processes]),
        "first_forward": _target([process.first_inference_ns for process in one.processes]),
        "forward": forward,
    }
    return (dumps({"config": _config(one), "report": report}, indent=4) + "\n").encode()


def read(text: str) -> Read:
    """Errors: ValueError naming what is missing or is no number."""
    data = lenient_json.loads(text, _WHAT)
    report = _table(data, "report") or (data if isinstance(data, dict) else {})
    config, forward = _table(data, "config"), _table(report, "forward")
    latency, memory = _table(forward, "latency"), _table(forward, "memory")
    if not latency:
        raise Garbled(f"{_WHAT} has no report.forward.latency, which is all that can be read of it")
    if latency.get("unit") != "s":
        raise Garbled(f"{_WHAT} has latencies in {latency.get('unit')!r}, not in 's'")
    backend, scenario = _table(config, "backend"), _table(config, "scenario")
    values, environment = _numbers(latency), _table(config, "environment")
    name = _text(backend, "name")
    runtime_version = _text(backend, "version")
    batch = _table(scenario, "input_shapes").get("batch_size")
    vram = memory.get("max_process_vram")
    return Read(
        tool=_tool(environment),
        backend=name or "optimum-benchmark",
        framework="pytorch" if name == "pytorch" else "",
        model=_text(backend, "model"),
        batch=batch if type(batch) is int and batch > 0 else None,
        precision=_precision(_text(backend, "torch_dtype") or _text(backend, "dtype")),
        pattern=LoadPattern.parse(_text(environment, _PATTERN) or str(LoadPattern())),
        latencies_ns=[_ns(value) for value in values],
        elapsed_ns=_ns(sum(values)),
        images_per_s=_throughput(forward),
        load_ns=_first(report, "load_model", "load"),
        first_inference_ns=_first(report, "first_forward"),
        peak_rss_bytes=_bytes(memory.get("max_ram")),
        memory={} if vram is None else {"process_vram": _bytes(vram)},
        switches={"runtime_version": runtime_version} if runtime_version else {},
        context=_context(scenario, environment),
    )


def _tool(environment: Mapping[str, Any]) -> str:
    """Ours, where we wrote the file: its samples are not optimum-benchmark's."""
    for tool, key in (("edgebench", _OURS), ("optimum-benchmark", "optimum_benchmark_version")):
        if told := _text(environment, key):
            return f"{tool} {told}"
    return NAME


def _precision(dtype: str) -> Precision | None:
    """None where it is not told, or left to what the weights are in. Errors: ValueError for one that we have not."""
    if dtype in ("", _BY_WEIGHTS):
        return None
    if dtype not in _DTYPES:
        raise Garbled(f"{_WHAT} is of {dtype[:40]}, which is none of {', '.join(map(str, _DTYPES.values()))}")
    return _DTYPES[dtype]


def _context(scenario: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Reading]:
    warmups, verdict = scenario.get("warmup_runs"), _text(environment, _VERDICT)
    found = {"warm-up runs": Reading(warmups, "config.scenario")} if isinstance(warmups, int) else {}
    return {**found, **({"verdict": Reading(verdict, "config.environment")} if verdict else {})}


def _config(one: Given) -> dict[str, object]:
    """Only what is known; `environment` is where their own files say what ran."""
    cell, measurement = one.measurement.cell, one.measurement
    dtypes = {precision: name for name, precision in _DTYPES.items()}
    known = {name: reading.value for name, reading in measurement.result.identity.items() if reading.value is not None}
    return {
        "name": one.label,
        "backend": {
            "name": cell.backend,
            "version": str(measurement.result.switches.get("runtime_version", "")),
            "model": cell.model,
            "dtype": dtypes[cell.precision],
        },
        "scenario": {"name": "inference", "input_shapes": {"batch_size": cell.batch}},
        "launcher": {"name": "edgebench"},
        "environment": {
            **known,
            _OURS: version(),
            "edgebench_measurement": measurement.id,
            _VERDICT: one.verdict.short,
            _PATTERN: str(cell.pattern),
        },
    }


def _target(values_ns: Sequence[int]) -> dict[str, object] | None:
    """None where nobody told how long it took."""
    told = [value for value in values_ns if value]
    if not told:
        return None
    return {"latency": _latency(np.array(told)), "throughput": None, "memory": None, "energy": None, "efficiency": None}


def _latency(values_ns: NDArray[np.int64]) -> dict[str, object]:
    values = values_ns / 1e9
    mean, deviation = float(values.mean()), float(values.std())
    tails = {f"p{percent}": float(np.percentile(values, percent)) for percent in (50, 90, 95, 99)}
    return {
        "unit": "s", "values": values.tolist(), "count": len(values), "total": float(values.sum()), "mean": mean,
        **tails, "stdev": deviation, "stdev_": 100 * deviation / mean,
    }  # fmt: skip


def _memory(one: Given) -> dict[str, object] | None:
    peak = max(process.peak_rss_bytes for process in one.processes)
    unknown = dict.fromkeys(("max_global_vram", "max_process_vram", "max_reserved", "max_allocated"))
    return {"unit": "MB", "max_ram": peak / _MB, **unknown} if peak else None


def _table(data: object, key: str) -> Mapping[str, Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _text(data: Mapping[str, Any], key: str) -> str:
    found = data.get(key)
    return found if isinstance(found, str) else ""


def _numbers(latency: Mapping[str, Any]) -> list[float]:
    values = latency.get("values")
    if not isinstance(values, list) or not values:
        raise Garbled(f"{_WHAT} keeps no values of its latencies")
    return [_number(value) for value in values]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Garbled(f"{_WHAT} has a value that is no number: {str(value)[:40]!r}")
    if not (math.isfinite(value) and 0 <= value < _MOST):
        raise Garbled(f"{_WHAT} has a value that cannot be: {value}")
    return float(value)


def _ns(seconds: float) -> int:
    """Errors: ValueError for what no clock has shown."""
    if not seconds * 1e9 < _MOST:
        raise Garbled(f"{_WHAT} has a latency of {seconds:g} s")
    return round(seconds * 1e9)


def _bytes(megabytes: object) -> int:
    return 0 if megabytes is None else round(min(_number(megabytes) * _MB, _MOST))


def _throughput(forward: Mapping[str, Any]) -> float | None:
    """Samples a second; None where it is not told."""
    value = _table(forward, "throughput").get("value")
    return None if value is None else _number(value) or None


def _first(report: Mapping[str, Any], *names: str) -> int:
    """How long a step took that happens once a process, in ns; the median of several. 0 where it is not told."""
    for name in names:
        latency = _table(_table(report, name), "latency")
        if latency:
            return _ns(float(np.median(_numbers(latency))))
    return 0
