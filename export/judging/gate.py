"""The gate that every graph passes or is not made: cared for, checked, compared, counted, written. In a child of its
own with onnx and onnxruntime alone: a runtime that crashes on a graph takes nothing with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from device_agents.contract import Precision, TensorSpec, dumps, from_json, to_json
from device_agents.formats.differences import varies
from export import graph
from export.artifact import (
    GOLDEN,
    JUDGED,
    SHAPES,
    TOLD,
    Artifact,
    Format,
    NotChecked,
    Parity,
    content_id,
    hash_files,
)
from export.data import golden, preprocess, shipped
from export.draft import MODEL_FILE, Case, Draft
from export.judging import boxes, parity
from export.request import FREE_BATCH, FREE_HEIGHT, FREE_WIDTH, ExportRequest, from_job
from profiles.errors import ExportError
from profiles.progress import Progress


def compute(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The artifact as JSON under `artifact`, its files in the folder `out`; or `ask`: "half", when the framework's
    own FP16 outputs decide. Errors: ParityError when the graph does not compute what the framework does; ExportError
    when it is invalid, or has other inputs or another opset than were asked for. Nothing counts as made then."""
    case, request = from_json(Case, job["case"]), from_job(job["request"])
    progress(f"check {case.name}")
    model, unread, notes = _graph(case, request)
    inputs = _inputs(model, case.draft, request)
    outputs = graph.specs(model.graph.output)
    path = graph.save(model, Path(case.out))
    samples = _golden(case, inputs, unread)
    _expect_inputs(inputs, samples[GOLDEN][0])
    facts = graph.facts(path, samples[GOLDEN][0], _sizes(request))
    del model
    task = request.task or _task(case.draft, outputs)
    progress(f"compare {case.name} with {request.framework}")
    judge = _Judge(path, task, case, request.precision)
    judged = judge.golden(samples)
    if judged is None:
        return {"ask": "half"}
    of_images, left_out = judge.images(inputs)
    _write(Path(case.out), request, case.named)
    _write_golden(Path(case.out), samples, task, keep=case.parent is None)
    files = hash_files(Path(case.out))
    artifact = Artifact(
        id=content_id(files),
        path=Path(case.out),
        model=case.name,
        framework=request.framework,
        format=Format.ONNX,
        precision=request.precision,
        weights=request.weights,
        batch=case.draft.batch,
        inputs=inputs,
        outputs=outputs,
        model_file=path.name,
        files=files,
        parity=judged,
        graph=facts,
        produced_by=case.draft.produced_by,
        golden=GOLDEN,
        parent=case.parent,
        profiles=request.profiles,
        version=case.name.partition("@")[2],
        task=task,
        head=request.head,
        images=case.draft.images,
        pixels=request.pixels,
        layout=_layout(case.draft, request),
        labels=case.draft.labels,
        kept_fp32=case.kept_fp32,
        calibration=case.calibration,
        parity_images=of_images,
        notes=(*case.draft.notes, *notes, *left_out),
        sources=case.draft.sources,
    )
    told: dict[str, Any] = to_json(artifact)
    del told["path"]
    return {"artifact": told}


def _graph(case: Case, request: ExportRequest) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """(the graph as it will be written, the inputs that it lost as it does not read them, notes). Errors: ExportError
    for one that is invalid or of another opset."""
    model = graph.load(Path(case.graph) / MODEL_FILE)
    graph.refuse_bad(model)
    unread: tuple[str, ...] = ()
    notes = []
    if case.care:
        had_functions = bool(model.functions)
        cared = graph.tidy(model)
        model, unread = cared.model, cared.dropped
        if had_functions:  # what was inside of them is seen only now
            graph.refuse_bad(model)
        notes = [cared.note] if cared.note else []
        notes += [f"input {name!r} is dropped: nothing in the graph reads it" for name in unread]
    if request.pixels == "uint8" and not preprocess.tensors(model):
        model = preprocess.in_graph(model, case.draft.images)
    given = graph.opset(model)
    if request.framework != "onnx" and given != request.opset:
        fix = f"ask for opset {given}"
        raise ExportError(f"the exporter made opset {given}, not {request.opset}", where=case.name, fix=fix)
    graph.check(model)
    return model, unread, tuple(notes)


def _inputs(model: Any, draft: Draft, request: ExportRequest) -> tuple[TensorSpec, ...]:
    """The graph's inputs with the values that they take in practice."""
    ranges = dict(draft.ranges)
    for image in draft.images:
        ranges[image.name] = (0.0, 255.0) if request.pixels == "uint8" else (image.low, image.high)
    found = graph.specs(model.graph.input)
    return tuple(
        replace(spec, low=ranges[spec.name][0], high=ranges[spec.name][1]) if spec.name in ranges else spec
        for spec in found
    )


def _golden(
    case: Case, inputs: tuple[TensorSpec, ...], unread: tuple[str, ...]
) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """(inputs, outputs) by file name, the inputs as the graph takes them."""
    found = {}
    for path in golden.of_every_size(Path(case.golden)):
        given, answers = golden.load(path)
        found[path.name] = (_as_taken(given, given.keys() - set(unread), inputs, case.draft), answers)
    if GOLDEN not in found:
        raise ExportError("the framework gave no golden data", where=case.name)
    return found


def _as_taken(
    given: Mapping[str, Any], read: Collection[str], inputs: tuple[TensorSpec, ...], draft: Draft
) -> dict[str, Any]:
    """The arrays of the inputs that are read: whole pixels where the graph wants those."""
    images = {image.name: image for image in draft.images}
    whole = {spec.name for spec in inputs if spec.dtype == "uint8" and spec.name in images}
    return {
        name: preprocess.to_pixels(array, images[name]) if name in whole and array.dtype.kind == "f" else array
        for name, array in given.items()
        if name in read
    }


