"""The process that puts back what a job has turned when the job's supervisor is gone, however it went.

It waits for a signal of the kernel's and costs nothing meanwhile. It is in a session of its own, so a lost link, Ctrl-C
and a job that is cancelled do not end it. Where logind kills what a user left running (device_agents/logind.py), it
asks first, and does not kill before the 90 s of DefaultTimeoutStopSec are over: what asks is not heeded here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
from typing import Callable, Iterable

from device_agents.parent import signal_at_death

_TOLD = signal.SIGUSR1
_UNHEEDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def start(put_back: Callable[[], None], close: Iterable[int]) -> int:
    """Fork it; its pid. It keeps our locks, which are free when it is done, but for the descriptors to `close`."""
    ours, mask = os.getpid(), signal.pthread_sigmask(signal.SIG_BLOCK, {_TOLD})
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return pid
    try:
        os.setsid()
        for number in (*_UNHEEDED, _TOLD):
            signal.signal(number, _nothing)  # unlike SIG_IGN, no program that it starts inherits this
        for descriptor in close:
            os.close(descriptor)
        signal_at_death(_TOLD)
        while os.getppid() == ours:
            signal.sigwait({_TOLD})
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        put_back()
    except BaseException:  # noqa: BLE001 - there is nobody above; the record says that it is not done
        traceback.print_exc()
    finally:
        os._exit(0)


def end(pid: int) -> None:
    """Its supervisor lives and has put everything back."""
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _nothing(*_: object) -> None:
    pass
