"""Devices for deploys that are disturbed: OpenSSH servers on loopback, each with an accelerator lock of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

from tests.faults import leaks
from tests.operator import Answer, Operator
from tests.ssh.sshd import Sshd

_LASTING = """
from device_agents.contract import Timing
Timing.quick = staticmethod(lambda: Timing(1, 0.0, 5, 0.1, {least}, 20, {most}))
"""
SHORT = _LASTING.format(least=1.0, most=3.0)
"""A prelude that makes `--quick` a second of measuring: long enough to be caught."""

LONG = _LASTING.format(least=10.0, most=12.0)
"""Ten seconds: long enough to meet another operator's, who began at the same time on a busy machine."""

_NVIDIA_SMI = """\
[ "$1" = -L ] && echo "GPU 0: stand-in (UUID: {uuid})" && exit
case "$1" in --query-compute-apps=*) exit 0 ;; esac
for field in $(echo "${{1#--query-gpu=}}" | tr , ' '); do
    [ "$field" = uuid ] && value={uuid} || value='[N/A]'
    answer="$answer${{answer:+, }}$value"
done
echo "$answer\""""


def entry(server: Sshd, *, python: object = sys.executable, port: int | None = None) -> str:
    """Its table of fleet.toml. Its nvidia-smi is a stand-in that names a GPU of its own, so that devices that are one
    machine do not queue for one processor; what is measured runs on the processor all the same."""
    server.tool("nvidia-smi", _NVIDIA_SMI.format(uuid=f"GPU-{uuid.uuid4()}"))
    text = server.fleet_toml() + f'python = "{python}"\n'
    if port is None:
        return text
    known = server.at_port(port).known_hosts[0]
    return text.replace(f"port = {server.port}", f"port = {port}").replace(str(server.known_hosts), str(known))


def fleet(operator: Operator, *entries: str) -> None:
    (operator.home / "fleet.toml").write_text("".join(entries))


def arguments(model: Path, *more: object) -> tuple[object, ...]:
    options = ("--device", "all", "--backend", "onnxruntime", "--option", "provider=cpu", "--quick")
    return ("deploy", model, *options, *more)


def deploy(operator: Operator, model: Path, *more: object) -> Answer:
    return operator.run(*arguments(model, *more), "--json", timeout=240)


def jobs(server: Sshd) -> list[Path]:
    return list(server.home.glob(".cache/edgebench/*/jobs/*"))


def status(server: Sshd) -> dict[str, Any]:
    """Of its one job; nothing before there is one."""
    for path in server.home.glob(".cache/edgebench/*/jobs/*/status.json"):
        return dict(json.loads(path.read_bytes()))
    return {}


def find(server: Sshd, words: str) -> list[int]:
    return [pid for pid, line in leaks.running(server).items() if words in line]


def kill(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
