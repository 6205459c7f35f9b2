"""Where the folder of ours is: home, and the machine's id, as several machines may share a home."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edge.agent.calls import PLACE


@pytest.mark.parametrize(
    ("content", "told"), [("4f2a\n", "4f2a"), ("", os.uname().nodename), (None, os.uname().nodename)]
)
def test_a_machine_without_an_id_is_known_by_its_name(tmp_path: Path, content: str | None, told: str) -> None:
    """The file is missing in some containers, and empty in others."""
    file = tmp_path / "machine-id"
    if content is not None:
        file.write_text(content)
    command = PLACE.replace("/etc/machine-id", str(file))
    done = subprocess.run(["sh", "-c", command], env={**os.environ, "HOME": "/home/x"}, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == ["/home/x", told]
