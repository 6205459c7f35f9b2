"""Progress as a person sees it, on a real pseudo-terminal."""

import os
import pty
import subprocess
import sys

PROGRAM = """
import time
from edge.cli.progress import drawn
with drawn() as progress:
    progress("check tiny.onnx"); time.sleep(0.3)
    progress("compare tiny with onnx"); time.sleep(0.3)
    progress("orin-1: measuring tiny"); time.sleep(0.5)
"""


def test_a_step_of_this_machine_is_gone_once_a_device_is_at_work() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=theirs, env=environment) as child:
        os.close(theirs)
        text = b""
        while block := _read(ours):
            text += block
    os.close(ours)
    assert child.returncode == 0
    seen = text.decode()
    assert "check tiny.onnx" in seen
    assert "compare tiny" in seen
    after = seen[seen.rindex("compare tiny") :]
    assert "check tiny.onnx" not in after
    assert after.count("measuring tiny") >= 2, "it is drawn again and again, without the step before"


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # the other end is closed
        return b""
