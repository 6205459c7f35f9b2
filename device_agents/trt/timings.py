"""The timing cache: what TensorRT measured of its kernels, kept between builds, a file a runtime version and GPU.

The file is a line that names it, the SHA-256 of the rest, and TensorRT's own bytes: those it would not survive damaged.
TensorRT-RTX, which times no kernels when it builds, has had no use for one since its 1.2 and gets none.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Any, List, Optional

from device_agents.files import write_atomic
from device_agents.trt.api import quietly

_MAGIC = b"edgebench timing cache 1\n"
_DIGEST = 64


class Timings:
    """The cache of one build; `path` None: nobody keeps it. `warnings` say what was dropped."""

    def __init__(self, path: Optional[Path]) -> None:
        self._path = path
        self._before: Optional[bytes] = None
        self._timing_cache: Any = None
        self.warnings: List[str] = []

    def attach(self, config: Any) -> None:
        """Give `config` what is kept, or an empty cache to fill; nothing where nobody keeps it."""
        if self._path is None:
            return
        self._before = self._read()
        with quietly():
            self._timing_cache = config.create_timing_cache(self._before or b"")
            if not self._timing_cache or not config.set_timing_cache(self._timing_cache, False):
                self._drop("is of another TensorRT or GPU")
                self._timing_cache = config.create_timing_cache(b"")
                config.set_timing_cache(self._timing_cache, False)
        size = len(self._before or b"")
        print(f"timing cache: {size} bytes read from {self._path}" if size else "timing cache: empty", file=sys.stderr)

    def keep(self, config: Any) -> None:
        """Write what `config` has now, with what another build wrote meanwhile. A disk that is full is a warning."""
        if self._path is None:
            return
        now = self._read()
        with quietly():
            timing_cache = config.get_timing_cache()
            if now is not None and now != self._before:
                self._merge(config, timing_cache, now)
            plan = timing_cache.serialize()
        data = bytes(memoryview(plan))
        self._timing_cache = None  # it is the builder's, and goes before it
        try:
            write_atomic(self._path, _MAGIC + hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
        except OSError as error:
            self.warnings.append(f"the timing cache could not be kept ({error.strerror or error})")
            return
        print(f"timing cache: {len(data)} bytes written to {self._path}", file=sys.stderr)

    def _merge(self, config: Any, timing_cache: Any, theirs: bytes) -> None:
        self._timing_cache = config.create_timing_cache(theirs)
        if self._timing_cache:
            timing_cache.combine(self._timing_cache, False)  # not those of another GPU

    def _read(self) -> Optional[bytes]:
        if self._path is None or not self._path.exists():
            return None
        try:
            content = self._path.read_bytes()
        except OSError as error:
            self._drop(f"cannot be read ({error.strerror or error})")
            return None
        header, data = content[: len(_MAGIC) + _DIGEST + 1], content[len(_MAGIC) + _DIGEST + 1 :]
        if header != _MAGIC + hashlib.sha256(data).hexdigest().encode() + b"\n":
            self._drop("is damaged")
            return None
        return data

    def _drop(self, why: str) -> None:
        self._before = None
        warning = f"the timing cache {self._path} {why} and was not used; this build makes a new one"
        if warning not in self.warnings:
            self.warnings.append(warning)


def path_in(caches: Path, runtime_name: str, version: str, gpu: str) -> Path:
    """`caches/timings-tensorrt-10.3.0.26-sm87-16-1300x3199.cache`: one a runtime version and GPU at its clocks."""
    safe = re.sub(r"[^A-Za-z0-9._]+", "-", f"{runtime_name}-{version}-{gpu}")
    return caches / f"timings-{safe}.cache"
