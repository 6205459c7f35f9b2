"""What the command line and the fleet ask of this package: an artifact for a request, from the store or made now."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from device_agents.contract import Dim, DimRange, Precision, SchemaViolation, from_json, to_json
from export.artifact import Artifact, ExportRequest, Store, sha256_file
from export.cache import adopt, find_any, is_twin, lookup, remember, weights_key, write_copy
from export.child import Run, memory_limit, run_job
from export.models import ONNX, ModelRef, frameworks_of, installed, missing, parse_model
from profiles.errors import ConfigError, ExportError
from profiles.load import unknown
from profiles.progress import Progress, silent

__all__ = [
    "DEFAULT_TIMEOUT_S",
    "export_model",
    "find_any",
    "frameworks_of",
    "installed",
    "parse_model",
    "require",
    "write_copy",
]

DEFAULT_TIMEOUT_S = 1800.0
DEFAULT_OPSET = 18
"""The highest that every exporter writes. TensorRT 8.5 and 8.6 read 17 at most."""

MAX_BATCH = 4096


def export_model(
    ref: ModelRef,
    *,
    framework: str,
    precision: Precision,
    batch: Dim,
    weights: str,
    store: Store,
    progress: Progress = silent,
    opset: int | None = None,
    bounds: tuple[DimRange, ...] = (),
    memory_limit_bytes: int | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    fresh: bool = False,
) -> Artifact:
    """The artifact that answers this request: from `store` if it is there (no framework needed), else made now.

    `batch` is a number or "dynamic"; `weights` is pretrained, random or the path of a file, and is not looked at for
    an .onnx file, which has its own. `opset` is DEFAULT_OPSET by default; an .onnx file keeps its own, and is refused
    when that is higher than an `opset` given. `bounds` of a dynamic batch travel with the artifact, one optimization
    profile each. `fresh` makes it anew. The memory limit is 80 % of this machine's by default.
    Errors: ConfigError before any work; ExportError when the framework fails, runs out of memory or time;
    ParityError when the graph's outputs are not the framework's.
    """
    request = _request(ref, framework, precision, batch, weights=weights, opset=opset, bounds=bounds)
    hit = None if fresh else lookup(ref, request, store)
    if hit is not None:
        return hit
    require(framework)
    log = store.root / "logs" / f"{ref.name.replace(':', '-')}-{framework}.log"
    try:
        with store.workspace() as workspace:
            run = Run(workspace, log, progress, timeout_s, memory_limit_bytes or memory_limit())
            artifact = _make(ref, request, store, run)
        remember(ref, request, store, artifact)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"the artifact store cannot be written ({reason})", where=str(store.root)) from None
    return artifact


def _make(ref: ModelRef, request: ExportRequest, store: Store, run: Run) -> Artifact:
    if is_twin(ref, request.framework):
        request = replace(request, weights_path=_torch_weights(ref, request, store, run))
    out = run.workspace / "artifact"
    out.mkdir()
    answer = run_job(_job("export", request.framework, ref, request, out), run)
    return adopt(store, out, _read_draft(answer, out))


def _request(
    ref: ModelRef,
    framework: str,
    precision: Precision,
    batch: Dim,
    *,
    weights: str,
    opset: int | None,
    bounds: tuple[DimRange, ...],
) -> ExportRequest:
    if framework not in frameworks_of(ref):
        raise unknown("framework", framework, frameworks_of(ref), where=ref.name)
    if precision is Precision.INT8:
        raise ConfigError("int8 is not made yet", where=ref.name, fix="use fp32 or fp16")
    if batch != "dynamic" and not (isinstance(batch, int) and 1 <= batch <= MAX_BATCH):
        raise ConfigError(f"batch {batch!r} is neither 'dynamic' nor a number from 1 to {MAX_BATCH}", where=ref.name)
    _check_bounds(ref, batch, bounds)
    if ref.path is not None:
        content = f"sha256:{sha256_file(ref.path)}"
        return ExportRequest(
            content, framework, precision, batch, content, opset or 0, model_path=ref.path, bounds=bounds
        )
    if opset is not None:
        _check_opset(ref, framework, opset)
    request = ExportRequest(ref.name, framework, precision, batch, weights, opset or DEFAULT_OPSET, bounds=bounds)
    if weights in ("pretrained", "random"):
        return request
    path = Path(weights).expanduser()
    if not path.is_file():
        fix = "--weights takes pretrained, random or the path of a file"
        raise ConfigError("no such weights file", where=weights, fix=fix)
    return replace(request, weights=f"sha256:{sha256_file(path)}", weights_path=path.resolve())


def _check_bounds(ref: ModelRef, batch: Dim, bounds: tuple[DimRange, ...]) -> None:
    if bounds and batch != "dynamic":
        fix = "leave --bounds out, or use --batch dynamic"
        raise ConfigError(f"the batch is fixed to {batch}: there is nothing to bound", where=ref.name, fix=fix)
    high = max((one.max for one in bounds), default=0)
    if high > MAX_BATCH:
        raise ConfigError(f"a batch of {high} is over {MAX_BATCH}", where=ref.name)


def _check_opset(ref: ModelRef, framework: str, opset: int) -> None:
    """Errors: ConfigError for an opset that the framework's exporter does not write."""
    can: range = import_module(f"export.frameworks.{framework}").OPSETS
    if opset not in can:
        message = f"opset {opset} cannot be written from {framework}"
        raise ConfigError(message, where=ref.name, fix=f"use one from {can[0]} to {can[-1]}")


def require(framework: str) -> None:
    """Errors: ConfigError that names the extra, when exporting from this framework needs what is not installed."""
    absent = missing(framework)
    if not absent:
        return
    extra = "local" if framework == ONNX else framework
    fix = f"pip install 'edgebench[{extra}]'"
    raise ConfigError(f"{framework} is not installed here (no {', '.join(absent)})", fix=fix)


def _torch_weights(ref: ModelRef, request: ExportRequest, store: Store, run: Run) -> Path:
    """The .npz with torchvision's weights that a Keras twin takes, made by a PyTorch child of its own where the store
    has none: torch and TensorFlow are never in one process."""
    home = store.root / "weights" / f"{weights_key(ref, request)}.npz"
    if home.is_file():
        return home
    if not installed("pytorch"):
        message = "the Keras model takes torchvision's weights, and PyTorch is not installed here"
        raise ConfigError(message, where=ref.name, fix="pip install 'edgebench[pytorch]'")
    out = run.workspace / "weights"
    out.mkdir()
    answer = run_job(_job("weights", "pytorch", ref, request, out), run)
    home.parent.mkdir(parents=True, exist_ok=True)
    (out / str(answer["file"])).replace(home)
    return home


def _job(op: str, framework: str, ref: ModelRef, request: ExportRequest, out: Path) -> dict[str, Any]:
    """A job as the child reads it: plain JSON, paths as text."""
    fields = to_json(request)
    paths = {name: str(fields.pop(name)) for name in ("weights_path", "model_path") if name in fields}
    profile = to_json(ref.profile) if ref.profile else None
    return {
        "op": op,
        "framework": framework,
        "name": ref.name,
        "profile": profile,
        "request": fields,
        "paths": paths,
        "out": str(out),
    }


def _read_draft(answer: dict[str, Any], out: Path) -> Artifact:
    try:
        return from_json(Artifact, {**answer, "path": out})
    except SchemaViolation as error:
        raise ExportError(f"the exporter's answer is not understood ({error})") from None
