"""Graphs on disk. Protobuf ends at 2 GiB: what is near it keeps its weights in `model.onnx.data` beside the graph.

In memory a graph is one message with all its weights, whatever their size; only its bytes are bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from export.draft import MODEL_FILE
from export.graph.form import SMALL
from export.graph.names import subgraphs
from profiles.errors import ExportError

IN_ONE_FILE = 1_900_000_000
"""Bytes of weights up to which a graph is one file: the rest of the 2 GiB is for its nodes."""

_DAMAGED = "check that it is the file that was exported, and that it arrived whole"


def load(path: Path) -> Any:
    """The ModelProto with all its weights, those in other files included. Errors: ExportError for a damaged file, and
    for weights that are missing, cut short, outside the folder of the file, or in a link."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model(path, load_external_data=False)
    except OSError as error:
        raise ExportError(f"it cannot be read ({error.strerror})", where=str(path)) from None
    except (DecodeError, ValueError) as error:
        raise ExportError("not an ONNX file, or a damaged one", where=str(path), fix=_DAMAGED) from error
    if not model.graph.node or not model.opset_import:
        raise ExportError("not an ONNX file: it holds no graph", where=str(path), fix=_DAMAGED)
    for tensor in tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _check_place(tensor, path)
            _bring_in(tensor, path)
    return model


def save(model: Any, folder: Path, limit: int = IN_ONE_FILE) -> Path:
    """Write `folder/model.onnx`, and `model.onnx.data` where the weights are over `limit` bytes; return the first.
    Equal graphs give equal bytes. The model may be given on; its large weights are in the file then, no more in it.
    Errors: ExportError when the nodes alone are over protobuf's limit."""
    path = folder / MODEL_FILE
    data = folder / f"{MODEL_FILE}.data"
    data.unlink(missing_ok=True)
    if weight_bytes(model) > limit:
        _move_outside(model.graph.initializer, data)
    try:
        serialised = model.SerializeToString(deterministic=True)
    except Exception as error:  # protobuf's EncodeError, or ValueError: it depends on its implementation
        raise ExportError("without its weights the graph is still over the 2 GiB of an ONNX file") from error
    path.write_bytes(serialised)
    return path


def weight_bytes(model: Any) -> int:
    """Bytes of all constants as stored, inner graphs included."""
    return sum(byte_size(tensor) for tensor in tensors(model))


def tensors(model: Any) -> Iterator[Any]:
    """Every constant: initializers and tensors in nodes, those of inner graphs included."""
    for graph in subgraphs(model.graph):
        yield from graph.initializer
        for node in graph.node:
            yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


def data_files(path: Path) -> list[Path]:
    """The files beside an .onnx that hold its weights; told at once where it holds them itself."""
    import mmap

    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(b"location") < 0:
                return []
    except (OSError, ValueError):  # what cannot be read, or is empty, is told by who reads it
        return []
    import onnx

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception:  # noqa: BLE001  told by who reads it
        return []
    places = (place for tensor in tensors(model) for place in tensor.external_data if place.key == "location")
    found = {path.parent / place.value for place in places}
    return sorted(file for file in found if file.is_file())


def byte_size(tensor: Any) -> int:
    """Bytes of a TensorProto as stored; two values of 4 bits share one."""
    import onnx

    types = onnx.TensorProto
    if tensor.data_type == types.STRING:
        return sum(len(text) for text in tensor.string_data)
    count: int = math.prod(tensor.dims)
    if tensor.data_type in (types.INT4, types.UINT4, types.FLOAT4E2M1):
        return (count + 1) // 2
    return count * int(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _check_place(tensor: Any, path: Path) -> None:
    """A location is a path within the folder: a file of somebody else's must not make us read another one."""
    place = {entry.key: entry.value for entry in tensor.external_data}
    location = place.get("location", "")
    named = f"weight {tensor.name[:100]!r}"
    home = path.parent.resolve()
    file = (home / location).resolve()
    if not location or not file.is_relative_to(home):
        message = f"{named} lies in {location!r}, outside the folder of the model"
        raise ExportError(message, where=str(path), fix="put its data files beside it and save it with relative names")
    if not file.is_file():
        message = f"{named} lies in {location!r}, which is not there"
        raise ExportError(message, where=str(path), fix="copy the data files of the model as well")
    try:
        end = int(place.get("offset", 0)) + int(place.get("length", byte_size(tensor)))
    except ValueError:
        raise ExportError(f"{named} has a place that is no number", where=str(path), fix=_DAMAGED) from None
    if end > file.stat().st_size:
        message = f"{named} ends at byte {end} of {location!r}, which has {file.stat().st_size}"
        raise ExportError(message, where=str(path), fix=_DAMAGED)


def _bring_in(tensor: Any, path: Path) -> None:
    """In place: the weight's bytes. onnx follows no link, not even a hard one."""
    import onnx

    location = next(entry.value for entry in tensor.external_data if entry.key == "location")
    try:
        onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        message = f"weight {tensor.name[:100]!r} cannot be read from {location!r} ({reason[:200]})"
        raise ExportError(message, where=str(path), fix="put the file itself there, not a link to it") from None
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")


def _move_outside(initializers: Sequence[Any], data: Path) -> None:
    """In place: large weights go to `data`, one after the other in their order."""
    import onnx

    with data.open("wb") as stream:
        for tensor in initializers:
            if math.prod(tensor.dims) <= SMALL:
                continue
            if not tensor.HasField("raw_data"):
                tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
            offset = stream.tell()
            stream.write(tensor.raw_data)
            onnx.external_data_helper.set_external_data(tensor, data.name, offset, len(tensor.raw_data))
            tensor.ClearField("raw_data")
