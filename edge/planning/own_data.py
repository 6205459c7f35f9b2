"""The operator's own data and labelled images, made ready for the artifact of a cell: once for all
cells that share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from device_agents.contract import Precision
from edge.planning import sizes
from edge.planning.plan import Cell
from edge.planning.request import Request
from edge.planning.sizes import Size
from export.artifact import Artifact, Store
from profiles.errors import EdgebenchError
from profiles.progress import Progress
from profiles.schema import ImageInput

if TYPE_CHECKING:
    from edge.planning.data import Prepared
    from edge.planning.labelled import PreparedImages

T = TypeVar("T")

_ASKED = "onnxruntime"
"""The backend whose artifact answers on the operator's machine."""


def data_source(
    request: Request, artifact: Callable[[Cell], Artifact], store: Store, progress: Progress
) -> Callable[[Cell], Prepared] | None:
    """What makes the operator's data ready, with the answers of the FP32 export for a reference where the data brings
    none; None where there are no data. Errors, of the result: ConfigError for data that does not fit."""
    path = request.inputs
    if path is None:
        return None
    from edge.planning.data import prepare

    def made(cell: Cell, sized: Artifact, image: ImageInput | None) -> Prepared:
        return prepare(path, sized, store, fp32=_fp32(cell, artifact), image=image, progress=progress)

    return _once(artifact, made)


def labelled_source(
    request: Request, artifact: Callable[[Cell], Artifact], store: Store, progress: Progress
) -> Callable[[Cell], PreparedImages] | None:
    """What makes the operator's labelled images ready; None where there are none. Errors, of the result: ConfigError
    for images or labels that do not fit."""
    path = request.dataset
    if path is None:
        return None
    from edge.planning.labelled import prepare

    return _once(artifact, lambda _, sized, image: prepare(path, sized, store, image=image, progress=progress))


def _once(
    artifact: Callable[[Cell], Artifact], make: Callable[[Cell, Artifact, ImageInput | None], T]
) -> Callable[[Cell], T]:
    """What `make` makes of a cell, its artifact and its image at the cell's size, once for each artifact and size."""
    ready: dict[tuple[str, Size | None], T] = {}

    def source(cell: Cell) -> T:
        its = artifact(cell)
        key = its.id, cell.size
        if key not in ready:
            ready[key] = make(cell, *_sized(its, cell))
        return ready[key]

    return source


def _sized(artifact: Artifact, cell: Cell) -> tuple[Artifact, ImageInput | None]:
    """The artifact, and the image that it takes, at the cell's size. Errors: RunError."""
    size = cell.size or sizes.own(artifact)
    image = artifact.images[0] if artifact.images else None
    if image is not None and size is not None:
        image = replace(image, shape=(*image.shape[:-2], *size))
    return sizes.at_size(artifact, cell.size, f"{cell.model}, artifact {artifact.short_id}"), image


def _fp32(cell: Cell, artifact: Callable[[Cell], Artifact]) -> Artifact | None:
    try:
        return artifact(replace(cell, precision=Precision.FP32, backend=_ASKED))
    except EdgebenchError:
        return None
