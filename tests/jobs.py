"""A job for tests in which its ids and files do not matter."""

from __future__ import annotations

from typing import Any

from device_agents.contract import SCHEMA, FileEntry, JobSpec, Precision


def job_spec(**fields: Any) -> JobSpec:
    """A job of a `model.onnx` that nobody opens, FP32 on onnxruntime unless `fields` say otherwise; inputs, outputs and
    batch are the caller's."""
    return JobSpec(
        **{
            "schema": SCHEMA,
            "job": "job-0001",
            "backend": "onnxruntime",
            "artifact": "tiny-0001",
            "files": (FileEntry("model.onnx", 1, "0" * 64),),
            "model_file": "model.onnx",
            "precision": Precision.FP32,
            **fields,
        }
    )
