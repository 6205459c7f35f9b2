"""Which artifact answers a request: keys, versions, look-ups. A hit costs milliseconds: nothing heavy is imported."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from device_agents.contract import Dim, Precision, dumps, to_json
from export.artifact import MANIFEST, Artifact, Format, Store, sha256_file
from export.models import ONNX, ModelRef
from export.request import ExportRequest
from profiles.errors import ConfigError, ExportError

RECIPE = 8
"""Raise it when the same request gives another graph, other weights or other golden data than before."""

_PACKAGES: Mapping[str, tuple[str, ...]] = {
    "pytorch": ("torch", "torchvision", "onnx", "onnxscript", "onnx-ir"),
    "tensorflow": ("tensorflow", "keras", "tf2onnx", "onnx", "onnxscript"),
    ONNX: ("onnx", "onnxscript"),
}
_TORCH = ("torch", "torchvision")


def keys(ref: ModelRef, request: ExportRequest) -> tuple[str, str]:
    """(general, exact): names of the request in the store without and with the versions installed here.

    The profile's content is in both, so an edited profile is another request; of the operator's own model its name.
    """
    profile = dumps(ref.profile) if ref.profile else ref.name
    general = _digest(request.key(RECIPE), profile)
    return general, _digest(general, dumps(versions(request.framework, twin=is_twin(ref, request.framework))))


def versions(framework: str, *, twin: bool = False) -> dict[str, str]:
    """The installed versions of what exports from this framework, by distribution name; what is absent is left out."""
    found = {}
    for package in _PACKAGES[framework] + (_TORCH if twin else ()):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def is_twin(ref: ModelRef, framework: str) -> bool:
    """Whether this framework's model takes its weights from torchvision's model of the same name."""
    return bool(ref.profile and ref.profile.frameworks[framework].source.startswith("twin:"))


def lookup(ref: ModelRef, request: ExportRequest, store: Store) -> Artifact | None:
    """The artifact that answers the request. With every package installed it must have been made by these versions;
    without them, by any: a base install serves what is in its store."""
    general, exact = keys(ref, request)
    twin = is_twin(ref, request.framework)
    everything = len(_PACKAGES[request.framework]) + (len(_TORCH) if twin else 0)
    complete = len(versions(request.framework, twin=twin)) == everything
    for key in (exact,) if complete else (exact, general):
        artifact = store.answer(key)
        if artifact is not None and _is_of(artifact, ref, request) and intact(artifact) and _unchanged(artifact):
            return artifact
    return None


def _is_of(artifact: Artifact, ref: ModelRef, request: ExportRequest) -> bool:
    """Whether the manifest is still that of this request: another one with the same payload has written its own."""
    return (artifact.model, artifact.weights) == (ref.name, request.weights)


def _unchanged(artifact: Artifact) -> bool:
    """Whether the user's own code that made it is what it was then."""
    try:
        return all(sha256_file(Path(path)) == digest for path, digest in artifact.sources.items())
    except OSError:
        return False


def remember(ref: ModelRef, request: ExportRequest, store: Store, artifact: Artifact) -> None:
    """Note that `artifact` answers this request, here and on installs without the framework."""
    for key in keys(ref, request):
        store.remember(key, artifact)


def adopt(store: Store, folder: Path, draft: Artifact) -> Artifact:
    """Move a finished folder into the store; a damaged artifact of the same id makes way for it."""
    home = store.root / "artifacts" / draft.id
    if (home / MANIFEST).exists() and not _healthy(store, draft.id):
        shutil.rmtree(home)
    return store.adopt(folder, draft)


def intact(artifact: Artifact) -> bool:
    """Whether every payload file is there in its size. Contents are hashed where they are used: on the device."""
    try:
        return all((artifact.path / entry.name).stat().st_size == entry.size for entry in artifact.files)
    except OSError:
        return False


