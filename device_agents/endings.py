"""How a process ended, in words."""

from __future__ import annotations

import signal

_SIGNALLED = 128


def told(code: int) -> str:
    """`by signal SIGKILL`, or `with exit code 3`, of the returncode of a Popen."""
    return f"by signal {signal_name(-code)}" if code < 0 else f"with exit code {code}"


def signal_name(number: int) -> str:
    """The number itself, of a real-time signal that has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def in_container(code: int) -> int:
    """As a Popen's, what the client of a container's engine ended with: 128 and its number more for a signal that ended
    the first process. What is no signal then is an exit code, as 255 is."""
    try:
        return -signal.Signals(code - _SIGNALLED)
    except ValueError:
        return code
