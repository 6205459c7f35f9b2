"""The hosts that README and docs speak of, and a shell in which `edgebench` is typed. They are OpenSSH servers on
loopback, to which ~/.ssh/config of the operator's home leads, with stand-ins of what such hosts have (tests/boards.py,
tests/stand_ins)."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.boards import Board, install_smi
from tests.operator import SOUND, Operator
from tests.ssh.sshd import Sshd

Start = Callable[..., Sshd]

HURRY = """
from device_agents.contract import Timing
Timing.quick = staticmethod(lambda: Timing(1, 0.0, 5, 0.1, 0.05, 20, 9.0))
Timing.chosen = staticmethod(lambda quick: Timing.quick())
"""
"""A prelude with which everything is measured for milliseconds: what commands do is looked at, and no figure."""

ADDRESSES = {
    "orin-1": ("10.0.0.21", "jetson-agx-orin-64gb"), "orin-2": ("10.0.0.22", "jetson-orin-nx-16gb"),
    "orin-7": ("orin-7", "jetson-orin-nano-8gb"), "a100-1": ("a100-1.example", "a100-80gb"),
    "a100-2": ("gpu.example.org", "a100-80gb"), "board": ("board.example", "local"),
    "board-1": ("192.168.1.21", "local"), "board-2": ("192.168.1.22", "local"),
    "bastion": ("bastion.example", "local"), "bastion-a": ("bastion.site-a.example", "local"),
}  # fmt: skip
"""Where each is, and its profile."""

PATIENCE_S = 600.0
TENSORRT = "10.3.0"


@dataclass
class Lab:
    home: Path
    start: Start
    hosts: dict[str, Sshd] = field(default_factory=dict)

    def __post_init__(self) -> None:
        program = self.home / "bin" / "edgebench"
        program.parent.mkdir(parents=True)
        code = f"{SOUND}\n{HURRY}\nfrom edge.cli import main; main()"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(code)} "$@"\n')
        program.chmod(0o755)
        (self.home / ".ssh").mkdir()

    def host(self, name: str, *, known: bool = False) -> Sshd:
        """Started when it is first asked for. The operator knows the key of one that he has logged in to by ssh."""
        if name in self.hosts:
            return self.hosts[name]
        address, profile = ADDRESSES[name]
        server = self.hosts[name] = self.start(name=name)
        python = Path(sys.executable)
        if profile.startswith("jetson"):
            board = Board(server.folder / "board")
            board.allow_all()
            python = board.device.python(sys.executable)
            (server.home / "tensorrt").write_text(TENSORRT)
        server.tool("python3", f'exec "{python}" "$@"')
        if profile.startswith("a100"):
            install_smi(server.folder / "tools")
            (server.folder / "tools/smi.json").write_text(json.dumps({"uuid": f"GPU-{uuid4()}", "compute_cap": "8.0"}))
            (server.home / "tensorrt").write_text(TENSORRT)
        with (self.home / ".ssh" / "config").open("a") as lines:
            lines.write(f"Host {address}\n  HostName 127.0.0.1\n  Port {server.port}\n  IdentityFile {server.key}\n")
        if known or name.startswith("bastion"):
            with (self.home / ".ssh" / "known_hosts").open("a") as lines:
                lines.write(server.known_hosts.read_text())
        return server

    def fleet(self, *names: str) -> None:
        """As after `init` and `devices trust`."""
        tables = [
            f'[devices.{name}]\nhost = "{ADDRESSES[name][0]}"\nuser = "{server.user}"\n'
            f'profile = "{ADDRESSES[name][1]}"\nknown_hosts = "{server.known_hosts}"\n'
            for name in names
            for server in [self.host(name)]
        ]
        (self.home / "fleet.toml").write_text("".join(tables))

    def run(self, line: str) -> tuple[int, str]:
        """Type a line; `y` answers what it asks. One that serves until Ctrl-C gets that once it does."""
        if "report --live" in line:
            return self._serve(line)
        done = subprocess.run(
            ["sh", "-c", line], input="y\n" * 9, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
            cwd=self.home, env=self._environment(),
        )  # fmt: skip
        return done.returncode, f"{done.stdout}\n{done.stderr}"

    def json(self, line: str) -> Any:
        code, said = self.run(f"{line} --json 2>/dev/null")
        assert code == 0, said
        return json.loads(said)

    def _serve(self, line: str) -> tuple[int, str]:
        with subprocess.Popen(
            ["sh", "-c", f"exec {line}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.home,
            env=self._environment(), start_new_session=True,
        ) as child:  # fmt: skip
            assert child.stdout is not None
            said = child.stdout.readline()
            os.killpg(child.pid, signal.SIGINT)
            said += child.stdout.read()
        return (0 if child.returncode == 130 and said.startswith("live at") else child.returncode), said

    def _environment(self) -> dict[str, str]:
        path = os.pathsep.join((str(self.home / "bin"), os.environ["PATH"]))
        return {**Operator(self.home).environment(), "PATH": path, "BROWSER": "true"}
