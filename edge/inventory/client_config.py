"""~/.ssh/config: its text with what it includes, and its Match lines made such that paramiko takes each as ssh does.

paramiko knows no Include, takes a criterion that it does not know as met, and runs `Match exec` without a time limit.
"""

from __future__ import annotations

import getpass
import re
import shlex
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from profiles.errors import ConfigError

EXEC_S = 10.0
"""How long a command of `Match exec` may take."""

_INCLUDE = re.compile(r"\s*include(?:\s+|\s*=\s*)(.+)", re.IGNORECASE)
_BLOCK = re.compile(r"\s*(?:host|match)(?:\s|=)", re.IGNORECASE)
_MATCH = re.compile(r"\s*match(?:\s+|\s*=\s*)(.+)", re.IGNORECASE)
_MAX_INCLUDES = 16
_BARE = ("all", "canonical", "final")
_WITH_VALUE = ("host", "originalhost", "user", "localuser")
_NEVER = ("host", "!*")
_MARK = "edgebenchmatched"
_FIX = "say user, port and key in fleet.toml, and take that line out"


def options(host: str, config: Path, user: str | None = None) -> Mapping[str, Any]:
    """What the config file says of a host, keys in lower case, %h, %u and the like filled in. `user` is who logs in
    whatever the file says, as `ssh USER@HOST` has it: `Match user` is about it.

    Errors: ConfigError for a file that cannot be read or applied.
    """
    if not config.is_file():
        return {}
    asked = [f"User {user}"] if user else []
    lines = [*asked, *with_includes(config)]
    for number, line in enumerate(lines):
        match = _MATCH.match(line)
        if match:
            lines[number] = _decided(match.group(1), lines[:number], host, config)
    return _lookup(lines, host, config)


def _lookup(lines: Sequence[str], host: str, config: Path) -> Mapping[str, Any]:
    import paramiko

    try:
        return paramiko.SSHConfig.from_text("\n".join(lines)).lookup(host)
    except paramiko.ConfigParseError as error:
        raise ConfigError(f"cannot be understood ({error})", where=str(config)) from None
    except paramiko.SSHException as error:
        fix = "say user, port and key in fleet.toml"
        raise ConfigError(f"cannot be applied to {host} ({error})", where=str(config), fix=fix) from None


def _decided(criteria: str, before: Sequence[str], host: str, config: Path) -> str:
    """A Match line without its commands: those that succeed are left out, one that fails lets the line never match."""
    kept: list[str] = []
    for negated, kind, value in _criteria(criteria, config):
        if kind != "exec":
            kept += [f"{'!' if negated else ''}{kind}", *([shlex.quote(value)] if value else [])]
            continue
        mark = [*before, f"Match {' '.join(kept) or 'all'}", f"{_MARK} yes"]
        found = _lookup(mark, host, config)
        if _MARK not in found:
            return f"Match {' '.join(kept)}"  # as with ssh, what stands after a criterion that fails is not run
        if _succeeds(_filled_in(value, host, found), config) == negated:
            kept += _NEVER
    return f"Match {' '.join(kept) or 'all'}"


def _criteria(text: str, config: Path) -> list[tuple[bool, str, str]]:
    """Each as: whether it is negated, its keyword, its value."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"Match {text} cannot be understood ({error})", where=str(config)) from None
    found = []
    while words:
        word, equals, value = words.pop(0).partition("=")
        kind = word.lstrip("!").lower()
        if kind not in (*_BARE, *_WITH_VALUE, "exec"):
            message = f"Match {kind} is not supported, only {', '.join((*_BARE, *_WITH_VALUE, 'exec'))}"
            raise ConfigError(message, where=str(config), fix=_FIX)
        if kind not in _BARE and not equals:
            if not words:
                raise ConfigError(f"Match {text} cannot be understood ({kind} of what?)", where=str(config))
            value = words.pop(0)
        found.append((word.startswith("!"), kind, value))
    return found


def _filled_in(command: str, host: str, known: Mapping[str, Any]) -> str:
    """As ssh_config(5) has it, TOKENS."""
    user = getpass.getuser()
    tokens = {
        "%%": "%", "%d": str(Path.home()), "%h": str(known.get("hostname", host)), "%L": socket.gethostname(),
        "%l": socket.gethostname(), "%n": host, "%p": str(known.get("port", 22)), "%r": str(known.get("user", user)),
        "%u": user,
    }  # fmt: skip
    return re.sub("%.", lambda token: tokens.get(token.group(), token.group()), command)


def _succeeds(command: str, config: Path) -> bool:
    """As with ssh, it is the operator's own text and a shell runs it."""
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=EXEC_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"Match exec {command!r} did not end within {EXEC_S:g} s", where=str(config), fix=_FIX
        ) from None
    return done.returncode == 0


def with_includes(config: Path, depth: int = 0) -> list[str]:
    """The lines of a config file and of what it includes, which paramiko does not read by itself.

    The block that an Include stands in is opened again after it, so that what follows keeps its condition.
    """
    if depth > _MAX_INCLUDES:
        raise ConfigError("includes itself without end", where=str(config))
    lines = []
    block = "Host *"
    for line in _text(config).splitlines():
        include = _INCLUDE.match(line)
        if include:
            for path in _included(include.group(1)):
                lines += [*with_includes(path, depth + 1), block]
        else:
            block = line if _BLOCK.match(line) else block
            lines.append(line)
    return lines


def _included(patterns: str) -> Sequence[Path]:
    """Relative names are of ~/.ssh, wildcards allowed, as ssh_config(5) says."""
    folder = Path.home() / ".ssh"
    found: list[Path] = []
    for pattern in shlex.split(patterns):
        path = folder / Path(pattern).expanduser()
        found += sorted(path.parent.glob(path.name)) if set(path.name) & set("*?[") else [path]
    return [path for path in found if path.is_file()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=str(path)) from None
