"""What tests of releases share: manifests of files that lie on a lab's device, hooks, and an agent that is killed at
its n-th step."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_lab import Answer, Lab

from device_agents.contract import (
    ENGINE_FILE,
    SCHEMA,
    FileEntry,
    Precision,
    Release,
    ReleasedEngine,
    ReleasedMeasurement,
    TensorSpec,
    to_json,
)

MODEL = "tiny"

_KILLED_AT = """
import os, runpy, signal, sys
at, root, sys.argv = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
seen = 0
def step(event, arguments):
    global seen
    changes = event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES)
    if changes and any(root in str(word) for word in arguments):
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
CHANGES = {"os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.rename", "os.remove", "shutil.copyfile"}
WRITES = os.O_WRONLY | os.O_RDWR
sys.addaudithook(step)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs the agent as it is; before its n-th change of a file or folder below a folder the kernel kills it."""


def entry(name: str, data: bytes) -> FileEntry:
    return FileEntry(name, len(data), hashlib.sha256(data).hexdigest())


@dataclass
class Shelf:
    """The releases of one lab, seen as a service sees them and as the agent's commands do."""

    lab: Lab

    @property
    def home(self) -> Path:
        return self.lab.workdir / "releases" / MODEL

    def release(self, version: str = "v1", *, engine: bytes | None = None, **changes: Any) -> Release:
        """The manifest of the lab's artifact; with an engine, that is put into the device's cache."""
        files = [entry("model.onnx", self.lab.model["model.onnx"])]
        made: ReleasedEngine | None = None
        if engine is not None:
            made = ReleasedEngine("e" * 40, entry(ENGINE_FILE, engine), "tensorrt", "10.3.0.30", "2026-01-01T00:00:00Z")
            folder = self.lab.workdir / "engines" / made.key
            folder.mkdir(parents=True, exist_ok=True)
            # as the cache does it: a release may be linked to the old one
            (folder / ENGINE_FILE).unlink(missing_ok=True)
            (folder / ENGINE_FILE).write_bytes(engine)
            files.append(made.file)
        fields: dict[str, Any] = {
            "schema": SCHEMA, "model": MODEL, "version": version, "device": "board", "framework": "onnx",
            "precision": Precision.FP32, "weights": "pretrained", "artifact": self.lab.artifact,
            "model_file": "model.onnx", "files": tuple(files), "backend": "onnxruntime", "runtime_version": "1.19.2",
            "inputs": (TensorSpec("image", "float32", ("batch", 3, 4, 4)),),
            "outputs": (TensorSpec("scores", "float32", ("batch", 5)),),
            "measurements": (ReleasedMeasurement("0123456789abcdef", "VALID", 1, 700, 5, p99_ms=1.5),),
            "released_by": "me@desk", "released_at": "2026-01-01T00:00:00Z", "edgebench": "0.1.0", "engine": made,
        }  # fmt: skip
        return Release(**{**fields, **changes})

    def make(self, version: str = "v1", **changes: Any) -> Answer:
        return self.lab.call("release", stdin=encode(self.release(version, **changes)))

    def activate(self, version: str | None = None, hook: tuple[object, ...] = (), timeout_s: float = 30.0) -> Answer:
        return self.lab.call("activate", stdin=activation(version, hook, timeout_s))

    def rollback(self, hook: tuple[object, ...] = ()) -> Answer:
        return self.activate(None, hook)

    def remove(self, version: str, *, previous_too: bool = False) -> Answer:
        order = {"model": MODEL, "version": version, "previous_too": previous_too}
        return self.lab.call("remove-release", stdin=json.dumps(order).encode())

    def listed(self) -> dict[str, Any]:
        """Of the model, as `releases` answers; {} where there are none."""
        answer = self.lab.call("releases")
        assert answer.code == 0, answer
        return next((one for one in answer.json["models"] if one["model"] == MODEL), {})

    @property
    def versions(self) -> list[str]:
        return [release["version"] for release in self.listed().get("versions", [])]

    @property
    def links(self) -> tuple[str | None, str | None]:
        """current and previous, as a service follows them: both must lead to whole releases."""
        names = []
        for name in ("current", "previous"):
            link = self.home / name
            names.append(link.readlink().name if link.is_symlink() else None)
            if link.is_symlink():
                self.check_whole(link)
        return names[0], names[1]

    def check_whole(self, folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        assert {path.name for path in folder.iterdir()} == {"manifest.json", *(f["name"] for f in manifest["files"])}
        for file in manifest["files"]:
            assert to_json(entry(file["name"], (folder / file["name"]).read_bytes())) == file

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.home.glob(".*")) if self.home.exists() else []

    def killed_at(self, step: int, command: str, stdin: bytes) -> bool:
        """Run a command of the agent that is killed before its `step`-th change; False where it has fewer."""
        child = subprocess.Popen(
            [self.lab.python, "-c", _KILLED_AT, str(step), str(self.lab.workdir / "releases"), str(self.lab.bundle),
             command, "--workdir", str(self.lab.workdir)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.lab.environment,
        )  # fmt: skip
        with child:
            _, err = child.communicate(stdin, 60)
        assert child.returncode in (0, 1, -signal.SIGKILL), err
        return child.returncode < 0

    def kept(self) -> Callable[[], None]:
        """Keeps the releases as they are; what it returns brings them back."""
        root = self.home.parent
        copy = root.with_name("kept")
        shutil.copytree(root, copy, symlinks=True)

        def bring_back() -> None:
            shutil.rmtree(root)
            shutil.copytree(copy, root, symlinks=True)

        return bring_back


def encode(release: Release) -> bytes:
    return json.dumps(to_json(release)).encode()


def activation(version: str | None, hook: tuple[object, ...] = (), timeout_s: float = 30.0) -> bytes:
    order = {"model": MODEL, "hook": list(map(str, hook)), "hook_timeout_s": timeout_s}
    return json.dumps({**order, **({"version": version} if version else {})}).encode()
