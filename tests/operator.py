"""An operator at a shell: the real command in a child process, with a home of its own, and small models to send."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 60.0
FAST = ("--quick", "--processes", "1")

BRIEF = """
from device_agents.contract import Timing
Timing.quick = staticmethod(lambda: Timing(1, 0.0, 5, 0.1, 0.05, 20, 1.0))
"""
"""A prelude that makes `--quick` a matter of milliseconds, for tests that look at anything but figures."""

JUDGED = """
from dataclasses import replace
import profiles.load
from profiles.schema import Thresholds
_read = profiles.load.device_profile
_lines = Thresholds({0}, {0}, {0}, {0}, {0}, {0}, {0})
profiles.load.device_profile = lambda name: replace(_read(name), thresholds=_lines)
"""
SOUND = JUDGED.format(9.0)
"""A prelude whose verdict forgives a busy machine: nothing is INVALID for want of quiet."""
UNSOUND = JUDGED.format(-1.0)
"""One with which every measurement is INVALID."""


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def interrupted(child: subprocess.Popen[str], patience: float = PATIENCE_S) -> tuple[str, str]:
    """What a command printed that Ctrl-C ended. It is pressed again where nothing comes of it for long: Python drops a
    KeyboardInterrupt that happens to be raised in a callback of its own."""
    end = time.monotonic() + patience
    while True:
        os.killpg(child.pid, signal.SIGINT)
        try:
            return child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            if time.monotonic() > end:
                raise


@dataclass
class Operator:
    """`run` waits for a command, `start` does not; `prelude` runs before it. Everything it keeps is below `home`."""

    home: Path
    python: str = sys.executable
    prelude: str = ""
    _started: list[subprocess.Popen[str]] = field(default_factory=list)

    def run(self, *arguments: object, stdin: str = "", timeout: float = PATIENCE_S) -> Answer:
        done = subprocess.run(
            self._argv(arguments), input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
            cwd=self.home, env=self.environment(),
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: object, stdout: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            self._argv(arguments), stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, text=True,
            cwd=self.home, env=self.environment(), start_new_session=True,
        )  # fmt: skip
        self._started.append(child)
        return child

    def stop(self) -> None:
        for child in self._started:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.communicate()

    @property
    def device_home(self) -> Path:
        """The working folder of the device `local`."""
        return next((self.home / ".cache" / "edgebench").glob("*/jobs")).parent

    def files(self) -> set[str]:
        """Every file below the home, by its path from there."""
        return {str(path.relative_to(self.home)) for path in self.home.rglob("*") if path.is_file()}

    def measurements(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.run("results", "list", "--json").json["measurements"]
        return found

    def stored(self, measurement: str) -> dict[str, Any]:
        """A measurement as the store keeps it."""
        folder = self.home / ".local/share/edgebench/measurements" / measurement[:2] / measurement
        found: dict[str, Any] = json.loads((folder / "result.json").read_text())
        return found

    def journal(self) -> list[dict[str, Any]]:
        """The events of the newest run."""
        path = max((self.home / ".local/share/edgebench/sweeps").glob("*/*.jsonl"), key=lambda p: p.stat().st_mtime_ns)
        return [json.loads(line) for line in path.read_text().splitlines() if line]

    def _argv(self, arguments: tuple[object, ...]) -> list[str]:
        return [self.python, "-c", f"{self.prelude}\nfrom edge.cli import main; main()", *map(str, arguments)]

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "EDGEBENCH_"))}
        return {**kept, "HOME": str(self.home)}


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    home = tmp_path / "operator"
    home.mkdir()
    operator = Operator(home)
    yield operator
    operator.stop()


@pytest.fixture(scope="session")
def tiny_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own model, (batch, 3, 32, 32) to 10 logits: small, so that a test's time goes to what it tests."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny.onnx", classes=10)


@pytest.fixture(scope="session")
def heavy_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 5,000 classes: 60 MB, so that its upload can be caught in the middle."""
    return write_model(tmp_path_factory.mktemp("models") / "heavy.onnx", classes=5000)


def write_model(path: Path, *, classes: int) -> Path:
    onnx = pytest.importorskip("onnx", reason="making a small model needs onnx")
    import numpy as np

    weights = np.random.default_rng(0).normal(0, 0.02, size=(3 * 32 * 32, classes)).astype(np.float32)
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["images"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["logits"])],
        "tiny",
        [helper.make_tensor_value_info("images", kind, ["batch", 3, 32, 32])],
        [helper.make_tensor_value_info("logits", kind, ["batch", classes])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path
