"""What the kernel does for a process whose parent dies."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def signal_at_death(number: int) -> None:
    """Have the kernel send this process a signal when its parent dies. One that has died before is not told of: look
    at os.getppid() afterwards."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
