"""A wall clock that jumps at every look, here and on the device: nothing waits longer or ends earlier, nothing that was
just made is taken for old."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults.devices import SHORT, deploy, entry, fleet, jobs
from tests.operator import Operator
from tests.ssh.sshd import Sshd
from tests.stand_ins.carried import carry

JUMPING = """
import itertools, time
real, jumps = time.time, itertools.cycle((0, 36_000, -36_000, 86_400 * 400))
time.time = lambda: real() + next(jumps)
"""


def test_a_clock_that_jumps_at_every_look(
    operator: Operator, server: Sshd, tiny_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry(tmp_path, monkeypatch, {"onnxruntime": "idle_backend.py"})
    operator.prelude = JUMPING + SHORT
    clock = server.folder / "clock"
    clock.mkdir()
    (clock / "sitecustomize.py").write_text(JUMPING)
    server.tool("jumping-python", f'PYTHONPATH={clock} exec {sys.executable} "$@"')
    fleet(operator, entry(server, python=server.folder / "tools" / "jumping-python"))
    for measured in (1, 2):
        answer = deploy(operator, tiny_onnx)
        assert answer.code in (0, 4), answer.err + answer.out
        assert len(operator.measurements()) == measured
        assert len(jobs(server)) == measured, "400 days later the last job is still one of this boot"
