"""What trtexec prints: a summary with percentiles, and no samples."""

from __future__ import annotations

import re
from collections.abc import Mapping

from device_agents.contract import LoadPattern, Reading, Scalar
from device_agents.formats import trtexec
from device_agents.formats.trtexec import Figures
from edge.results.foreign import Told
from edge.results.interop.read import Read
from edge.results.interop.trtexec_times import LATENCY

_BEGUN = re.compile(r"^&&&& RUNNING TensorRT\.trtexec", re.MULTILINE)
_SUMMARY = re.compile(r"=== Performance summary ===")
_FAILED = re.compile(r"^&&&& FAILED TensorRT\.trtexec", re.MULTILINE)
_VERSION = re.compile(r"TensorRT version: (\d[\d.]*)")
_COMMAND = re.compile(r"^&&&& \w+ TensorRT\.trtexec .*?\] # (.+)$", re.MULTILINE)
_BATCH = re.compile(r"Batch: (\d{1,6})\b")
_ASKED_BATCH = re.compile(r"(?:^|\s)--batch=(\d{1,6})(?=\s|\Z)")
_STAMP = re.compile(r"^\[(\d\d)/(\d\d)/(\d{4})-(\d\d:\d\d:\d\d)\]", re.MULTILINE)
_COMMAND_LENGTH = 4000


def read(text: str) -> Read:
    """Percentiles are taken as they are told, as far as so many inferences support them. What is quoted of a log often
    lacks its beginning and end: the summary alone must be whole.

    Errors: ValueError for several runs, for one that failed, or for what the summary lacks.
    """
    runs = max(len(one.findall(text)) for one in (_BEGUN, _SUMMARY))
    if runs > 1:
        raise ValueError(f"it holds {runs} runs of trtexec; cut it into one file each")
    if _FAILED.search(text):
        raise ValueError(f"trtexec failed in this run: {trtexec.parse_failure(text).message}")
    summary, switches, context = trtexec.parse_summary(text), dict[str, Scalar](LATENCY), dict[str, Reading]()
    pattern = None
    try:
        settings = trtexec.parse_settings(text)
    except ValueError as error:
        context["streams, transfers"] = Reading(unknown=str(error))
    else:
        pattern = LoadPattern("serial" if settings.serial else "pipelined")
        switches.update(settings._asdict())
        del switches["serial"]
    alone, command = switches.get("streams", 1) == 1, _command(text)
    batch = _batch(text, command)
    per_s = summary.throughput_per_s / batch
    parts = {"h2d": summary.h2d, "compute": summary.compute, "d2h": summary.d2h, "enqueue": summary.enqueue}
    told = Told(
        inferences=round(per_s * summary.walltime_s),
        latencies_ns=_latencies(summary.latency) if alone else {},
        parts_ns={name: figures.median_ns for name, figures in parts.items()},
        throughput_per_s=per_s,
        load_ns=round((trtexec.parse_load_s(text) or 0.0) * 1e9),
    )
    version = _version(text)
    switches.update({"runtime_version": version} if version else {})
    memory = trtexec.parse_device_memory(text)
    if memory is not None:
        context["engine_device_bytes"] = Reading(memory, "trtexec")
    return Read(
        tool=f"trtexec {version}".strip(),
        backend="trtexec",
        batch=batch if batch > 1 else None,
        pattern=pattern,
        told=told,
        switches=switches,
        context=context,
        processes=1,
        started_at=_started_at(text),
        command=command[:_COMMAND_LENGTH],
    )


def _command(text: str) -> str:
    """As it was typed; empty where no line tells it."""
    told = _COMMAND.search(text)
    return told.group(1).strip() if told else ""


def _batch(text: str, command: str) -> int:
    """An implicit batch (TensorRT 8), by which trtexec multiplies its throughput. 1 says nothing: that stands there of
    a loaded engine with a batch of its own, too."""
    options = text.partition("=== Inference Options ===")[2].partition("===")[0]
    told = _BATCH.search(options) if "Batch: " in options else _ASKED_BATCH.search(command)
    return max(int(told.group(1)), 1) if told else 1


def _latencies(figures: Figures) -> Mapping[str, int]:
    tails = {f"p{percent:g}": value for percent, value in figures.percentiles_ns.items()}
    return {"mean": figures.mean_ns, "median": figures.median_ns, **tails}


def _version(text: str) -> str:
    """Empty where neither the banner nor a line tells it."""
    try:
        return trtexec.parse_version(text)
    except ValueError:
        told = _VERSION.search(text)
        return told.group(1) if told else ""


def _started_at(text: str) -> str:
    """The time of its first line, by the clock and in the zone of that machine, which is not told: taken for UTC."""
    stamp = _STAMP.search(text)
    if stamp is None:
        return ""
    month, day, year, clock = stamp.groups()
    return f"{year}-{month}-{day}T{clock}"