def _expect_inputs(inputs: tuple[TensorSpec, ...], given: Mapping[str, Any]) -> None:
    """tf2onnx has given graphs false inputs: by some routes EfficientNet gains two."""
    names = [spec.name for spec in inputs]
    if sorted(names) != sorted(given):
        raise ExportError(f"the graph's inputs are {names}, the model's {sorted(given)}")


def _layout(draft: Draft, request: ExportRequest) -> str:
    """Of the images, as letters: all of a model's are of one kind."""
    if not draft.images:
        return ""
    frames = "T" if len(draft.images[0].shape) == 4 else ""
    return f"N{frames}HWC" if request.pixels == "uint8" else f"NC{frames}HW"


def _task(draft: Draft, outputs: tuple[TensorSpec, ...]) -> str:
    """A model of the user's that says nothing else and gives one row of numbers a sample is a classifier."""
    if draft.task == "other" and len(outputs) == 1 and len(outputs[0].shape) == 2:
        return "classification"
    return draft.task


def _sizes(request: ExportRequest) -> dict[str, int]:
    """One sample, at the size that profiles are tuned for."""
    sides = dict(zip((FREE_HEIGHT, FREE_WIDTH), request.size, strict=True)) if request.size else {}
    return {FREE_BATCH: 1, **{name: side.opt for name, side in sides.items()}}


@dataclass(frozen=True)
class _Judge:
    path: Path
    task: str
    case: Case
    precision: Precision

    def golden(self, samples: Mapping[str, tuple[dict[str, Any], dict[str, Any]]]) -> Parity | NotChecked | None:
        """Of the worst size; None when the framework's own FP16 outputs are needed to judge. What has nothing but
        itself to be compared with is held against what it was before it was cared for. Errors: ParityError."""
        compared = {name: self._compare(*pair) for name, pair in samples.items()}
        half = self._half(samples[GOLDEN][1])
        doubtful = self.precision is Precision.FP16 and any(one.over_limit(self.precision) for one in compared.values())
        if doubtful and half is None and self.case.can_ask:
            return None
        judged = [(name, parity.judge(one, self.precision, framework=half)) for name, one in compared.items()]
        if self.case.draft.unchecked is not None:
            return NotChecked(self.case.draft.unchecked)
        name, worst = max(judged, key=lambda pair: pair[1].error / pair[1].limit)
        size = name.removeprefix("golden").removesuffix(".npz").lstrip("-")
        return replace(worst, note="; ".join(filter(None, (worst.note, size and f"at {size}, the worst size"))))

    def images(self, taken: tuple[TensorSpec, ...]) -> tuple[Parity | None, tuple[str, ...]]:
        """(of the operator's own images, notes). What has no scale there is left out, and told. Errors: ParityError."""
        if self.case.images is None:
            return None, ()
        given, reference = golden.load(Path(self.case.images))
        judged = _with_scale(reference, self.task)
        left = ", ".join(repr(name) for name in reference if name not in judged)
        notes = (f"not compared on your images, as it is the same for all of them: output {left}",) if left else ()
        if not judged:
            return None, notes
        inputs = _as_taken(given, {spec.name for spec in taken}, taken, self.case.draft)
        outputs = parity.run(self.path, inputs, self.precision)
        compared = parity.compare(judged, {name: outputs[name] for name in judged if name in outputs}, self.task)
        return parity.judge(compared, self.precision), notes

    def _compare(self, inputs: dict[str, Any], reference: dict[str, Any]) -> parity.Comparison:
        outputs = parity.run(self.path, inputs, self.precision)
        return parity.compare(reference, outputs, self.task)

    def _half(self, reference: dict[str, Any]) -> parity.Comparison | None:
        if self.case.half is None:
            return None
        return parity.compare(reference, golden.load(Path(self.case.half))[1], self.task)


def _with_scale(reference: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The outputs that an error can be told of: all that are not the same for every sample, as all are of one image,
    and boxes where any was found."""
    final = task == "detection" and boxes.are_final(reference) and bool((reference["scores"] > 0).any())
    room = reference["boxes"].shape[1:2] if final else None
    return {name: array for name, array in reference.items() if varies(array) or array.shape[1:2] == room}


def _write(out: Path, request: ExportRequest, named: str) -> None:
    """The other payload files. What the manifest says for this request alone is one: two requests with one graph and
    unlike names, labels or images are two artifacts."""
    told = {"model": named, "task": request.task, "labels": request.labels, "images": request.images}
    if any(told.values()):
        (out / TOLD).write_text(dumps(told, indent=1) + "\n", encoding="utf-8")
    if request.profiles:
        (out / SHAPES).write_text(dumps({"profiles": request.profiles}, indent=1) + "\n", encoding="utf-8")


def _write_golden(
    out: Path, samples: Mapping[str, tuple[dict[str, Any], dict[str, Any]]], task: str, *, keep: bool
) -> None:
    """What is shipped, and with `keep` all of it where that is a part: FP16 and INT8 of this graph are judged by it."""
    parts = [
        shipped.save(
            out / name,
            *pair,
            room=shipped.ROOM // len(samples),
            whole=task == "detection" and boxes.are_matched(pair[1]),
        )
        for name, pair in samples.items()
    ]
    if keep and any(parts):
        (out / JUDGED).mkdir()
        for name, pair in samples.items():
            golden.save(out / JUDGED / name, *pair)
