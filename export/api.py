"""What the command line and the fleet ask of this package: an artifact for a request, from the store or made now."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from device_agents.contract import Dim, DimRange, Precision
from export.artifact import Artifact, Format, Store
from export.asking import DEFAULT_OPSET, DEFAULTS, MAX_BATCH, Options, make_request, opsets, require
from export.cache import find_any, lookup, remember, write_copy
from export.child import Run, memory_limit
from export.models import ModelRef, frameworks_of, installed, parse_model
from export.pipeline import Pipeline
from export.request import ExportRequest
from profiles.errors import ExportError
from profiles.progress import Progress, silent

__all__ = [
    "DEFAULT_OPSET",
    "DEFAULT_TIMEOUT_S",
    "MAX_BATCH",
    "Options",
    "export_model",
    "find_any",
    "frameworks_of",
    "installed",
    "opsets",
    "parse_model",
    "require",
    "write_copy",
]

DEFAULT_TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class _Way:
    """How to make artifacts, beside what they are."""

    store: Store
    progress: Progress
    timeout_s: float
    memory_bytes: int
    fresh: bool
    skip_unreadable: bool
    explain: bool


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
    options: Options = DEFAULTS,
    format: Format = Format.ONNX,  # noqa: A002 - the artifact's word
    memory_limit_bytes: int | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    fresh: bool = False,
    explain: bool = False,
) -> Artifact:
    """The artifact that answers this request: from `store` if it is there (no framework needed), else made now.

    `batch` is a number or "dynamic"; `weights` is pretrained, random or the path of a file, which a file of the user's
    refuses, as it has its own. `opset` is DEFAULT_OPSET by default; an .onnx file keeps its own, and is
    refused when that is higher than an `opset` given. `bounds` of a dynamic batch travel with the artifact, one
    optimization profile each. `format` is ONNX, or what the framework runs itself (export.native). `fresh` makes it
    anew. All but an FP32 graph make that first where the store lacks it. `explain` finds the first node where a graph
    that fails parity departs. The memory limit is 80 % of this machine's by default; both limits are a child process's.
    Errors: ConfigError before any work; ExportError when the framework fails, runs out of memory or time;
    ParityError when the graph's outputs are not the framework's.
    """
    request = make_request(
        ref, framework, precision, batch, weights, opset=opset, bounds=bounds, options=options, form=format
    )
    memory_bytes = memory_limit_bytes or memory_limit()
    way = _Way(store, progress, timeout_s, memory_bytes, fresh, options.skip_unreadable, explain)
    try:
        return _export(ref, request, way)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"the artifact store cannot be written ({reason})", where=str(store.root)) from None


def _export(ref: ModelRef, request: ExportRequest, way: _Way) -> Artifact:
    hit = None if way.fresh else lookup(ref, request, way.store)
    if hit is not None:
        return hit
    require(request.framework)
    log = way.store.root / "logs" / f"{ref.name.replace(':', '-')}-{request.framework}.log"
    with way.store.workspace() as workspace:
        run = Run(workspace, log, way.progress, way.timeout_s, way.memory_bytes)
        parent = functools.partial(_export, ref, request.as_fp32(), way)
        artifact = Pipeline(ref, request, way.store, run, parent, way.skip_unreadable, way.explain).make()
    remember(ref, request, way.store, artifact)
    return artifact
