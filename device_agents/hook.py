"""The operator's own commands of fleet.toml: `release_hook` tells a service of a new release, `quiesce` and `resume`
stop and start a product around a measurement."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Mapping, Sequence

from device_agents import endings

_TAIL = 4096  # bytes of stderr in which its last line is looked for


def run(argv: Sequence[str], told: Mapping[str, str], timeout_s: float, log: Path) -> str:
    """Run it with the variables `told`. Why it failed, in a few words; "" where it did not.

    Its stderr goes to `log`: a file, as a pipe would end with us, and a service that it started may live on.
    """
    try:
        with log.open("wb") as errors:
            child = subprocess.Popen(
                list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, cwd="/",
                env={**os.environ, **told}, start_new_session=True, preexec_fn=_heed_signals,  # noqa: PLW1509
            )  # fmt: skip
    except OSError as error:
        return f"{argv[0]} cannot be run: {error.strerror or error}"
    try:
        code = child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)  # not reaped yet, so the number is still its own
        child.wait()
        return f"it did not end within {timeout_s:g} s{_last_line(log)}"
    if code == 0:
        return ""
    how = f"exit status {code}" if code > 0 else f"ended by signal {endings.signal_name(-code)}"
    return f"{how}{_last_line(log)}"


def _heed_signals() -> None:
    """What a job ignores, and one that is cancelled, would be ignored by a service that is started here."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def _last_line(log: Path) -> str:
    """`: text` of the last line that says something, or "" where there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _TAIL))
            lines = stream.read(_TAIL).decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    said = [line.strip() for line in lines if line.strip()]
    return f": {said[-1][-300:]}" if said else ""
