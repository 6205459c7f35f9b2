"""Whether logind kills what a user left running when his connection ends (logind.conf(5), KillUserProcesses), as a job
is left running. Lingering keeps a user's services; it does not keep the processes of a session (systemd,
session_stop_scope), which a job that was started over SSH is one of.
"""

from __future__ import annotations

import getpass
import re
from typing import Dict, Iterable, List, Tuple

from device_agents.contract import Reading
from device_agents.system import System

_PLACES = ("/usr/lib/systemd", "/usr/local/lib/systemd", "/run/systemd", "/etc/systemd")  # later ones win
_LINE = re.compile(r"^[ \t]*(#?)[ \t]*(Kill\w+)[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_YES = ("yes", "true", "on", "1", "y", "t")


def kills_jobs(system: System) -> Reading:
    """True where it kills the jobs of this process's user."""
    files = _files(system)
    if not files:
        return Reading(unknown="logind: it has no configuration here")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, as in containers
        user = ""
    return Reading(kills([text for _, text in files], user), ", ".join(path for path, _ in files))


def kills(texts: Iterable[str], user: str) -> bool:
    """By configuration files, the one that counts least first. A line that is commented out shows the default that was
    compiled in."""
    kill = False
    users: Dict[str, List[str]] = {"KillOnlyUsers": [], "KillExcludeUsers": ["root"]}
    for number, text in enumerate(texts):
        for comment, key, value in _LINE.findall(text):
            if key == "KillUserProcesses" and not (comment and number):
                kill = value.lower() in _YES
            elif key in users and not comment:
                users[key] = users[key] + value.split() if value else []  # an empty value forgets those before
    only = users["KillOnlyUsers"]
    return kill and user not in users["KillExcludeUsers"] and (not only or user in only)


def _files(system: System) -> List[Tuple[str, str]]:
    """Path and text of each file that counts: the main one, then pieces by their names."""
    main: List[Tuple[str, str]] = []
    pieces: Dict[str, Tuple[str, str]] = {}
    for place in _PLACES:
        for path in (f"{place}/logind.conf", *_names(system, f"{place}/logind.conf.d")):
            found = system.text(path, str)
            if found.unknown is not None:
                continue
            if path == f"{place}/logind.conf":
                main = [(path, str(found.value))]
            else:
                pieces[path.rpartition("/")[2]] = (path, str(found.value))
    return main + [pieces[name] for name in sorted(pieces)]


def _names(system: System, folder: str) -> List[str]:
    return [f"{folder}/{path.name}" for path in system.path(folder).glob("*.conf")]