def find_any(
    store: Store,
    ref: ModelRef,
    framework: str,
    precision: Precision,
    batch: Dim,
    *,
    weights: str | None = None,
    max_opset: int | None = None,
    content: str | None = None,
    like: tuple[str, str] = ("full", "float"),
    serves: Callable[[Artifact], bool] | None = None,
    prefers: Callable[[Artifact], bool] = lambda _: True,
    format: Format = Format.ONNX,  # noqa: A002 - the artifact's word
) -> Artifact | None:
    """The artifact of this model in the store, of that format, with these weights, None for any: pretrained before
    random before files, then what it `prefers`, and the newest of its kind. A user's file is matched by its `content`
    (export.asking.content_of), a factory's model by its name. `max_opset` is the highest opset that it may have, None
    for any; `like` are the head and the pixels that it must have; `serves` says which will do. Damaged artifacts, and
    those whose makers' code has changed, are passed over."""
    fits = [
        artifact
        for artifact in readable(store)
        if artifact.format is format
        and (artifact.framework, artifact.precision, artifact.batch) == (framework, precision, batch)
        and (artifact.weights == content if content else artifact.model == ref.name)
        and (artifact.head, artifact.pixels) == like
        and weights in (None, artifact.weights)
        and (max_opset is None or artifact.graph.opset <= max_opset)
        and (serves is None or serves(artifact))
        and intact(artifact)
        and _unchanged(artifact)
    ]
    order = {"pretrained": 2, "random": 1}
    # Oldest first, and max() keeps the first of equals: reversed, the newest wins.
    return max(reversed(fits), key=lambda one: (order.get(one.weights, 0), prefers(one)), default=None)


def write_copy(artifact: Artifact, folder: Path) -> Path:
    """A plain copy of the artifact, manifest included, in `folder`/<model>-<framework>-<precision>-<batch>, and
    -<target> for an engine, -<format> for what a framework runs itself: in place of the one that was there, whole.
    Returns that folder. Errors: ConfigError when it cannot be written."""
    batch = artifact.batch if artifact.batch == "dynamic" else f"b{artifact.batch}"
    kind = artifact.target if artifact.format in (Format.ONNX, Format.ENGINE) else str(artifact.format)
    words = (artifact.model.replace(":", "-"), artifact.framework, str(artifact.precision), batch, kind)
    home = folder / "-".join(word for word in words if word)
    names = (*(entry.name for entry in artifact.files), MANIFEST)
    before = _listed(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        for file in names:
            shutil.copyfile(artifact.path / file, home / f"{file}.part")
        for file in names:
            (home / f"{file}.part").replace(home / file)
        for file in before - set(names):
            (home / file).unlink(missing_ok=True)
    except OSError as error:
        for file in names:
            with contextlib.suppress(OSError):
                (home / f"{file}.part").unlink()
        with contextlib.suppress(OSError):
            home.rmdir()  # where nothing else is in it
        raise ConfigError(f"cannot be written ({error.strerror or error})", where=str(home)) from None
    return home


def _listed(home: Path) -> set[str]:
    """Files of the artifact that was written there before."""
    try:
        names = {str(entry["name"]) for entry in json.loads((home / MANIFEST).read_bytes())["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in names if Path(name).name == name}


def readable(store: Store) -> list[Artifact]:
    """Every artifact whose manifest can be read, oldest first."""
    manifests = sorted((store.root / "artifacts").glob(f"*/{MANIFEST}"), key=lambda path: path.stat().st_mtime_ns)
    artifacts = []
    for manifest in manifests:
        with contextlib.suppress(ConfigError, ExportError):
            artifacts.append(store.get(manifest.parent.name))
    return artifacts


def _healthy(store: Store, artifact_id: str) -> bool:
    try:
        return intact(store.get(artifact_id))
    except (ConfigError, ExportError):
        return False


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def weights_key(ref: ModelRef, request: ExportRequest) -> str:
    """Names the weights that a twin takes: they are the same for every precision, batch, size and opset."""
    fields = {"model": request.model, "weights": request.weights, "seed": request.seed, "recipe": RECIPE}
    found = versions("pytorch") if request.weights == "random" else {}
    versions_of_torch = {name: found[name] for name in _TORCH if name in found}
    profile = to_json(ref.profile) if ref.profile else None
    return _digest(dumps({**fields, "versions": versions_of_torch, "profile": profile}))
