"""What a line of ssh arguments says: options as ssh_config(5) names them, and the gateway of a ProxyCommand."""

from __future__ import annotations

import getopt
import shlex
from collections.abc import Mapping

from edge.inventory.hops import parse_hop

_SHORT = "46AaCfGgKkMNnqsTtVvXxYyB:b:c:D:E:e:F:I:i:J:L:l:m:O:o:P:p:Q:R:S:W:w:"  # ssh(1), OpenSSH 9
_MEANING = {"-J": "proxyjump", "-i": "identityfile", "-p": "port", "-l": "user", "-F": "configfile", "-W": "forward"}
_QUIET = frozenset(f"-{letter}" for letter in "qvTtnNxXaAC46")


def read_arguments(text: str) -> tuple[dict[str, str], list[str]]:
    """Options by their names in lower case, the first of each as ssh has it; and what is no option.

    Errors: ValueError for what ssh would not understand.
    """
    try:
        pairs, rest = getopt.gnu_getopt(shlex.split(text), _SHORT)
    except getopt.GetoptError as error:
        raise ValueError(error.msg) from None
    options: dict[str, str] = {}
    for flag, value in pairs:
        if flag == "-o":
            name, _, value = value.replace("=", " ", 1).strip().partition(" ")  # noqa: PLW2901
            options.setdefault(name.lower(), value.strip().strip('"'))
        elif flag not in _QUIET:
            options.setdefault(_MEANING.get(flag, flag), value)
    return options, rest


def gateway(options: Mapping[str, str]) -> str | None:
    """`gateway =` of fleet.toml for ProxyJump, or for a ProxyCommand that is an ssh to the gateway; None for neither.

    Errors: ValueError for what fleet.toml cannot say.
    """
    if "proxyjump" in options:
        return _checked(options["proxyjump"])
    command = options.get("proxycommand")
    return None if command is None else _checked(_jump(command))


def _jump(command: str) -> str:
    """[user@]host[:port] of `ssh -W %h:%p HOST`, or of `ssh HOST nc %h %p`."""
    if command.lower() == "none":
        return command
    program, _, text = command.partition(" ")
    inner, rest = read_arguments(text)
    carried = inner.pop("forward", None) == "%h:%p" or rest[2:] == ["%h", "%p"]
    port, user = inner.pop("port", ""), inner.pop("user", "")
    spare = set(inner) - {"loglevel", "stricthostkeychecking", "batchmode", "connecttimeout"}
    if program.rpartition("/")[2] != "ssh" or not carried or not rest or spare:
        raise ValueError("it is more than a way through one host")
    host = rest[0] if "@" in rest[0] or not user else f"{user}@{rest[0]}"
    return f"{host}:{port}" if port else host


def _checked(gateways: str) -> str:
    if gateways.lower() != "none":
        for hop in gateways.split(","):
            parse_hop(hop)
    return gateways
