"""Measurements that nobody made, for tests of what becomes of stored ones."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from device_agents.contract import SCHEMA, JobResult, Precision, ProcessResult, Reading, SampleRange
from edge.planning.plan import Cell
from edge.results.store import Measurement, Origin, Store
from profiles.schema import Thresholds

VALUES = np.arange(1, 21, dtype="<i8")


def measurement(name: str, *, started_at: str = "2026-01-01T00:00:00Z", run: str = "run-1", **cell: Any) -> Measurement:
    """Five samples of warm-up and fifteen that count: 6 to 20 ns."""
    data = VALUES.tobytes()
    part = ProcessResult(0, 1, 1, 1, SampleRange(0, 5), SampleRange(5, 15), 10**9, True, 150, 1, {})
    result = JobResult(
        SCHEMA, name, "a" * 64, "onnxruntime", started_at, {}, {}, {}, (part,), len(VALUES),
        hashlib.sha256(data).hexdigest(), {},
    )  # fmt: skip
    origin = Origin("local", None, Thresholds(), "a" * 64, "random", "b" * 64, "0")
    asked = {"device": "local", "model": "resnet18", "framework": "pytorch", "backend": "onnxruntime",
             "precision": Precision.FP32, "batch": 1, **cell}  # fmt: skip
    return Measurement(name, run, Cell(**asked), origin, "now", result)


def telling(found: Measurement) -> Measurement:
    """The same, of a device that tells its host's name, its serial number and a folder of its user."""
    told = {
        "hostname": Reading("orin-in-the-lab", "gethostname"),
        "virtual_environment": Reading("open", "/home/jane/venv"),
    }
    command = "trtexec --loadEngine=/home/jane/x.engine on orin-in-the-lab as jane@orin.lab.example"
    identity = {"serial": Reading("1421223000", "/proc/device-tree/serial-number")}
    return replace(found, result=replace(found.result, context=told, identity=identity, command=command))


def add(store: Store, *found: Measurement) -> None:
    for one in found:
        store.add(one, VALUES.tobytes())
