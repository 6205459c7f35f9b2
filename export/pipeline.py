"""How an artifact is made: child processes one after the other, each gone before the next one begins.

    FP32          draft (framework) ─► gate
    native        the FP32 artifact ─► weights or a SavedModel, held against its golden data (export.native)
    FP16, INT8    the FP32 artifact ─► scan ─► convert, or for PyTorch draft again with the network in FP16 ─► gate

A gate that is in doubt about FP16 asks for the framework's own FP16 outputs. The operator's images are answered by the
framework first.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from device_agents.contract import Precision, SchemaViolation, TensorSpec, from_json, to_json
from export import native
from export.artifact import GOLDEN, JUDGED, Artifact, Calibration, Format, KeptNode, Store
from export.cache import adopt, is_twin, weights_key
from export.child import Run, run_job
from export.draft import HALF, MODEL_FILE, Case, Draft
from export.models import ONNX, ModelRef, installed
from export.request import RANDOM, ExportRequest, to_job, uncalibrated
from profiles.errors import ConfigError, ExportError, ParityError

_NATIVE_TASKS = ("classification", "segmentation", "video", "other")
"""What networks stay the same after .half(): coordinates of boxes and of a flow are beyond FP16's grid."""


@dataclass
class Pipeline:
    """Makes one artifact of `ref` in `run.workspace`. `parent` gives the FP32 artifact of the same request."""

    ref: ModelRef
    request: ExportRequest
    store: Store
    run: Run
    parent: Callable[[], Artifact]
    skip_unreadable: bool = False
    explain: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def make(self) -> Artifact:
        """Errors: ExportError, ParityError; ConfigError for what only shows once the model is known."""
        self._find_weights()
        if self.request.format is not Format.ONNX:
            return self._native_form(self.parent())
        if self.request.precision is Precision.FP32:
            return self._from_draft(self._draft())
        if self.ref.kind == ONNX:  # a file may be in that precision already
            draft = self._draft()
            if draft.precision is self.request.precision:
                return self._from_draft(draft)
        return self._from_parent(self.parent())

    @property
    def _own_name(self) -> str:
        return self.ref.name if self.ref.profile is None else ""

    def _from_draft(self, draft: Draft) -> Artifact:
        folder = str(self._folder("draft"))
        out = str(self._folder("artifact"))
        return self._gate(Case(self.ref.name, folder, folder, out, draft, named=self._own_name))

    def _from_parent(self, parent: Artifact) -> Artifact:
        draft = Draft(
            task=parent.task,
            batch=parent.batch,
            produced_by=parent.produced_by,
            precision=self.request.precision,
            images=parent.images,
            ranges={spec.name: (spec.low, spec.high) for spec in parent.inputs},
            labels=parent.labels,
            sources=parent.sources,
            unchecked=None,
        )
        case = Case(
            self.ref.name,
            str(self._folder("converted")),
            str(_judged_by(parent)),
            str(self._folder("artifact")),
            draft,
            care=False,
            parent=parent.id,
            can_ask=self.ref.kind != ONNX,
            named=self._own_name,
        )
        if self.request.precision is Precision.INT8:
            return self._gate(self._converted(case, parent, "static"))
        return self._in_fp16(case, parent)

    def _native_form(self, parent: Artifact) -> Artifact:
        """What the framework runs itself, with the FP32 graph's golden data."""
        out, answers = self._folder("artifact"), self.run.workspace / "native-out.npz"
        reference = _judged_by(parent) / GOLDEN
        written = self._job(
            {"op": "native", **self._asked(), "inputs": str(reference), "out": str(out), "answers": str(answers)}
        )
        made = native.artifact(parent, self.request, out, from_json(native.Written, written), answers, reference)
        return adopt(self.store, out, replace(made, notes=(*made.notes, *self.notes), seconds=self.seconds))

    def _in_fp16(self, case: Case, parent: Artifact) -> Artifact:
        method = self.request.fp16_method
        if method == "native":
            return self._gate(self._native(case))
        if method != "auto":
            return self._gate(self._converted(case, parent, method))
        found = None
        if self.request.framework == "pytorch" and parent.task in _NATIVE_TASKS and self.request.io == "model":
            found = self._job({"op": "convert", "task": "scan", **_graph_of(parent)})["found"]
            made = self._natively(case) if not found else None
            if made is not None:
                return made
        return self._gate(self._converted(case, parent, "convert", found))

    def _natively(self, case: Case) -> Artifact | None:
        """None where PyTorch's own FP16 fails, as a note says then: it may make FP32 on its way, or values beyond FP16
        that the FP32 graph has no more."""
        try:
            return self._gate(self._native(case))
        except ExportError as error:
            self.notes.append(f"converted, as PyTorch's own FP16 failed: {error.message}")
        shutil.rmtree(case.out)  # what the gate may have begun
        self._folder(Path(case.out).name)
        return None

    def _native(self, case: Case) -> Case:
        """PyTorch's own FP16: the network after .half(), exported again."""
        native = self._draft()
        produced_by = {**native.produced_by, "fp16": "native"}
        draft = replace(case.draft, produced_by=produced_by, notes=native.notes)
        return replace(case, graph=str(self._folder("draft")), draft=draft, care=True)

    def _converted(self, case: Case, parent: Artifact, method: str, found: list[Any] | None = None) -> Case:
        """`found` is what a scan has found that is beyond FP16; None where none was made."""
        answer = self._convert(parent, self.request.precision, method, Path(case.graph), found)
        kept = tuple(from_json(KeptNode, one) for one in answer.get("kept", ()))
        calibration = answer.get("calibration")
        notes = tuple(answer.get("notes", ()))
        produced_by = {**parent.produced_by, **answer.get("produced_by", {})}
        return replace(
            case,
            draft=replace(case.draft, produced_by=produced_by, notes=notes),
            kept_fp32=kept,
            calibration=from_json(Calibration, calibration) if calibration else None,
        )

    def _convert(
        self, parent: Artifact, precision: Precision, method: str, out: Path, found: list[Any] | None
    ) -> dict[str, Any]:
        job: dict[str, Any] = {
            "op": "convert",
            "task": "convert",
            **_graph_of(parent),
            "precision": str(precision),
            "method": method,
            "io": self.request.io,
            "out": str(out),
        }
        if found is not None:
            job["found"] = found
        if precision is Precision.INT8:
            job |= self._calibration(parent)
        return self._job(job)

    def _calibration(self, parent: Artifact) -> dict[str, Any]:
        data = self.request.calibration
        if data is None:
            raise uncalibrated(self.ref.name)
        cached = self.store.root / "calibrations" / f"{parent.id[:32]}-{data.removeprefix('sha256:')[:32]}.json"
        cached.parent.mkdir(parents=True, exist_ok=True)
        file = None
        if data != RANDOM:
            file = str(self._samples(self.request.calibration_path, "calibration.npz", parent.inputs, parent))
        return {"calibration": {"data": data, "file": file}, "ranges": str(cached)}

    def _samples(self, path: Path | None, name: str, inputs: tuple[TensorSpec, ...], like: Artifact | Draft) -> Path:
        """The operator's images or arrays in an .npz: as the graph `like` takes them, or of a draft normalised."""
        out = self.run.workspace / name
        pixels = like.pixels if isinstance(like, Artifact) else "float"
        told = {"inputs": to_json(inputs), "images": to_json(like.images), "pixels": pixels}
        answer = self._job({"op": "samples", "path": str(path), **told, "skip": self.skip_unreadable, "out": str(out)})
        self.notes += answer["notes"]
        return out

    def _images(self, draft: Draft) -> str | None:
        """The operator's images with the framework's own answers to them, where there are any to check with."""
        if self.request.images_path is None:
            return None
        inputs = tuple(TensorSpec(image.name, "float32", (draft.batch, *image.shape)) for image in draft.images)
        asked = self._samples(self.request.images_path, "images-in.npz", inputs, draft)
        return str(self._answers(asked, Precision.FP32, self.run.workspace / "images.npz", joined=True))

    def _gate(self, case: Case) -> Artifact:
        case = replace(case, images=self._images(case.draft))
        answer = self._judged(case)
        if answer.get("ask") == "half":
            answer = self._judged_by_half(replace(case, can_ask=False))
        folder = Path(case.out)
        try:
            draft = from_json(Artifact, {**answer["artifact"], "path": folder})
        except SchemaViolation as error:
            raise ExportError(f"the exporter's answer is not understood ({error})") from None
        notes = tuple(dict.fromkeys((*draft.notes, *self.notes)))
        return adopt(self.store, folder, replace(draft, notes=notes, seconds=self.seconds))

    def _judged_by_half(self, case: Case) -> dict[str, Any]:
        """By the framework's own FP16 outputs; where it has none, by the limit alone."""
        try:
            half = self._answers(Path(case.golden) / GOLDEN, self.request.precision, self.run.workspace / HALF)
        except ExportError as missing:
            try:
                return self._judged(case)
            except ParityError as error:
                told = f"{error.message}, and the framework's own FP16, which might explain it, cannot be had"
                raise ParityError(f"{told} ({missing.message})", where=error.where, fix=error.fix) from None
        return self._judged(replace(case, half=str(half)))

    def _judged(self, case: Case) -> dict[str, Any]:
        try:
            return self._job({"op": "gate", "case": to_json(case), "request": to_job(self.request)})
        except ParityError as error:
            if not self.explain:
                raise
            raise ParityError(f"{error.message}; {self._where(case)}", where=error.where, fix=error.fix) from None

    def _where(self, case: Case) -> str:
        """Where the graph departs: from its FP32 parent, or from what the framework has on the way."""
        job = {
            "op": "explain",
            "other": str(Path(case.out) / MODEL_FILE),
            "golden": str(Path(case.golden) / GOLDEN),
            "precision": str(self.request.precision),
            "out": str(self.run.workspace),
        }
        try:
            if case.parent is not None:
                parent = self.store.get(case.parent)
                job["reference"] = str(parent.path / parent.model_file)
            else:
                job["values"] = str(self.run.workspace / "values.npz")
                self._job({**job, **self._asked(), "op": "values", "out": job["values"]})
            return str(self._job(job)["departure"])
        except ExportError as error:
            return f"where it departs is not known ({error.message})"

    def _draft(self) -> Draft:
        folder = self._folder("draft")
        answer = self._job({"op": "draft", **self._asked(), "out": str(folder)})
        try:
            draft = from_json(Draft, answer)
        except SchemaViolation as error:
            raise ExportError(f"the exporter's answer is not understood ({error})") from None
        labels = self.request.labels_path
        return draft if labels is None else replace(draft, labels=_lines(labels))

    def _answers(self, inputs: Path, precision: Precision, out: Path, *, joined: bool = False) -> Path:
        """`joined` says whether the inputs stand beside them."""
        job = {"inputs": str(inputs), "precision": str(precision), "out": str(out), "joined": joined}
        self._job({"op": "answers", **self._asked(), **job})
        return out

    def _find_weights(self) -> None:
        """The .npz with torchvision's weights that a Keras twin takes, made by a PyTorch child of its own where the
        store has none: torch and TensorFlow are never in one process."""
        if not is_twin(self.ref, self.request.framework):
            return
        home = self.store.root / "weights" / f"{weights_key(self.ref, self.request)}.npz"
        if not home.is_file():
            if not installed("pytorch"):
                message = "the Keras model takes torchvision's weights, and PyTorch is not installed here"
                raise ConfigError(message, where=self.ref.name, fix="pip install 'edgebench[pytorch]'")
            out = self._folder("weights")
            torch = replace(self.request, framework="pytorch", opset=18)
            answer = self._job({"op": "weights", **self._asked(torch), "out": str(out)})
            home.parent.mkdir(parents=True, exist_ok=True)
            (out / str(answer["file"])).replace(home)
        self.request = replace(self.request, weights_path=home)

    def _asked(self, request: ExportRequest | None = None) -> dict[str, Any]:
        ref = {name: str(value) if isinstance(value, Path) else value for name, value in to_json(self.ref).items()}
        return {"ref": ref, "request": to_job(request or self.request)}

    def _job(self, job: dict[str, Any]) -> dict[str, Any]:
        answer = run_job(job, self.run)
        for what, seconds in answer.pop("seconds").items():
            self.seconds[what] = self.seconds.get(what, 0.0) + seconds
        return answer

    def _folder(self, name: str) -> Path:
        folder = self.run.workspace / name
        folder.mkdir(exist_ok=True)
        return folder


def _lines(path: Path) -> tuple[str, ...]:
    """Errors: ExportError for what is no text."""
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"no text file with a label a line ({error})", where=str(path)) from None


def _graph_of(artifact: Artifact) -> dict[str, str]:
    return {
        "model": str(artifact.path / artifact.model_file),
        "golden": str(_judged_by(artifact) / (artifact.golden or GOLDEN)),
    }


def _judged_by(artifact: Artifact) -> Path:
    """The folder of all golden samples, of which a part may have been shipped."""
    whole = artifact.path / JUDGED
    return whole if whole.is_dir() else artifact.path
