"""The accelerator of a job: one lock each, which the kernel frees when its holder is gone."""

from __future__ import annotations

import contextlib
import getpass
import os
from typing import Optional, Tuple

from device_agents import gpus, locks, state
from device_agents.contract import JobSpec
from device_agents.errors import DeviceError
from device_agents.gpus import Choice
from device_agents.system import System


def hold(system: System, spec: JobSpec) -> "Tuple[int, Optional[Choice]]":
    """The descriptor of its lock, held from here on, and which GPU it is, where nvidia-smi names them: the best that
    nobody holds. Where all are held, the best of them is waited for. Errors: DeviceError, with who holds it."""
    kind = state.detect_kind(system)
    choices = gpus.choices(system, spec.gpu) if kind == "nvidia_gpu" or spec.gpu else []
    if len(choices) > 1:
        for choice in choices:
            lock = _taken(choice.gpu.uuid, 0, spec.job)
            if lock is not None:
                return lock, choice
    first = choices[0] if choices else None
    key = key_of(system, first)
    lock = _taken(key, spec.lock_timeout_s, spec.job)
    if lock is None:
        raise _held(key)
    return lock, first


def key_of(system: System, choice: "Optional[Choice]") -> str:
    """What the lock of a job's accelerator is named after."""
    if choice is not None:
        return choice.gpu.uuid
    return "cpu" if state.detect_kind(system) == "cpu" else "gpu0"


def _taken(key: str, timeout_s: float, job: str) -> Optional[int]:
    """None where somebody else has it for all of `timeout_s`."""
    lock = locks.open_lock(locks.accelerator_path(key))
    try:
        locks.acquire(lock, timeout_s)
    except BaseException as error:
        os.close(lock)
        if isinstance(error, locks.Busy):
            return None
        raise
    with contextlib.suppress(OSError):  # another user's file in a sticky folder: the lock counts, not the name
        locks.sign(lock, {"user": _user(), "job": job, "pid": os.getpid(), "since": locks.now()})
    return lock


def _held(key: str) -> DeviceError:
    lock = locks.open_lock(locks.accelerator_path(key))
    held = locks.holder(lock)
    os.close(lock)
    message = f"the {key} is held by {held.get('user', 'somebody')} (job {held.get('job', '?')})"
    message += f" since {held.get('since', 'an unknown time')}"
    return DeviceError("busy", "lock", message, fix="wait, or cancel that job")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in containers
        return str(os.getuid())
