"""Fixtures of the agent's tests: a lab a test, and the older interpreters that devices have."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_lab import Lab, tiny_model

from edge.agent import bundle

RUNTIMES = {"3.8": ("onnxruntime==1.19.2", "numpy"), "3.10": ("onnxruntime", "numpy")}
"""What a device of that age has: onnxruntime 1.19 is the last for Python 3.8."""


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """agent.pyz, as it is shipped."""
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    path.write_bytes(bundle.build().data)
    return path


@pytest.fixture(scope="session")
def tiny() -> dict[str, bytes]:
    pytest.importorskip("onnxruntime", reason="the agent's jobs run on onnxruntime: install edgebench[local]")
    pytest.importorskip("onnx", reason="the tiny model is made with onnx: install edgebench[pytorch]")
    return tiny_model()


@pytest.fixture
def lab(tmp_path: Path, agent: Path, tiny: dict[str, bytes]) -> Iterator[Lab]:
    """A device; the test fails if a process of it lives on."""
    with contextlib.closing(Lab(agent, tmp_path / "device", tmp_path / "tools", sys.executable, tiny)) as lab:
        yield lab


@pytest.fixture(scope="session", params=sorted(RUNTIMES))
def device_python(request: pytest.FixtureRequest) -> str:
    """An interpreter as a device has it, numpy and onnxruntime installed; the environment is kept between runs."""
    return str(_environment(request.param) / "bin" / "python")


@pytest.fixture(params=["3.6", "3.7"])
def too_old_python(request: pytest.FixtureRequest) -> str:
    return str(_interpreter(request.param))


def _interpreter(version: str) -> Path:
    """A CPython of that version: pyenv's, or the one on PATH."""
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(home.glob(f"versions/{version}.*/bin/python"))
    on_path = shutil.which(f"python{version}")
    if not found and on_path is None:
        pytest.skip(f"no CPython {version} here, neither in {home} nor as python{version} on PATH")
    return found[-1] if found else Path(str(on_path))


def _environment(version: str) -> Path:
    interpreter = _interpreter(version)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebench-tests"
    folder, wanted = cache / f"agent-py{version.replace('.', '')}", " ".join(RUNTIMES[version])
    complete = folder / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs build it once
        if complete.exists() and complete.read_text() == wanted:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        _do(version, [str(interpreter), "-m", "venv", str(folder)])
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _do(version, [*pip, *RUNTIMES[version]])
        complete.write_text(wanted)
    return folder


def _do(version: str, argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        pytest.skip(f"Python {version} has no numpy and onnxruntime to be had: {last}")
