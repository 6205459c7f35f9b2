"""The scripted TensorRT for tests: as a module of this process, or on the PYTHONPATH of another one.

It is a stand-in, not TensorRT: tests/stand_ins/tensorrt/__init__.py says what it plays, what it refuses and where it is
stricter. It computes in the memory of the stand-in for CUDA, which both fixtures bring along.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.stand_ins.cudart import StandIn

PACKAGE = Path(__file__).with_name("tensorrt")


class ScriptedTensorRT:
    """`folder` holds a package `tensorrt` and nothing else."""

    def __init__(self, folder: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.stand_in = stand_in
        self._monkeypatch = monkeypatch

    def environment(self, shape: str, **settings: object) -> dict[str, str]:
        """What a child process needs to import it in the shape of a release, such as 8.5, 10.3 or 11.4.

        `settings` are SCRIPTED_TENSORRT_<NAME>, in lower case.
        """
        told = {f"SCRIPTED_TENSORRT_{name.upper()}": str(value) for name, value in settings.items()}
        found = {"PYTHONPATH": str(self.folder), "EDGEBENCH_CUDART": str(self.stand_in.path)}
        return {**found, "SCRIPTED_TENSORRT": shape, **told}

    def set(self, **settings: object) -> None:
        """SCRIPTED_TENSORRT_<NAME> in this process, for modules that were imported already, too."""
        for name, value in settings.items():
            self._monkeypatch.setenv(f"SCRIPTED_TENSORRT_{name.upper()}", str(value))

    def module(self, shape: str) -> ModuleType:
        """The module in this process, in one shape beside the others."""
        name = f"scripted_tensorrt_{shape.replace('.', '_')}"
        if name not in sys.modules:
            self._monkeypatch.setenv("SCRIPTED_TENSORRT", shape)
            spec = importlib.util.spec_from_file_location(name, PACKAGE / "__init__.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        return sys.modules[name]


@pytest.fixture
def scripted_tensorrt(tmp_path: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> ScriptedTensorRT:
    """The scripted TensorRT on the stand-in CUDA, both as new."""
    folder = tmp_path / "scripted"
    folder.mkdir()
    (folder / "tensorrt").symlink_to(PACKAGE)
    return ScriptedTensorRT(folder, stand_in, monkeypatch)
