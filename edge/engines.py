"""Engines on the operator's machine: what other machines built becomes artifacts, whose hash the manifest holds."""

from __future__ import annotations

import shutil
from pathlib import Path

from device_agents.contract import ENGINE_FILE, ENGINE_MANIFEST, Dim, EngineReport, dumps
from export.artifact import Artifact, Format, NotChecked, Store, content_id, hash_files
from export.cache import adopt
from profiles.errors import SchemaError

AHEAD_OF_TIME = "built ahead of time on a machine that cannot run it: no device has checked it yet"


def adopt_engine(
    store: Store,
    engine_file: Path,
    report: EngineReport,
    parent: Artifact,
    target: str,
    *,
    batch: int,
    unchecked: str = AHEAD_OF_TIME,
) -> Artifact:
    """A copy of the engine as an artifact of the store: model.engine and its report, engine.json.

    `parent` is the ONNX artifact that it was built of, `target` what it runs on, `batch` that of the job that built it,
    which an engine without optimization profiles is fixed to, `unchecked` why no parity figure exists.
    Errors: SchemaError when the file is not the one that the report describes, or the report is of another artifact.
    """
    if report.artifact != parent.id:
        raise SchemaError(f"an engine of artifact {report.artifact[:12]} came for {parent.short_id}", where=target)
    fixed: Dim = "dynamic" if report.profiles else batch
    with store.workspace() as workspace:
        folder = workspace / "artifact"
        folder.mkdir()
        shutil.copyfile(engine_file, folder / ENGINE_FILE)
        (folder / ENGINE_MANIFEST).write_text(dumps(report, indent=1) + "\n", encoding="utf-8")
        files = hash_files(folder)
        if report.file not in files:
            raise SchemaError("the engine is not the one that its report describes", where=target, fix="build it again")
        draft = Artifact(
            id=content_id(files),
            path=folder,
            model=parent.model,
            framework=parent.framework,
            format=Format.ENGINE,
            precision=report.precision,
            weights=parent.weights,
            batch=fixed,
            inputs=tuple(spec if report.profiles else spec.at_batch(batch) for spec in parent.inputs),
            outputs=tuple(spec if report.profiles else spec.at_batch(batch) for spec in parent.outputs),
            model_file=ENGINE_FILE,
            files=files,
            parity=NotChecked(unchecked),
            graph=parent.graph,
            produced_by={
                report.runtime: report.runtime_version,
                "built_at": report.built_at,
                "builder": report.builder or "this machine",
            },
            parent=parent.id,
            target=target,
            profiles=report.profiles,
        )
        return adopt(store, folder, draft)
