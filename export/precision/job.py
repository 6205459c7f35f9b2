"""A child's work (op "convert"): an FP32 artifact's graph into FP16 or INT8, or only what FP16 would not hold of it.

A job holds `task` (scan, convert), the files `model` and `golden`, and to convert: `precision` (fp16, int8), `method`
(convert, autocast; for INT8 there is one), `io` (model, fp32), the folder `out`; for INT8 `calibration`, {"data": hash
or "random", "file": .npz or null}, and the file `ranges`, which is read where it is there and written where it is not.
The answer holds `kept` (export.artifact.KeptNode), `method`, `notes` (sentences for the operator), `calibration`
(export.artifact.Calibration, or null) and `produced_by`; of a scan `found` alone (overflow.Overflow), which a job for
FP16 takes, so that nothing is sought twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from device_agents.contract import TensorSpec, from_json, to_json
from export import graph as graphs
from export.artifact import Calibration, KeptNode
from export.data import golden, preprocess
from export.precision import autocast, calibration, fp16, int8, overflow
from export.precision.nodes import expect_opset, lift_constants
from export.precision.overflow import Overflow
from export.precision.placement import Placement, place
from export.precision.running import Arrays, batches
from export.request import FREE_BATCH
from profiles.errors import ExportError
from profiles.progress import Progress

Job = dict[str, Any]

_SCALES_IN_HALF = 19
"""The opset from which QuantizeLinear and DequantizeLinear take and give FP16."""

_AXES_OF_SCALES = 13
"""The opset from which QuantizeLinear and DequantizeLinear have scales per channel."""

_RANDOM_SETS = 8  # of golden.COUNT samples each


def compute(job: Job, progress: Progress) -> Job:
    """See above. Errors: ConfigError for autocast without ModelOpt; ExportError for calibration data that does not fit,
    and for graphs that cannot be run or converted, or are of an opset that has not what it takes."""
    if job["task"] == "scan":
        return {"found": [to_json(one) for one in _scan(job, [], progress)]}
    answer = _to_int8(job, progress) if job["precision"] == "int8" else _to_fp16(job, progress)
    return {"calibration": None, "produced_by": {}, **answer}


def _to_fp16(job: Job, progress: Progress) -> Job:
    known = job.get("found")
    found = _scan(job, [], progress) if known is None else [from_json(Overflow, one) for one in known]
    if job["method"] == "autocast":
        return _by_autocast(job, found, progress)
    progress("convert to FP16")
    model = graphs.load(Path(job["model"]))
    notes = fp16.convert(model, _outputs(found) | preprocess.tensors(model), job["io"])
    _write(model, job)
    return {"kept": _told(found), "method": "convert", "notes": notes}


def _by_autocast(job: Job, found: Sequence[Overflow], progress: Progress) -> Job:
    progress("convert to FP16 with AutoCast")
    path = Path(job["model"])
    first = next(batches(graphs.load(path), golden.load(Path(job["golden"]))[0]))
    model, version = autocast.convert(path, found, job["io"], first)
    _write(model, job)
    return {"kept": _told(found), "method": "autocast", "notes": [], "produced_by": {"nvidia-modelopt": version}}


def _to_int8(job: Job, progress: Progress) -> Job:
    model = graphs.load(Path(job["model"]))
    expect_opset(model, _AXES_OF_SCALES, "INT8")
    lift_constants(model.graph)
    placement = place(model.graph)
    if not placement.weights:
        fix = "export it in FP16"
        raise ExportError("nothing in this graph is to be quantised: no convolution, no constant matrix", fix=fix)
    samples, notes = _samples(model, job)
    ranges = _ranges(job, placement, samples, progress)
    progress("quantise")
    int8.quantise(model, placement, ranges)
    kept: list[Overflow] = []
    if graphs.opset(model) >= _SCALES_IN_HALF:
        kept = _scan(job, [samples], progress)
        wide = _outputs(kept) | int8.beyond(placement, ranges) | preprocess.tensors(model)
        notes += fp16.convert(model, wide, job["io"])
    else:
        notes.append(f"what is not INT8 is FP32, as opset {graphs.opset(model)} has no scales in FP16: opset 19 has")
    _write(model, job)
    count = len(next(iter(samples.values())))
    told = Calibration(data=job["calibration"]["data"], samples=count, method=calibration.METHOD)
    return {"kept": _told(kept), "method": "static", "notes": notes, "calibration": to_json(told)}


def _scan(job: Job, more: Sequence[Arrays], progress: Progress) -> list[Overflow]:
    """At every size of which there are golden samples: what is summed over an image grows with it."""
    inputs = [golden.load(path)[0] for path in golden.of_every_size(Path(job["golden"]).parent)]
    return overflow.scan(Path(job["model"]), [*inputs, *more], progress)


def _outputs(found: Sequence[Overflow]) -> frozenset[str]:
    return frozenset(one.output for one in found)


def _told(found: Sequence[Overflow]) -> list[Job]:
    kept = (KeptNode(node=one.node, op=one.op, tensor=one.tensor, largest=one.largest) for one in found)
    return [to_json(one) for one in kept]


def _ranges(job: Job, placement: Placement, samples: Arrays, progress: Progress) -> dict[str, float]:
    path = Path(job["ranges"])
    known = calibration.load(path, placement.tensors)
    if known is not None:
        return known
    ranges = calibration.calibrate(Path(job["model"]), placement.tensors, samples, progress)
    calibration.save(path, ranges)
    return ranges


def _samples(model: Any, job: Job) -> tuple[Arrays, list[str]]:
    """(arrays by input name, sentences for the operator)."""
    file = job["calibration"]["file"]
    if file is None:
        inputs, _ = golden.load(Path(job["golden"]))
        note = "the ranges of INT8 come from random data: its accuracy on real images is not known, calibrate on those"
        return {name: _random(name, array) for name, array in inputs.items()}, [note]
    arrays, _ = golden.load(Path(file))
    for spec in graphs.specs(model.graph.input):
        _refuse_unfit(spec, arrays, file)
    counts = {len(arrays[value.name]) for value in model.graph.input}
    if counts == {0}:
        raise ExportError("there are 0 samples to calibrate on", where=file, fix="give a hundred or more")
    if len(counts) > 1:
        raise ExportError(f"its inputs have unlike numbers of samples: {sorted(counts)}", where=file)
    return {value.name: arrays[value.name] for value in model.graph.input}, []


def _refuse_unfit(spec: TensorSpec, arrays: Arrays, file: str) -> None:
    if spec.name not in arrays:
        raise ExportError(f"there is no calibration data for input {spec.name!r} but for {sorted(arrays)}", where=file)
    array = arrays[spec.name]
    wanted = spec.shape[1:]
    fits = array.ndim == len(spec.shape) and all(
        isinstance(dim, str) or dim == size for dim, size in zip(wanted, array.shape[1:], strict=True)
    )
    if not fits:
        told = f"samples of input {spec.name!r} have the shape {array.shape[1:]}, the model takes {wanted}"
        raise ExportError(told, where=file)
    if (array.dtype.kind == "f") != spec.dtype.startswith("float"):
        raise ExportError(f"input {spec.name!r} takes {spec.dtype}, the calibration data is {array.dtype}", where=file)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ExportError(f"the calibration data for input {spec.name!r} holds values that are not finite", where=file)
    if array.dtype.kind == "f" and array.size and not array.any():
        raise ExportError(
            f"the calibration data for input {spec.name!r} is 0 everywhere: it shows no range", where=file
        )


def _random(name: str, like: NDArray[Any]) -> NDArray[Any]:
    """Samples with the shape and the range of golden ones, made as those are, of other seeds."""
    pixels = like.dtype == np.uint8 and like.ndim == 4  # N, H, W, C
    shape = (like.shape[3], *like.shape[1:3]) if pixels else like.shape[1:]
    dtype = "float32" if pixels else like.dtype.name
    spec = TensorSpec(name, dtype, (FREE_BATCH, *shape), float(like.min()), float(like.max()))
    sets = [golden.values(spec, seed=golden.SEED + number) for number in range(1, _RANDOM_SETS + 1)]
    array = np.concatenate(sets)
    return np.rint(array).astype(np.uint8).transpose(0, 2, 3, 1) if pixels else array


def _write(model: Any, job: Job) -> None:
    out = Path(job["out"])
    out.mkdir(parents=True, exist_ok=True)
    graphs.sanitise(model)
    graphs.save(model, out)
