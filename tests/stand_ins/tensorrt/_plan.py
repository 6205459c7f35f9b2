"""What a serialized engine and a timing cache are here: a header that can be checked, JSON, the ONNX file."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any, Dict, Optional, Tuple

PLAN, CACHE = b"SCRIPTED", b"SCRCACHE"


def pack(magic: bytes, about: Dict[str, Any], files: Dict[str, bytes]) -> bytes:
    """`about` with the sizes of `files`, then the files; the hash of all of it stands in front."""
    head = json.dumps({**about, "files": {name: len(data) for name, data in files.items()}}, sort_keys=True).encode()
    body = struct.pack("<Q", len(head)) + head + b"".join(files[name] for name in sorted(files))
    return magic + hashlib.sha256(body).digest() + body


def unpack(magic: bytes, data: bytes) -> Optional[Tuple[Dict[str, Any], Dict[str, bytes]]]:
    """None for anything else than what `pack` made, to the bit."""
    body = data[len(magic) + 32 :]
    if data[: len(magic)] != magic or hashlib.sha256(body).digest() != data[len(magic) : len(magic) + 32]:
        return None
    (size,) = struct.unpack("<Q", body[:8])
    about, at, files = json.loads(body[8 : 8 + size]), 8 + size, {}
    for name, length in about.pop("files").items():
        files[name] = body[at : at + length]
        at += length
    return about, files
