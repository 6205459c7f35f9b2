"""~/.ssh/config: its text with what it includes, such that paramiko takes each line as ssh does.

paramiko knows no Include, takes a criterion of Match that it does not know as met, runs `Match exec` without a time
limit, keeps comments behind values, lets ProxyJump win over a ProxyCommand that stands before it, and fills in few
placeholders. So lines are made plain here, and those of _OURS are given to it under names of which it knows nothing.
"""

from __future__ import annotations

import getpass
import glob
import os
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from profiles.errors import ConfigError

EXEC_S = 10.0
"""How long a command of `Match exec` may take."""

_SETTING = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.*\S)")
_COMMANDS = ("proxycommand", "remotecommand", "localcommand", "knownhostscommand")  # to the end of the line
_OURS = ("proxyjump", "proxycommand", "identityfile", "certificatefile", "userknownhostsfile")
_NAMED = "edgebenchline"
_MAX_INCLUDES = 16
_BARE = ("all", "canonical", "final")
_WITH_VALUE = ("host", "originalhost", "user", "localuser")
_NEVER = ("host", "!*")
_MARK = "edgebenchmatched"
_FIX = "say user, port and key in fleet.toml, and take that line out"


def options(host: str, config: Path, user: str | None = None) -> Mapping[str, Any]:
    """What the config file says of a host, keys in lower case, %h, %u and the like filled in. `user` is who logs in
    whatever the file says, as `ssh USER@HOST` has it: `Match user` is about it. `identityfile`, `certificatefile` and
    `userknownhostsfile` are lists; of `proxyjump` and `proxycommand` the one that stands first counts, but for a jump
    over "none".

    Errors: ConfigError for a file that cannot be read or applied.
    """
    if not config.is_file():
        return {}
    lines = [f"User {user}"] if user else []
    _apply(config, host, lines)
    found = _lookup(lines, host, config)
    ours = sorted((int(name.removeprefix(_NAMED)), text) for name, text in found.items() if name.startswith(_NAMED))
    told: dict[str, Any] = {name: value for name, value in found.items() if not name.startswith(_NAMED)}
    for _, text in ours:
        name, _, value = text.partition(" ")
        if name in ("identityfile", "certificatefile"):
            told.setdefault(name, []).extend(_files(value, host, found, config)[:1])
        elif name == "userknownhostsfile":
            told.setdefault(name, _files(value, host, found, config))
        elif name == "proxycommand" and told.get("proxyjump", "none").lower() == "none":
            told.setdefault(name, _filled_in(value, host, found))
        elif not {"proxyjump", "proxycommand"} & told.keys():
            told[name] = _filled_in(" ".join(_words(value, config)), host, found)
    return told


def with_includes(config: Path) -> list[str]:
    """The lines of a config file and of what it includes, whatever the blocks are about that these stand in, without
    comments. Errors: ConfigError."""
    return [line for _, line in _read(config)]


def _apply(config: Path, host: str, lines: list[str], depth: int = 0) -> None:
    """Adds the lines as paramiko is to read them of that host. What a block includes that is not about the host is
    left out, as no line there applies; the others stand alone, and what follows is under no condition but that one."""
    for path, line in _read(config, depth, of_includes=False):
        name, value = _setting(line)
        if name == "match":
            lines.append(_decided(value, lines, host, path))
        elif name == "include":
            for included in _included(value, path) if _MARK in _lookup([*lines, f"{_MARK} yes"], host, path) else ():
                _apply(included, host, lines, depth + 1)
                lines.append("Host *")
        else:
            lines.append(f"{_NAMED}{len(lines)} {name} {value}" if name in _OURS else line)


def _read(config: Path, depth: int = 0, *, of_includes: bool = True) -> Iterator[tuple[Path, str]]:
    """Each line with the file that it is of."""
    if depth > _MAX_INCLUDES:
        raise ConfigError("includes itself without end", where=str(config))
    for text in _text(config).splitlines():
        line = _uncommented(text)
        name, value = _setting(line)
        if name == "include" and of_includes:
            for path in _included(value, config):
                yield from _read(path, depth + 1)
        else:
            yield config, line


def _setting(line: str) -> tuple[str, str]:
    found = _SETTING.match(line)
    return (found.group(1).lower(), found.group(2)) if found else ("", "")


def _uncommented(line: str) -> str:
    if _setting(line)[0] in _COMMANDS:
        return line
    quote = ""
    for at, letter in enumerate(line):
        if letter == quote:
            quote = ""
        elif not quote and letter in "\"'":
            quote = letter
        elif not quote and letter == "#" and (at == 0 or line[at - 1].isspace()):
            return line[:at]
    return line


def _words(value: str, config: Path) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ConfigError(f"{value} cannot be understood ({error})", where=str(config)) from None


def _files(value: str, host: str, known: Mapping[str, Any], config: Path) -> list[str]:
    """As ssh_config(5) has it: with %h and the like, ${VARIABLE} and ~."""

    def variable(found: re.Match[str]) -> str:
        if found.group(1) not in os.environ:
            raise ConfigError(f"{value}: the variable {found.group(1)} is not set", where=str(config))
        return os.environ[found.group(1)]

    words = (_filled_in(word, host, known) for word in _words(value, config))
    return [str(Path(re.sub(r"\$\{(\w+)\}", variable, word)).expanduser()) for word in words]


def _lookup(lines: Sequence[str], host: str, config: Path) -> Mapping[str, Any]:
    import paramiko

    if not any(_setting(line)[0] == "canonicaldomains" for line in lines):  # paramiko wants them, and ssh does not
        lines = [line for line in lines if _setting(line)[0] != "canonicalizehostname"]
    try:
        return paramiko.SSHConfig.from_text("\n".join(lines)).lookup(host)
    except paramiko.ConfigParseError as error:
        raise ConfigError(f"cannot be understood ({error})", where=str(config)) from None
    except (paramiko.SSHException, ValueError) as error:
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
    if len(kept) > 1 and kept[-1] == "all":  # `final all`, of which paramiko takes the one word
        kept.pop()
    return f"Match {' '.join(kept) or 'all'}"


def _criteria(text: str, config: Path) -> list[tuple[bool, str, str]]:
    """Each as: whether it is negated, its keyword, its value."""
    words = _words(text, config)
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


def _included(patterns: str, config: Path) -> Sequence[Path]:
    """Relative names are of ~/.ssh, wildcards allowed, as ssh_config(5) says."""
    folder = Path.home() / ".ssh"
    found: list[Path] = []
    for pattern in _words(patterns, config):
        named = str(folder / Path(pattern).expanduser())
        found += map(Path, sorted(glob.glob(named)))  # noqa: PTH207 - Path.glob finds hidden files, which ssh does not
    return [path for path in found if path.is_file()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", where=str(path)) from None
