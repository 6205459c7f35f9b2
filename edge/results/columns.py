"""The columns of a measurement: in the index, in SQL, in CSV and Parquet. docs/results.md tells them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from device_agents.contract import to_json
from edge.results.energy import NotKnown
from edge.results.verdict import RULES

if TYPE_CHECKING:
    from edge.report.rows import Row

Record = Mapping[str, Any]
"""A measurement in plain JSON values, by the names of COLUMNS."""

TEXT, NUMBER, COUNT, YES, TIME, JSON = "VARCHAR", "DOUBLE", "BIGINT", "BOOLEAN", "TIMESTAMP", "JSON"
_STORED = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class Column:
    """`kind` is SQL's type, `meaning` says what it holds and its unit."""

    name: str
    kind: str
    meaning: str


COLUMNS = (
    Column("id", TEXT, "the measurement"),
    Column("run", TEXT, "the run that made it"),
    Column("device", TEXT, "as the fleet file names it"),
    Column("profile", TEXT, "the device's profile"),
    Column("model", TEXT, "the model"),
    Column("framework", TEXT, "which framework's export was timed"),
    Column("backend", TEXT, "what ran it"),
    Column("runtime", TEXT, "the backend, and whose engine it ran where another runtime built that"),
    Column("runtime_version", TEXT, "of the backend on that device"),
    Column("provider", TEXT, "of onnxruntime"),
    Column("precision", TEXT, "fp32, fp16 or int8"),
    Column("batch", COUNT, "samples an inference"),
    Column("height", COUNT, "of the images, pixels; NULL for the size that the model is tuned for"),
    Column("width", COUNT, "of the images, pixels"),
    Column("pattern", TEXT, "the load: serial, pipelined, rate:FPS, sizes:LEAST-MOST"),
    Column("streams", COUNT, "inferences that overlap"),
    Column("hot_input", YES, "one input buffer, which stays in the cache"),
    Column("transfers", YES, "inputs and outputs are copied in the timed part"),
    Column("cold", YES, "the first process was to start with model and runtime out of the page cache"),
    Column("engines", TEXT, "whose engine was timed: own, per-class or ahead"),
    Column("build", COUNT, "which engine of a build lottery, from 1; 0 for none"),
    Column("repeat", COUNT, "which repeat of a sweep, from 0"),
    Column("median_ms", NUMBER, "latency, milliseconds: the mean of the processes' medians"),
    Column("median_half_width_ms", NUMBER, "half of its 95 % interval, milliseconds; NULL for one process"),
    Column("mean_ms", NUMBER, "latency, milliseconds"),
    Column("p90_ms", NUMBER, "latency, milliseconds; NULL where the samples do not support it"),
    Column("p95_ms", NUMBER, "latency, milliseconds; NULL where the samples do not support it"),
    Column("p99_ms", NUMBER, "latency, milliseconds; NULL where the samples do not support it"),
    Column("p99_half_width_ms", NUMBER, "half of its 95 % interval, milliseconds"),
    Column("throughput_per_s", NUMBER, "samples a second"),
    Column("load_ms", NUMBER, "loading the model, milliseconds"),
    Column("first_inference_ms", NUMBER, "the first inference, milliseconds"),
    Column("first_answer_cold_s", NUMBER, "process start to first answer, page cache seen cold; else NULL"),
    Column("first_answer_warm_s", NUMBER, "the same, seen warm and compiled before; the mean of processes"),
    Column("first_answer_warm_half_width_s", NUMBER, "half of its 95 % interval; NULL for one process"),
    Column("peak_memory_bytes", COUNT, "of the process over what it held before importing the runtime"),
    Column("peak_device_memory_bytes", COUNT, "of the device, over the same; NULL where it does not tell"),
    Column("cost_per_million_images", NUMBER, "at the measured throughput, in `currency`; NULL without a price"),
    Column("cost_per_day", NUMBER, "24 hours of the device, in `currency`"),
    Column("images_per_day", NUMBER, "served in 24 hours at the measured throughput"),
    Column("price_per_hour", NUMBER, "of what was measured, in `currency`"),
    Column("currency", TEXT, "of the price: USD"),
    Column("joules_per_sample", NUMBER, "energy while it was timed; NULL where no sensor was watched"),
    Column("watts", NUMBER, "mean power while it was timed"),
    Column("images_labelled", COUNT, "labelled images that went through the engine; NULL without any"),
    Column("top1", NUMBER, "images whose class had the highest score, a share of 1"),
    Column("top5", NUMBER, "images whose class had one of the five highest; NULL for five classes or fewer"),
    Column("late_share", NUMBER, "answers later than the time-out of a rate, a share of 1; NULL without one"),
    Column("samples", COUNT, "timed inferences, of all processes"),
    Column("processes", COUNT, "fresh processes"),
    Column("within_run", YES, "one process, which says nothing of the next run"),
    Column("spread", NUMBER, "coefficient of variation of the processes' medians, a share of 1"),
    Column("spread_within_run", NUMBER, "the same over ten stretches of a run, a share of 1"),
    Column("drift", NUMBER, "largest change from the first to the last quarter of a process, a share of 1"),
    Column("verdict", TEXT, "VALID, INVALID or UNJUDGED"),
    Column("rules", COUNT, "the number of the rules that judged it"),
    Column("artifact", TEXT, "SHA-256 that names the artifact"),
    Column("weights", TEXT, "pretrained, random or sha256:..."),
    Column("edgebench", TEXT, "the version that measured it"),
    Column("started_at", TIME, "when the job began, UTC, by the device's clock"),
    Column("stored_at", TIME, "when it came into this store, UTC"),
    Column("measuring_s", NUMBER, "loading, checking, warming up and timing, seconds"),
    Column("waited_s", NUMBER, "while somebody else held the accelerator, seconds"),
    Column("power_mode", TEXT, "of a Jetson: the one that was asked for"),
    Column("lock_clocks", YES, "clocks were held at their highest"),
    Column("shared", YES, "measured beside the device's product"),
    Column("foreign_tool", TEXT, "the other tool that measured it; NULL for edgebench"),
    Column("imported_from", TEXT, "the bundle that it was imported from; NULL for what was measured from here"),
    Column("produced_by", JSON, "the versions that made the artifact, by name"),
    Column("identity", JSON, "what the device told of itself: `{name: {value, source}}` or `{name: {unknown}}`"),
    Column("figures", JSON, "all of it, as `results show --json` has it"),
)
DAMAGED = Column("damaged", TEXT, "why it cannot be read")  # a record of the index that is in no view
INDEXED = (*COLUMNS, DAMAGED)
NAMES = tuple(column.name for column in COLUMNS)


