"""A backend that stands in for TensorRT where the controller is tested: an "engine" is the ONNX file behind a nonce,
run by onnxruntime. It shows who builds, what travels and what is loaded; it says nothing of TensorRT.

As `tensorrt_rtx` it builds for a target that is not there, too: the engine's name for it, nothing more.
`~/tensorrt` of a device holds the version that it claims, and makes the runtime exist there. `~/log` gets a line a
build and a load, with the engine's SHA-256. `~/slow` holds seconds that a build takes, `~/broken` makes it fail.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from device_agents.backends import onnxruntime
from device_agents.backends.base import Built
from device_agents.contract import JobSpec, Scalar
from device_agents.errors import DeviceError

_NONCE_BYTES = 16
_NAME = __name__.rpartition(".")[2].replace("_", "-")
_TARGET = {"target": "the one GPU generation to build for"} if _NAME == "tensorrt-rtx" else {}


class Backend(onnxruntime.Backend):
    builds: ClassVar[bool] = True
    build_options: ClassVar[dict[str, str]] = {"level": "how long to search for tactics, 0 to 5", **_TARGET}
    version = ""

    def start(self) -> str:
        try:
            self.version = (Path.home() / "tensorrt").read_text().strip()
        except OSError:
            raise ImportError("No module named 'tensorrt'") from None
        super().start()
        return self.version

    def made_of(self, spec: JobSpec) -> dict[str, Scalar]:
        target = {"target": spec.options.get("target", "any")} if _TARGET else {}
        return {"runtime": _NAME, "runtime_version": self.version, "level": spec.options.get("level", 3), **target}

    def build(self, model: Path, out: Path, spec: JobSpec, caches: Path, tell: Callable[[str], None]) -> Built:
        _log("begin", b"")
        slow = Path.home() / "slow"
        time.sleep(float(slow.read_text()) if slow.exists() else 0.0)
        if (Path.home() / "broken").exists():
            raise DeviceError("build_failed", "build", "no tactic was found for node Conv_7")
        out.write_bytes(os.urandom(_NONCE_BYTES) + model.read_bytes())
        _log("build", out.read_bytes())
        return Built((), None, (), {})

    def load(self, path: Path, spec: JobSpec) -> None:
        data = path.read_bytes()
        _log("load", data)
        with tempfile.NamedTemporaryFile(suffix=".onnx") as model:
            model.write(data[_NONCE_BYTES:])
            model.flush()
            super().load(Path(model.name), spec)


def _log(what: str, engine: bytes) -> None:
    with (Path.home() / "log").open("a") as log:
        log.write(f"{what} {hashlib.sha256(engine).hexdigest()}\n")
