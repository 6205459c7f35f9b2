"""A stand-in for sudo: `-n -l` and `-n COMMAND`, by the lines of a sudoers file beside it (`sudoers`), which it reads
as sudoers(5) says: commands with all of their arguments, `""` for none, marks escaped. Whoever is not allowed is
refused as `sudo -n` refuses, exit code 1. Each command that is run, or refused, gets a line in `sudo.log`.

The words are those of sudo 1.9; no machine with a sudo was at hand.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(argv: list[str]) -> int:
    assert argv[0] == "-n", "whoever cannot answer a prompt must not cause one"
    entries = [entry for line in _sudoers() for entry in re.split(r"(?<!\\),\s*", line.partition("NOPASSWD:")[2])]
    if argv[1:] == ["-l"]:
        if not entries:
            return _refuse()
        print(f"User nvidia may run the following commands on board:\n    (root) NOPASSWD: {', '.join(entries)}")
        return 0
    allowed = argv[1:] in [_words(entry) for entry in entries]
    with (HERE / "sudo.log").open("a") as log:
        log.write(f"{'' if allowed else 'REFUSED '}{' '.join(argv[1:])}\n")
    if not allowed:
        return _refuse()
    os.execv(argv[1], argv[1:])
    return 0


def _sudoers() -> list[str]:
    path = HERE / "sudoers"
    return [line for line in path.read_text().splitlines() if line] if path.exists() else []


def _words(entry: str) -> list[str]:
    words = [re.sub(r"\\(.)", r"\1", word) for word in entry.split()]
    return words[:1] if words[1:] == ['""'] else words


def _refuse() -> int:
    print("sudo: a password is required", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
