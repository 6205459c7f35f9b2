"""What an artifact answers to data that is not golden: in onnxruntime, on this machine, in a child as all graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from device_agents.contract import Precision
from export.artifact import Artifact, Store
from export.child import Run, memory_limit, run_job
from export.data import golden
from export.data.golden import Array
from export.judging import parity
from profiles.progress import Progress, silent

TIMEOUT_S = 1800.0

_AT_ONCE = 8  # samples, where the graph takes any number
_ANSWERS = "answers.npz"


def answer(artifact: Artifact, inputs: Path, store: Store, progress: Progress = silent) -> tuple[dict[str, Array], str]:
    """(outputs by name, samples first, float32; onnxruntime's version) for the `input:<name>` arrays of an .npz.

    Errors: ExportError when the graph does not run, or not within 30 minutes and 80 % of this machine's memory.
    """
    with store.workspace() as workspace:
        job = {
            "op": "reference",
            "model": str(artifact.path / artifact.model_file),
            "precision": str(artifact.precision),
            "inputs": str(inputs),
            "out": str(workspace / _ANSWERS),
        }
        log = store.root / "logs" / f"{artifact.short_id}-answer.log"
        told = run_job(job, Run(workspace, log, progress, TIMEOUT_S, memory_limit()))
        return golden.load(workspace / _ANSWERS)[1], str(told["onnxruntime"])


def compute(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """In the child: run the graph and write its outputs. Errors: ExportError."""
    import onnxruntime

    given, _ = golden.load(Path(job["inputs"]))
    progress("compute reference outputs")
    outputs = parity.run(Path(job["model"]), given, Precision(job["precision"]), at_once=_AT_ONCE)
    golden.save(Path(job["out"]), {}, outputs)
    return {"onnxruntime": onnxruntime.__version__}
