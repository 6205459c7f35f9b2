"""The agent as one file: device_agents/ in a zip that Python runs. The same sources give the same bytes.

Compressed: see docs/adr/0006. What zlib makes of the same bytes may differ between its builds, so the hash that names
the agent on a device is that of the file, not of the sources.
"""

from __future__ import annotations

import functools
import hashlib
import io
import sys
import zipfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable

_DATE = (1980, 1, 1, 0, 0, 0)  # the zip format's earliest
_MAIN = b"""\
import sys
if sys.version_info < (3, 8):
    version = ".".join(map(str, sys.version_info[:3]))
    print('{"error": {"code": "old_python", "stage": "agent", "message": "Python %s is older than 3.8"}}' % version)
    sys.exit(1)
import device_agents.began
from device_agents.agent import main
sys.exit(main())
"""  # must parse on any Python 3, so that an old one can say so


@dataclass(frozen=True)
class Bundle:
    """agent.pyz: its bytes, and the SHA-256 (hex) that names it on devices."""

    data: bytes
    sha256: str


@functools.cache
def build() -> Bundle:
    """The agent of this edgebench."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in [("__main__.py", _MAIN), *sorted(_sources(files("device_agents"), "device_agents"))]:
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    data = buffer.getvalue()
    return Bundle(data, hashlib.sha256(data).hexdigest())


def backend_names() -> tuple[str, ...]:
    """The backends that the agent carries: a file each, whose `_` is a `-` in the backend's name."""
    folder = files("device_agents") / "backends"
    stems = (PurePosixPath(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".py"))
    return tuple(sorted(stem.replace("_", "-") for stem in stems if stem not in ("__init__", "base")))


def _sources(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        name = f"{prefix}/{entry.name}"
        if entry.is_dir():
            found += _sources(entry, name)
        elif entry.name.endswith(".py"):
            found.append((name, entry.read_bytes().replace(b"\r\n", b"\n")))
    return found
