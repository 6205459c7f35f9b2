"""A person at a terminal: a real pty, on which a child process asks and is answered."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shown:
    """All that the terminal showed, and how the child ended."""

    text: str
    code: int


CTRL_C = b"\x03"
Answer = Callable[[str], bytes | None]
"""What to type at what was shown since the last answer; None while nothing is asked."""


def typed(
    argv: Sequence[str], env: Mapping[str, str], answer: Answer, *, cwd: Path | None = None, patience: float = 30.0
) -> Shown:
    """Run a child on a terminal until it ends, or `patience` seconds, after which it is killed. Ctrl-C is pressed again
    where nothing comes of it: Python overlooks one between the prompt that it writes and the line that it reads."""
    pid, terminal = pty.fork()
    if pid == 0:
        if cwd is not None:
            os.chdir(cwd)
        os.execve(argv[0], list(argv), dict(env))
    shown, asked, end, last = "", 0, time.monotonic() + patience, b""
    try:
        while time.monotonic() < end:
            if not select.select([terminal], [], [], 2.0 if last == CTRL_C else 0.2)[0]:
                if last == CTRL_C:
                    os.write(terminal, CTRL_C)
                continue
            try:
                data = os.read(terminal, 4096)
            except OSError:  # it has ended
                break
            shown += data.decode(errors="replace")
            words = answer(shown[asked:])
            if words is not None:
                asked, last = len(shown), words
                os.write(terminal, words)
    finally:
        os.close(terminal)
        status = os.waitpid(pid, 0)[1]
    return Shown(shown, os.waitstatus_to_exitcode(status))


def in_order(*pairs: tuple[str, str]) -> Answer:
    """Each question once, in this order, with a line for an answer; \\x03 and \\x04 are keys, not lines."""
    left = list(pairs)

    def answer(text: str) -> bytes | None:
        if not left or left[0][0] not in text:
            return None
        words = left.pop(0)[1]
        return (words if words in ("\x03", "\x04") else f"{words}\n").encode()

    return answer
