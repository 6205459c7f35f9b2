"""The operator's own inputs on their way to a device: checked, with reference outputs, in one .npz.

The reference is what came with the data, else what the FP32 export answers on this machine, else there is none, and
the measurement is `parity_unknown`. Where it came from is told in a sentence that travels with the result.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device_agents.contract import DataSet, FileEntry, SchemaViolation, TensorSpec, dumps, from_json, loads
from device_agents.formats.differences import varies
from edge.planning.data_files import Array, OwnData, fingerprint, read
from edge.results.store import OwnInputs
from export.artifact import Artifact, Store, content_id, sha256_file
from export.judging.boxes import are_final
from export.judging.reference import answer
from profiles.errors import ConfigError, ExportError
from profiles.progress import Progress, silent
from profiles.schema import ImageInput

__all__ = ["Prepared", "fingerprint", "prepare"]

FILE = "inputs.npz"
_FACTS = "inputs.json"
_RECIPE = 2  # raise it when the same data is prepared in another way


@dataclass(frozen=True)
class Prepared:
    """Data that is ready for one model: `folder` holds the file of `data`, to be shipped as the artifact of that id;
    `used` goes into the result."""

    used: OwnInputs
    folder: Path
    data: DataSet

    @property
    def files(self) -> tuple[FileEntry, ...]:
        return (self.data.file,)


def prepare(
    path: Path,
    artifact: Artifact,
    store: Store,
    *,
    fp32: Artifact | None = None,
    image: ImageInput | None = None,
    progress: Progress = silent,
) -> Prepared:
    """The operator's data (an .npz or a folder) for `artifact`, kept in `store` so that it is prepared once.

    `fp32` is the FP32 export of the same model, framework and weights, whose answers are the reference where the data
    has none; `image` the input of the model's profile, for images. Errors: ConfigError for data that does not fit.
    """
    content = fingerprint(path)
    folder = store.root / "inputs" / _key(content, artifact, fp32, image)
    if not (folder / _FACTS).exists():
        data = read(path, artifact.inputs, artifact.outputs, image)
        try:
            with store.workspace() as workspace:
                _make(workspace / "made", data, content, fp32, store, progress)
                store.keep(workspace / "made", folder, _FACTS)
        except OSError as error:
            raise ExportError(f"the store cannot be written ({error.strerror})", where=str(store.root)) from None
    return _prepared(folder)


def _make(folder: Path, data: OwnData, content: str, fp32: Artifact | None, store: Store, progress: Progress) -> None:
    folder.mkdir()
    outputs: Mapping[str, Array] = data.outputs
    source = "given with the data"
    if not outputs:
        _save(folder / FILE, data.inputs, {})
        outputs, source = _answered(folder / FILE, fp32, store, progress)
    if outputs and not are_final(outputs):
        outputs, source = _with_scale(outputs, source)
    _save(folder / FILE, data.inputs, outputs)
    used = OwnInputs(content, data.count, source, bool(outputs))
    (folder / _FACTS).write_text(dumps(used, indent=1) + "\n", encoding="utf-8")


def _answered(inputs: Path, fp32: Artifact | None, store: Store, progress: Progress) -> tuple[Mapping[str, Array], str]:
    """What the FP32 export answers, and a sentence on where that comes from, or why there is nothing."""
    if fp32 is None:
        return {}, "none: there is no FP32 export of this model to ask"
    if importlib.util.find_spec("onnxruntime") is None:
        return {}, "none: onnxruntime is not installed on the operator's machine"
    try:
        outputs, version = answer(fp32, inputs, store, progress)
    except ExportError as error:
        return {}, f"none: the FP32 export gave no answer ({error.message})"
    if not all(np.isfinite(array).all() for array in outputs.values()):
        return {}, "none: the FP32 export answers with values that are not finite"
    return outputs, f"the FP32 export {fp32.short_id} in onnxruntime {version} on the operator's machine"


def _with_scale(outputs: Mapping[str, Array], source: str) -> tuple[Mapping[str, Array], str]:
    """The outputs that an error can be told of, as it is relative to their spread over the samples; and the sentence
    on where they come from, with those that are left out."""
    judged = {name: array for name, array in outputs.items() if varies(array)}
    left = ", ".join(name for name in outputs if name not in judged)
    if judged:
        return judged, f"{source}; not compared, as it is the same for all samples: {left}" if left else source
    count = len(next(iter(outputs.values())))
    few = "one sample" if count == 1 else f"{count} samples with the same {left}"
    return {}, f"none: {few}, so an error has no scale"


def _save(path: Path, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
    """golden.npz's format. numpy stamps no time into it, so equal arrays give equal bytes."""
    arrays = {f"input:{name}": np.ascontiguousarray(array) for name, array in inputs.items()}
    arrays |= {f"output:{name}": np.ascontiguousarray(array, np.float32) for name, array in outputs.items()}
    with path.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _prepared(folder: Path) -> Prepared:
    path = folder / FILE
    try:
        used = from_json(OwnInputs, loads((folder / _FACTS).read_bytes()))
        file = FileEntry(FILE, os.stat(path).st_size, sha256_file(path))  # noqa: PTH116
    except (OSError, SchemaViolation):
        raise ConfigError("the prepared data is damaged", where=str(folder), fix="remove that folder") from None
    return Prepared(used, folder, DataSet(content_id((file,)), file))


def _key(content: str, artifact: Artifact, fp32: Artifact | None, image: ImageInput | None) -> str:
    specs: Sequence[TensorSpec] = (*artifact.inputs, *artifact.outputs)
    parts = [str(_RECIPE), content, dumps(specs), fp32.id if fp32 else "", dumps(image) if image else ""]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:40]