def record(row: Row, stored_ns: int) -> Record:
    """The columns of a measurement whose result was written at `stored_ns`, Unix time."""
    from edge.report.row_json import as_json

    measurement, figures = row.measurement, to_json(as_json(row))
    size, imported, energy = figures["size"] or {}, measurement.imported, figures["energy"] or {}
    accuracy = figures["accuracy"] or {}
    derived = {
        **_starting(row),
        **_holding(row),
        **_costing(row),
        "profile": measurement.origin.device_profile,
        "height": size.get("height"),
        "width": size.get("width"),
        "rules": RULES,
        "artifact": measurement.origin.artifact,
        "weights": measurement.origin.weights,
        "edgebench": measurement.origin.edgebench,
        "started_at": _moment(figures["started_at"]),
        "stored_at": datetime.fromtimestamp(stored_ns / 1e9, timezone.utc).strftime(_STORED),
        "joules_per_sample": energy.get("joules_per_sample"),
        "watts": energy.get("watts"),
        "images_labelled": accuracy.get("images"),
        "top1": (accuracy.get("top1") or {}).get("share"),
        "top5": (accuracy.get("top5") or {}).get("share"),
        "late_share": (figures["late_answers"] or {}).get("share"),
        "power_mode": measurement.cell.power_mode,
        "lock_clocks": measurement.cell.lock_clocks,
        "shared": measurement.cell.shared,
        "foreign_tool": measurement.origin.foreign.tool if measurement.origin.foreign else None,
        "imported_from": imported.bundle if imported else None,
        "produced_by": to_json(measurement.origin.produced_by),
        "identity": to_json(measurement.result.identity),
        "figures": figures,
    }
    return {name: derived[name] if name in derived else figures[name] for name in NAMES}


def _starting(row: Row) -> Record:
    """Cold and warm, as far as each was seen."""
    found = row.loading
    cold, warm = (None, None) if isinstance(found, NotKnown) else (found.cold, found.warm)
    return {
        "first_answer_cold_s": cold and cold.total_s,
        "first_answer_warm_s": warm and warm.total_s,
        "first_answer_warm_half_width_s": warm and warm.half_width_s,
    }


def _holding(row: Row) -> Record:
    found = row.footprint
    process, device = (None, None) if isinstance(found, NotKnown) else (found.process, found.device)
    return {"peak_memory_bytes": process, "peak_device_memory_bytes": device}


def _costing(row: Row) -> Record:
    found = row.cost
    if isinstance(found, NotKnown):
        return dict.fromkeys(_COSTS)
    return {
        "cost_per_million_images": found.per_million_images,
        "cost_per_day": found.per_day,
        "images_per_day": found.images_per_day,
        "price_per_hour": found.per_hour,
        "currency": found.price.currency,
    }


_COSTS = ("cost_per_million_images", "cost_per_day", "images_per_day", "price_per_hour", "currency")


def damaged(measurement_id: str, why: str, stored_ns: int) -> Record:
    stored_at = datetime.fromtimestamp(stored_ns / 1e9, timezone.utc).strftime(_STORED)
    return {**dict.fromkeys(NAMES), "id": measurement_id, "stored_at": stored_at, DAMAGED.name: why}


def _moment(text: str) -> str | None:
    """A device's own word for when it began, where it is a time."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        found = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
        return found.astimezone(timezone.utc).strftime(_STORED)
    except (ValueError, OverflowError):
        return None
