"""How a process ended: by a signal that it had, or with a code that merely is above 128."""

from __future__ import annotations

import subprocess

import pytest

from device_agents import endings


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "with exit code 3"),
        ("exit 255", "with exit code 255"),
        ("kill -TERM $$", "by signal SIGTERM"),
        ("kill -40 $$", "by signal 40"),
    ],
)
def test_a_process_is_told_by_its_signal_or_its_code(script: str, told: str) -> None:
    assert endings.told(subprocess.run(["sh", "-c", script], check=False).returncode) == told


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (0, "with exit code 0"),
        (127, "with exit code 127"),
        (128, "with exit code 128"),
        (137, "by signal SIGKILL"),
        (143, "by signal SIGTERM"),
        (200, "with exit code 200"),
        (255, "with exit code 255"),
        (-9, "by signal SIGKILL"),
    ],
)
def test_a_container_is_told_by_a_signal_only_where_there_is_one_of_that_number(code: int, told: str) -> None:
    assert endings.told(endings.in_container(code)) == told
