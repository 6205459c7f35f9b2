"""The safetensors format, whole: the length of a JSON header (8 bytes, little-endian), the header, the data.

    {"conv1.weight": {"dtype": "F32", "shape": [64, 3, 7, 7], "data_offsets": [0, 37632]}, ...}

Offsets count from the end of the header, and the data has no gaps (github.com/huggingface/safetensors, "Format").
It holds numbers alone and needs no library: nothing has to be installed on a device to read it.
"""

from __future__ import annotations

import json
from typing import BinaryIO, Dict, Iterable, List, NamedTuple, Tuple

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Bytes of a value, by its type."""

_LENGTH = 8
_MOST_HEADER = 100_000_000  # bytes: the limit of the library
_METADATA = "__metadata__"


class Entry(NamedTuple):
    """A tensor: its type by the format's name, its shape, and its bytes from `begin` to `end` in the file."""

    dtype: str
    shape: Tuple[int, ...]
    begin: int
    end: int


def read_header(stream: BinaryIO, size: int) -> Dict[str, Entry]:
    """The tensors of a file of `size` bytes, in the order of their data. Errors: ValueError for what is no safetensors
    file, or a damaged one."""
    length = int.from_bytes(stream.read(_LENGTH), "little")
    if not 2 <= length <= min(_MOST_HEADER, size - _LENGTH):
        raise ValueError(f"its header would be {length} bytes long")
    try:
        header = json.loads(stream.read(length).decode())
    except (UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"its header is no JSON ({error})") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")  # noqa: TRY004 - of the file, not of an argument
    header.pop(_METADATA, None)
    begin = _LENGTH + length
    found = sorted(((name, _entry(name, told, begin)) for name, told in header.items()), key=lambda pair: pair[1].begin)
    _expect_no_gaps([entry for _, entry in found], begin, size)
    return dict(found)


def encode_header(tensors: Iterable[Tuple[str, str, Tuple[int, ...]]]) -> bytes:
    """What comes before the data of these tensors (name, type, shape), which follows in the same order."""
    told, offset = {}, 0
    for name, dtype, shape in tensors:
        end = offset + _bytes(dtype, shape)
        told[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(told, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)  # the library aligns the data so
    return len(text).to_bytes(_LENGTH, "little") + text


def _entry(name: str, told: object, begin: int) -> Entry:
    try:
        dtype, shape, (first, last) = told["dtype"], tuple(told["shape"]), told["data_offsets"]  # type: ignore[index]
        whole = all(type(number) is int and number >= 0 for number in (*shape, first, last))
        if dtype in SIZES and whole and last - first == _bytes(dtype, shape):
            return Entry(dtype, shape, begin + first, begin + last)
    except (KeyError, TypeError, ValueError):
        pass
    raise ValueError(f"its header does not say what {name[:60]!r} is")


def _expect_no_gaps(entries: List[Entry], begin: int, size: int) -> None:
    for entry in entries:
        if entry.begin != begin:
            raise ValueError("its tensors overlap, or leave gaps")
        begin = entry.end
    if begin != size:
        raise ValueError(f"it is {size} bytes long, its header says {begin}")


def _bytes(dtype: str, shape: Tuple[int, ...]) -> int:
    count = 1
    for dim in shape:
        count *= dim
    return count * SIZES[dtype]
