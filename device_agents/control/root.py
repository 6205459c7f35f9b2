"""What only root may do: by sudo without a prompt, never by a password. Who may not is told the line that helps.

A recorded system (device_agents/system.py) has its own sudo, and whoever owns its root folder stands for root there.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterable, List, Sequence, Tuple

from device_agents.errors import DeviceError
from device_agents.system import System

STAGE = "control"
FOLDER = "/var/lib/edgebench"
"""Where root keeps what root reads back: `jetson_clocks --restore` writes whatever that file says to any path in it."""

_SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"
_TIMEOUT_S, _KILLED_S = 60.0, 1.0
_OTHERS_MAY_WRITE = 0o022
_ENTRY = re.compile(r"^\s*\((?P<as>[^)]*)\)\s*(?P<commands>.*)$")
_FOLDED = re.compile(r"\n\s+(?=[^\s(])")
_TAGS = re.compile(r"((?:[A-Z_]+:\s*)*)(.*)")

Command = List[str]


class Root:
    """Runs the commands of knobs as root, where this user may."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._is_root = os.geteuid() == 0 and not system.recorded

    def missing(self, commands: Iterable[Command]) -> List[Command]:
        """Those that this user may not run as root without a password, as `sudo -l` tells: a password that was given a
        minute ago would be asked for again by the time that things are put back."""
        wanted = list(commands)
        if self._is_root or not wanted:
            return []
        listing = self._system.run(["sudo", "-n", "-l"]) or ""
        return [command for command in wanted if not _allows(listing, _absolute(command))]

    def run(self, command: Command, *, stdin: bytes = b"", or_says: str = "") -> None:
        """Errors: DeviceError, also where it fails, unless what it says of that has the words `or_says`."""
        code, said = self.attempt(command, stdin=stdin)
        if code and not (or_says and or_says in said):
            raise _failed(_absolute(command), (said.strip().splitlines() or [f"exit code {code}"])[-1][:300])

    def attempt(self, command: Command, *, stdin: bytes = b"") -> Tuple[int, str]:
        """Its exit code, and what it printed. It has no terminal and no input but `stdin`: what asks gets no answer. It
        is in a session of its own, so that who cancels the job does not stop it half-way, and is waited for then.
        Errors: DeviceError where it could not be run, or did not end in time."""
        argv, pipe = _absolute(command), subprocess.PIPE
        try:
            child = subprocess.Popen(
                argv if self._is_root else ["sudo", "-n", *argv],
                stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise _failed(argv, f"{where}{error.strerror}") from None
        try:
            said = _ended(child, stdin).decode("utf-8", "replace")
        except subprocess.TimeoutExpired:
            _give_up(child)
            raise _failed(argv, f"it did not end within {_TIMEOUT_S:g} s") from None
        if child.returncode and not self._is_root and said.startswith("sudo:"):
            raise refused([command])
        return child.returncode, said


def _ended(child: "subprocess.Popen[bytes]", stdin: bytes) -> bytes:
    """What it printed until it ended. Errors: TimeoutExpired."""
    try:
        return child.communicate(stdin, _TIMEOUT_S)[0]
    except subprocess.TimeoutExpired:
        raise
    except BaseException:  # the job is cancelled: what follows must not meet it half-way
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.communicate(timeout=_TIMEOUT_S)
        raise


def _give_up(child: "subprocess.Popen[bytes]") -> None:
    """Kill it where we may: sudo is root's, and lives on. Nobody waits for what does not end by that."""
    with contextlib.suppress(PermissionError, subprocess.TimeoutExpired):
        child.kill()
        child.wait(_KILLED_S)
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            pipe.close()


def refused(commands: Sequence[Command], before: str = "") -> DeviceError:
    """sudo wants a password: with the line that makes it do without, and what else is to be done `before`."""
    first = " ".join(_absolute(commands[0]))
    more = f" and {len(commands) - 1} more" if len(commands) > 1 else ""
    steps = [before] if before else []
    steps.append(f"sudo visudo -f /etc/sudoers.d/edgebench, and add: {line(commands)}")
    return DeviceError(
        "sudo_refused", STAGE, f"sudo does not run {first}{more} without a password", fix="; then ".join(steps)
    )


def line(commands: Sequence[Command]) -> str:
    """Of sudoers(5), which lets this user run exactly these as root: full argv, no wildcards, the paths of this device.
    Its own marks are escaped, and `""` says that a command has no arguments."""
    each = [_as_rule(_absolute(command)) for command in commands]
    return f"{_user()} ALL=(root) NOPASSWD: {', '.join(dict.fromkeys(each))}"


def check_folder(system: System) -> str:
    """Why root's folder cannot be trusted: it and all above it must be root's, and writable by nobody else. "" where
    it can."""
    folder = system.path(FOLDER)
    root = system.root.stat().st_uid if system.recorded else 0
    real = Path(os.path.realpath(str(folder)))
    top = Path(os.path.realpath(str(system.root)))
    chain = {folder, real, *folder.parents, *real.parents} - {*top.parents, *system.root.parents}
    for each in sorted(chain):
        try:
            found = each.stat()
        except OSError:
            return f"there is no {each}"
        if found.st_uid != root:
            return f"{each} belongs to user {found.st_uid}, not to root"
        if found.st_mode & _OTHERS_MAY_WRITE:
            return f"others than root may write into {each}"
    return ""


def require_folder(system: System) -> None:
    """Errors: DeviceError where somebody else could change what root reads back."""
    why = check_folder(system)
    if why:
        message = f"what root reads back would not be safe: {why}"
        raise DeviceError("unsafe_folder", STAGE, message, fix=make_folder(system))


def make_folder(system: System) -> str:
    return f"sudo install -d -o root -m 0755 {system.path(FOLDER)}"


def program(name: str) -> str:
    """Where a program of root lies, "" where it is not there: the PATH of an SSH command may lack /usr/sbin."""
    return shutil.which(name) or shutil.which(name, path=_SBIN) or ""


def _absolute(command: Command) -> Command:
    return [program(command[0]) or command[0], *command[1:]]


def _as_rule(argv: Command) -> str:
    words = [re.sub(r"([,:=\\])", r"\\\1", word) for word in argv]
    return " ".join(words) if len(words) > 1 else f'{words[0]} ""'


def _allows(listing: str, argv: Command) -> bool:
    """Whether the output of `sudo -l` lets this be run as root without a password. The last entry that matches counts,
    as in sudoers(5)."""
    wanted = {"ALL", argv[0], _plain(_as_rule(argv))}
    allowed = False
    for text in _FOLDED.sub(" ", listing).splitlines():
        entry = _ENTRY.match(text)
        if entry is None or not re.search(r"\b(root|ALL)\b", entry.group("as")):
            continue
        free = False  # a tag holds for what follows it
        for command in re.split(r",\s+", entry.group("commands")):
            tags, plain = _TAGS.match(command).groups()  # type: ignore[union-attr] # it matches anything
            if "PASSWD:" in tags:
                free = "NOPASSWD:" in tags
            if _plain(plain) in wanted:
                allowed = free
    return allowed


def _plain(text: str) -> str:
    return text.replace("\\", "").strip()


def _failed(argv: Command, why: str) -> DeviceError:
    return DeviceError("control_failed", STAGE, f"{' '.join(argv)} failed: {why}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in containers
        return f"#{os.getuid()}"
