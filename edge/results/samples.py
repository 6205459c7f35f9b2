"""The raw samples of a measurement, checked before anybody believes them."""

from __future__ import annotations

import hashlib

import numpy as np

from device_agents.contract import JobResult
from profiles.errors import ResultError


def check_samples(result: JobResult, data: bytes, *, where: str) -> None:
    """Errors: ResultError when the bytes are not the samples that `result` was made with, or are no latencies."""
    if len(data) != 8 * result.samples_count or hashlib.sha256(data).hexdigest() != result.samples_sha256:
        message = f"the samples are not those of the result ({len(data)} bytes, {8 * result.samples_count} expected)"
        raise ResultError(message, where=where, fix="measure again")
    values = np.frombuffer(data, dtype="<i8")
    for process in result.processes:
        for place in (process.warmup, process.timed):
            if values[place.offset : place.offset + place.count].min(initial=1) < 1:
                raise ResultError("a sample is not positive", where=where, fix="measure again")
        for part in process.parts.values():  # 0 is right: without transfers there is nothing to copy
            if values[part.offset : part.offset + part.count].min(initial=0) < 0:
                raise ResultError("a part of an inference is negative", where=where, fix="measure again")
        if process.sizes is not None and values[process.sizes.offset :][: process.sizes.count].min(initial=1) < 1:
            raise ResultError("a size of images is not positive", where=where, fix="measure again")
