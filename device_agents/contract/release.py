"""Releases: what of a measured model stays on a device for a service to load, and which of them is current."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, Optional, Tuple

from device_agents.codec import SchemaViolation
from device_agents.contract.engines import ENGINE_FILE
from device_agents.contract.terms import SCHEMA, FileEntry, Precision, Scalar, TensorSpec

CURRENT = "current"
PREVIOUS = "previous"
RELEASE_MANIFEST = "manifest.json"

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,126}\Z")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,62}\Z")
_KEY = re.compile(r"[a-z0-9][a-z0-9-]{3,127}\Z")
_LONGEST_HOOK = 64  # words
_DAY_S = 86_400.0


def check_model(name: str) -> str:
    """The name, which becomes a folder's. Errors: SchemaViolation for one that would lead elsewhere."""
    if not _MODEL.match(name):
        rule = "letters, digits and . _ @ : + -, beginning with a letter or digit"
        raise SchemaViolation("model", f"{name[:60]!r} cannot name a folder of releases: {rule}")
    return name


def check_version(name: str) -> str:
    """The same of a version. Errors: SchemaViolation also for what a link beside the versions is called."""
    if not _VERSION.match(name) or name in (CURRENT, PREVIOUS):
        rule = f"letters, digits and . _ + -, beginning with a letter or digit, and neither {CURRENT} nor {PREVIOUS}"
        raise SchemaViolation("version", f"{name[:60]!r} is no version: {rule}")
    return name


@dataclass(frozen=True)
class ReleasedEngine:
    """The engine of a release: its key in the device's cache, its file, what built it and loads it."""

    key: str
    file: FileEntry
    runtime: str
    runtime_version: str
    built_at: str

    def __post_init__(self) -> None:
        if not _KEY.match(self.key):
            raise SchemaViolation("key", f"{self.key[:60]!r} is no key")
        if self.file.name != ENGINE_FILE:
            raise SchemaViolation("file", f"{self.file.name!r} is not {ENGINE_FILE}")


@dataclass(frozen=True)
class ReleasedMeasurement:
    """What a release was measured to be, on that device. Milliseconds an inference (a batch), samples (images) a
    second; None where the samples do not support a figure. `unjudged` are the verdict's rules that had no data."""

    id: str
    verdict: str
    batch: int
    samples: int
    processes: int
    mean_ms: Optional[float] = None
    p50_ms: Optional[float] = None
    p90_ms: Optional[float] = None
    p95_ms: Optional[float] = None
    p99_ms: Optional[float] = None
    throughput_per_s: Optional[float] = None
    unjudged: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Release:
    """manifest.json of a release: enough for a person, and for a service that loads it from the folder it lies in.

    `model_file` is the ONNX graph, `files` are all that lie beside the manifest, the engine's included. `inputs` and
    `outputs` are as the graph declares them, free dimensions by name. `settings` are what the runtime was told when it
    was measured, `requirements` what was asked of the figures.
    """

    schema: int
    model: str
    version: str
    device: str
    framework: str
    precision: Precision
    weights: str
    artifact: str
    model_file: str
    files: Tuple[FileEntry, ...]
    backend: str
    runtime_version: str
    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]
    measurements: Tuple[ReleasedMeasurement, ...]
    released_by: str
    released_at: str
    edgebench: str
    engine: Optional[ReleasedEngine] = None
    settings: Dict[str, Scalar] = field(default_factory=dict)
    requirements: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise SchemaViolation("schema", f"version {self.schema}; this edgebench reads {SCHEMA}")
        check_model(self.model)
        check_version(self.version)
        if not _KEY.match(self.artifact):
            raise SchemaViolation("artifact", f"{self.artifact[:60]!r} is no id")
        names = [entry.name for entry in self.files]
        if len(set(names)) != len(names) or RELEASE_MANIFEST in names:
            raise SchemaViolation("files", "a name is there twice, or is the manifest's")
        if self.model_file not in names:
            raise SchemaViolation("files", f"{self.model_file!r} is not among them")
        if self.engine is not None and self.engine.file not in self.files:
            raise SchemaViolation("files", "the engine is not among them")

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(entry.size for entry in self.files)

    def same_content(self, other: Release) -> bool:
        """Whether a service would load the same from both, whoever measured and released them."""
        return sorted(self.files, key=repr) == sorted(other.files, key=repr) and self.model_file == other.model_file


@dataclass(frozen=True)
class Activation:
    """Make a version the current one; without a version, the previous one. `hook` is run afterwards, for at most
    `hook_timeout_s` seconds."""

    model: str
    version: Optional[str] = None
    hook: Tuple[str, ...] = ()
    hook_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        check_model(self.model)
        if self.version is not None:
            check_version(self.version)
        check_command(self.hook, "release_hook")
        if not 0 < self.hook_timeout_s <= _DAY_S:
            raise SchemaViolation("hook_timeout_s", f"{self.hook_timeout_s:g} is not between 0 seconds and a day")


def check_command(argv: Tuple[str, ...], key: str) -> None:
    """Errors: SchemaViolation, of that key, for what can be no command."""
    if len(argv) > _LONGEST_HOOK or (argv and not argv[0]) or any("\0" in word for word in argv):
        raise SchemaViolation(key, f"is no command: a program and its words, at most {_LONGEST_HOOK}")


@dataclass(frozen=True)
class Removal:
    """Remove a version; `previous_too` also where it is the one that a rollback would restore."""

    model: str
    version: str
    previous_too: bool = False

    def __post_init__(self) -> None:
        check_model(self.model)
        check_version(self.version)


@dataclass(frozen=True)
class ReleaseState:
    """What a command on the releases of a model came to: whether it changed anything, and what is true by now. `path`
    is the folder of the version that it was about, to be shown."""

    model: str
    version: str
    changed: bool
    path: str
    current: Optional[str] = None
    previous: Optional[str] = None


@dataclass(frozen=True)
class ModelReleases:
    """The releases of a model on a device; `damaged` says of folders beside them, by name, why they are none."""

    model: str
    versions: Tuple[Release, ...]
    current: Optional[str] = None
    previous: Optional[str] = None
    damaged: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Releases:
    """All of a device, by model."""

    models: Tuple[ModelReleases, ...]
