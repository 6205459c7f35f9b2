"""An agent that carries stand-ins for backends, for the processes that a test starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import device_agents

HERE = Path(__file__).parent


def carry(folder: Path, monkeypatch: pytest.MonkeyPatch, backends: dict[str, str]) -> None:
    """From now on controllers ship an agent from `folder`, in which each of `backends` is a file of this folder."""
    source = Path(device_agents.__file__).parent
    agent = folder / "carried" / "device_agents"
    shutil.copytree(source, agent, ignore=shutil.ignore_patterns("__pycache__"))
    for name, stand_in in backends.items():
        shutil.copy(HERE / stand_in, agent / "backends" / f"{name}.py")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(agent.parent), str(source.parent))))
