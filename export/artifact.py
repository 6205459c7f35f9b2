"""Artifacts: immutable, named by the hash of what is in them, kept in a content-addressed store.

    <root>/artifacts/<id>/manifest.json, model.onnx, golden.npz      the artifact; shapes.json where bounds are declared
    <root>/artifacts/<id>/judged/golden.npz                          what an FP32 graph was judged by, where that is
                                                                     too large to ship: no payload
    <root>/artifacts/<id>/manifest.json, model.engine, engine.json   an engine that was built ahead, of such an artifact
    <root>/requests/<key>                                            which artifact answered a request, and its notes

`id` is the SHA-256 over the sorted (name, size, sha256) of the payload files; the manifest is not hashed, so
provenance can be added without a new name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from device_agents.contract import (
    Dim,
    FileEntry,
    Precision,
    SchemaViolation,
    ShapeProfile,
    TensorSpec,
    Word,
    dumps,
    from_json,
    loads,
    to_json,
)
from profiles.errors import ConfigError, ExportError
from profiles.schema import ImageInput

MANIFEST_SCHEMA = 2
MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
JUDGED = "judged"
SHAPES = "shapes.json"
TOLD = "told.json"

_DAY_S = 86_400.0


class Format(Word):
    """What a device gets: a graph, an engine, or what PyTorch or TensorFlow itself runs."""

    ONNX = "onnx"
    ENGINE = "engine"
    SAFETENSORS = "safetensors"
    SAVEDMODEL = "savedmodel"


@dataclass(frozen=True)
class Parity:
    """How far the artifact is from the framework's own FP32 output, and the bound it kept (export.judging.parity).

    `error`, `limit`, `cosine` and `tensor` are of the worst output, whole numbers left out where there are others, as
    those have limits of their own. `errors` are of every one by name; `inputs` counts samples.
    `agreement` is judged by task (export.judging.agreement). `framework_error` is the framework's own error at this
    precision where it was needed to judge, `label` narrows what the figure says, such as "storage only" for FP16 that
    was checked on a CPU, and `note` is what a reader must know.
    """

    error: float
    limit: float
    tensor: str
    inputs: int
    cosine: float
    errors: Mapping[str, float] = field(default_factory=dict)
    agreement: Mapping[str, float] = field(default_factory=dict)
    framework_error: float | None = None
    label: str = ""
    note: str = ""


@dataclass(frozen=True)
class NotChecked:
    """Why no parity figure exists."""

    reason: str


@dataclass(frozen=True)
class GraphFacts:
    """What the graph costs for one sample: multiply-accumulates (1 MAC = 2 operations), parameters, node counts, bytes
    of weights as stored, of inputs and outputs, and of all that its nodes make (`activation_bytes`). Of free sides, at
    the size that profiles are tuned for. What could not be counted is None, and `unknown` says why."""

    macs: int | None
    parameters: int
    nodes: int
    transposes: int
    opset: int
    weight_bytes: int = 0
    input_bytes: int | None = None
    output_bytes: int | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)
    activation_bytes: int | None = None

    def least_bytes(self, batch: int = 1) -> int | None:
        """What has to cross the memory bus for a batch at least: weights once, inputs and outputs."""
        if self.input_bytes is None or self.output_bytes is None:
            return None
        return self.weight_bytes + batch * (self.input_bytes + self.output_bytes)

    def most_bytes(self, batch: int = 1) -> int | None:
        """What its tensors take for a batch if nothing is ever freed or computed in place."""
        if self.input_bytes is None or self.activation_bytes is None:
            return None
        return self.weight_bytes + batch * (self.input_bytes + self.activation_bytes)


@dataclass(frozen=True)
class KeptNode:
    """A node that stays in FP32 in an FP16 graph: `largest` is the greatest value of `tensor` that was seen."""

    node: str
    op: str
    tensor: str
    largest: float


@dataclass(frozen=True)
class Calibration:
    """What the ranges of an INT8 graph come from: `data` is the hash of what was given or "random"."""

    data: str
    samples: int
    method: str


@dataclass(frozen=True)
class Artifact:
    """A model in a form that a device runs. `weights` is the request's word: pretrained, random, or a file's hash.

    `batch` is the first dimension of the inputs: a number, or "dynamic". `golden` names the payload file with seeded
    inputs and the framework's FP32 outputs (export.data.shipped's format), or is None. `profiles` are the declared
    optimization profiles, which are in the payload as well. An engine has a `parent`, the artifact that it was built
    of, and a `target`: what it runs on, such as sm80; a graph in FP16 or INT8 that was converted has the FP32 one as
    its parent. `images` say how the model wants its pixels, `pixels` whether the graph does that itself ("uint8"), and
    `layout` how an image lies in its input: NCHW, NHWC, or with T for a video's frames; empty where it takes none.
    `kept_fp32` are the nodes of an FP16 graph that are not FP16. `seconds` is what the export took, by phase.
    """

    id: str
    path: Path
    model: str
    framework: str
    format: Format
    precision: Precision
    weights: str
    batch: Dim
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    model_file: str
    files: tuple[FileEntry, ...]
    parity: Parity | NotChecked
    graph: GraphFacts
    produced_by: Mapping[str, str] = field(default_factory=dict)
    golden: str | None = None
    parent: str | None = None
    target: str | None = None
    profiles: tuple[ShapeProfile, ...] = ()
    version: str = ""
    task: str = "classification"
    head: str = "full"
    images: tuple[ImageInput, ...] = ()
    pixels: str = "float"
    layout: str = ""
    labels: tuple[str, ...] = ()
    kept_fp32: tuple[KeptNode, ...] = ()
    calibration: Calibration | None = None
    parity_images: Parity | None = None
    notes: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    schema: int = MANIFEST_SCHEMA

    @property
    def short_id(self) -> str:
        return self.id[:12]


@dataclass(frozen=True)
class _Notes:
    """Beside an id, of one request."""

    notes: tuple[str, ...] = ()


class Store:
    """The artifacts of one operator. Safe for several processes: everything appears by rename, whole or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, artifact_id: str) -> Artifact:
        """The artifact of this id. Errors: ConfigError when there is none, ExportError when its manifest is damaged."""
        path = self.root / "artifacts" / artifact_id
        try:
            text = (path / MANIFEST).read_bytes()
        except OSError:
            raise ConfigError(f"no artifact {artifact_id!r}", where=str(self.root / "artifacts")) from None
        try:
            return from_json(Artifact, {**loads(text), "path": path})
        except (SchemaViolation, TypeError) as error:
            fix = f"remove {path} and export again"
            raise ExportError(f"damaged manifest ({error})", where=str(path / MANIFEST), fix=fix) from None

    def answer(self, key: str) -> Artifact | None:
        """The artifact that answered this request before, if it is still here, with the notes of this request."""
        try:
            artifact_id, _, notes = (self.root / "requests" / key).read_text(encoding="utf-8").partition("\n")
            artifact = self.get(artifact_id)
            return replace(artifact, notes=from_json(_Notes, loads(notes.encode())).notes) if notes else artifact
        except (OSError, ValueError, ConfigError):
            return None

    def remember(self, key: str, artifact: Artifact) -> None:
        """Note that `artifact` answers the request `key`: its notes are this request's, whatever another one that has
        the same payload says of it."""
        folder = self.root / "requests"
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{key}.{os.getpid()}.part"
        part.write_text(f"{artifact.id}\n{dumps(_Notes(artifact.notes))}\n", encoding="utf-8")
        part.replace(folder / key)

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """An empty folder on the store's file system, removed afterwards, or a day after its maker was killed."""
        self.root.mkdir(parents=True, exist_ok=True)
        for left in self.root.glob("making-*"):
            if left.stat().st_mtime < time.time() - _DAY_S:
                shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=self.root) as name:
            yield Path(name)

    def keep(self, made: Path, folder: Path, mark: str) -> None:
        """Move a finished folder, which holds a file `mark`, to where it is kept; one that is there stays. Errors:
        OSError."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            made.rename(folder)
        except OSError:
            if not (folder / mark).exists():  # else another process made the same
                raise

    def adopt(self, folder: Path, draft: Artifact) -> Artifact:
        """Move a finished folder into the store under its id, with its manifest. Of a payload that is there already
        the manifest becomes the new one: it tells of the newer check.

        `draft.path` must be `folder`; its `id` must be `content_id(draft.files)`.
        """
        home = self.root / "artifacts" / draft.id
        manifest = to_json(draft)
        del manifest["path"]
        (folder / MANIFEST).write_text(dumps(manifest, indent=2) + "\n", encoding="utf-8")
        if (home / MANIFEST).exists():
            if (folder / JUDGED).exists() and not (home / JUDGED).exists():
                (folder / JUDGED).replace(home / JUDGED)
            (folder / MANIFEST).replace(home / MANIFEST)
            return self.get(draft.id)
        home.parent.mkdir(parents=True, exist_ok=True)
        if home.exists():  # a folder without a manifest: left by a crash between rename and write of another tool
            shutil.rmtree(home)
        try:
            folder.rename(home)
        except OSError:
            if not (home / MANIFEST).exists():  # else another process adopted the same artifact first
                raise
        return self.get(draft.id)


def content_id(files: tuple[FileEntry, ...]) -> str:
    """SHA-256 (hex) over the sorted (name, size, sha256) of payload files."""
    digest = hashlib.sha256()
    for entry in sorted(files, key=lambda entry: entry.name):
        digest.update(f"{entry.name}\0{entry.size}\0{entry.sha256}\n".encode())
    return digest.hexdigest()


def hash_files(folder: Path) -> tuple[FileEntry, ...]:
    """The payload of a folder: every regular file but the manifest, sorted by name."""
    paths = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    return tuple(FileEntry(path.name, path.stat().st_size, sha256_file(path)) for path in paths)


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of a file, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
