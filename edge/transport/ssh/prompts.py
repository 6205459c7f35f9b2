"""Asking the operator for what no file holds: the passphrase of a key, a one-time password. One question at a time, and
only where somebody sits at a terminal."""

from __future__ import annotations

import getpass
import os
import threading

_TURN = threading.Lock()
_ASKING = threading.Event()


def possible() -> bool:
    """Whether this process has a terminal to ask at."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    os.close(terminal)
    return True


def asking() -> bool:
    """Whether somebody is being asked right now."""
    return _ASKING.is_set()


def ask(question: str, *, secret: bool = True) -> str | None:
    """The answer; None where there is nobody to ask, or who gave none (Ctrl-D)."""
    if not possible():
        return None
    with _TURN:
        _ASKING.set()
        try:
            return getpass.getpass(f"{question} ") if secret else _shown(f"{question} ")
        except (EOFError, OSError):
            return None
        finally:
            _ASKING.clear()


def _shown(question: str) -> str:
    with open("/dev/tty", "r+", encoding="utf-8", buffering=1) as terminal:  # noqa: PTH123  a device, not a file
        terminal.write(question)
        return terminal.readline().rstrip("\n")
