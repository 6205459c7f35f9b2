"""The safetensors format as a device reads it: what is written comes back, and what is damaged is refused."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from device_agents.formats.safetensors import Entry, encode_header, read_header

TWO = [("bias", "F16", (2,)), ("weight", "F32", (2, 3)), ("steps", "I64", ())]
DATA = bytes(4 + 24 + 8)


def file_of(told: Any, data: bytes) -> bytes:
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    return len(text).to_bytes(8, "little") + text + data


def read(data: bytes) -> dict[str, Entry]:
    return read_header(io.BytesIO(data), len(data))


def tensor(begin: int, end: int, dtype: str = "F32", shape: tuple[Any, ...] = (1,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_what_was_written_is_read_in_the_order_of_its_data() -> None:
    header = encode_header(TWO)
    found = read(header + DATA)
    assert [(name, entry.dtype, entry.shape) for name, entry in found.items()] == TWO
    assert [entry.end - entry.begin for entry in found.values()] == [4, 24, 8]
    assert found["bias"].begin == len(header)
    assert len(header) % 8 == 0, "the data is aligned, as the library has it"


def test_metadata_is_passed_over() -> None:
    assert list(read(file_of({"__metadata__": {"format": "pt"}, "w": tensor(0, 4)}, bytes(4)))) == ["w"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes long"),
        ((2**60).to_bytes(8, "little") + b"{}", "bytes long"),
        (file_of(b"\xff\xff", b""), "no JSON"),
        (file_of([1], b""), "no JSON object"),
        (file_of({"w": tensor(0, 8)}, bytes(8)), "does not say what 'w' is"),
        (file_of({"w": tensor(0, 4, "F8")}, bytes(4)), "does not say what 'w' is"),
        (file_of({"w": tensor(0, -4, shape=(-1,))}, b""), "does not say what 'w' is"),
        (file_of({"w": tensor(0, 4, shape=(True,))}, bytes(4)), "does not say what 'w' is"),
        (file_of({"w": 1}, b""), "does not say what 'w' is"),
        (file_of({"v": tensor(0, 4), "w": tensor(0, 4)}, bytes(4)), "overlap"),
        (file_of({"v": tensor(0, 4), "w": tensor(8, 12)}, bytes(12)), "gaps"),
        (encode_header(TWO) + DATA[:-1], "bytes long, its header says"),
        (encode_header(TWO) + DATA + b"more", "bytes long, its header says"),
    ],
)
def test_a_damaged_file_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(data)
