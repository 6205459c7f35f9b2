"""The one door to /proc, /sys and tools, so that a recorded device can stand in for a real one.

With EDGEBENCH_SYSTEM_ROOT=DIR files are read below DIR, and the result says so. What is read becomes a reading: a value
with its source, or the reason why it is unknown.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, TypeVar

from device_agents.contract import Reading, Scalar

ROOT_VARIABLE = "EDGEBENCH_SYSTEM_ROOT"

GPU_VARIABLE = "EDGEBENCH_GPU"
"""By which a supervisor tells its workers the UUID of the board that they measure."""

Readings = Dict[str, Reading]
T = TypeVar("T", bound=Scalar)


class System:
    """Files and commands of a device, real or recorded. `gpu` is the UUID of the board that is measured, "" for the
    first that nvidia-smi names."""

    def __init__(self, root: Path = Path("/"), gpu: str = "") -> None:
        self.root = root
        self.gpu = gpu

    @classmethod
    def here(cls) -> System:
        return cls(Path(os.environ.get(ROOT_VARIABLE, "/")), os.environ.get(GPU_VARIABLE, ""))

    def of(self, gpu: str) -> System:
        """The same device, one of its GPUs being the one that is measured."""
        return System(self.root, gpu)

    @property
    def recorded(self) -> bool:
        return self.root != Path("/")

    def path(self, absolute: str) -> Path:
        return self.root / absolute.lstrip("/")

    def exists(self, absolute: str) -> bool:
        return self.path(absolute).exists()

    def text(self, absolute: str, parse: Callable[[str], Optional[Scalar]] = str.strip) -> Reading:
        """The parsed content of a file, as a reading whose source is its path."""
        try:
            content = self.path(absolute).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            return Reading(unknown=f"{absolute}: {error.strerror}")
        return parsed(content, parse, absolute)

    def command(
        self, argv: Sequence[str], parse: Callable[[str], Optional[Scalar]], timeout_s: float = 10.0
    ) -> Reading:
        """The parsed output of a command, as a reading whose source is the command."""
        source = " ".join(argv)
        output = self.run(argv, timeout_s)
        return (
            Reading(unknown=f"{source}: not there, or it failed") if output is None else parsed(output, parse, source)
        )

    def run(self, argv: Sequence[str], timeout_s: float = 10.0) -> Optional[str]:
        """What a command printed, or None when it is missing, fails or takes longer than `timeout_s`."""
        program = shutil.which(argv[0])
        if program is None:
            return None
        try:
            done = subprocess.run(
                [program, *argv[1:]],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                timeout=timeout_s, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def parsed(content: str, parse: Callable[[str], Optional[Scalar]], source: str) -> Reading:
    """A reading from text: unknown when `parse` finds nothing or stumbles."""
    try:
        value = parse(content)
    except (ValueError, IndexError):
        value = None
    return Reading(unknown=f"{source}: says something else") if value is None else Reading(value, source)


def known(value: Optional[Scalar], source: str, reason: str = "not told") -> Reading:
    return Reading(unknown=f"{source}: {reason}") if value is None else Reading(value, source)


def first_line(lines: Sequence[str], prefix: str) -> Optional[str]:
    """What follows `prefix` and its colon on the first line that begins with it."""
    found: List[str] = [line.partition(":")[2].strip() for line in lines if line.startswith(prefix)]
    return found[0] if found else None
