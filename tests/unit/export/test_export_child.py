"""The child process: its bounds, its end, and what is left of it.

A child that lasts is one that reads a named pipe into which nobody writes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from export.child import Run, group_rss, run_job
from profiles.errors import ExportError
from profiles.progress import silent

PARENT = """
import json, sys
from pathlib import Path
from export.child import Run, run_job
folder = Path(sys.argv[1])
say = lambda what, done, total: print(what, flush=True)
run_job(json.loads(sys.argv[2]), Run(folder, folder / "kept.log", say, 60.0, 8 << 30))
"""


@pytest.fixture
def waiting_job(tmp_path: Path) -> dict[str, Any]:
    pytest.importorskip("onnx", reason="the child that waits is the one that reads .onnx files")
    path = tmp_path / "never.onnx"
    os.mkfifo(path)
    digest = "sha256:" + "0" * 64
    request = {"model": digest, "framework": "onnx", "precision": "fp32", "batch": 1, "weights": digest}
    ref = {"name": "x", "kind": "onnx", "path": str(path)}
    return {"op": "draft", "ref": ref, "request": request, "out": str(tmp_path)}


def run_in(folder: Path, *, timeout_s: float = 60.0, memory_bytes: int = 8 << 30) -> Run:
    return Run(folder, folder / "kept.log", silent, timeout_s, memory_bytes)


def children(pid: int) -> list[int]:
    """The living children of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(folder.name))
    return found


@pytest.fixture
def standing() -> list[int]:
    """The children that are there before a test: those of fixtures that last."""
    return children(os.getpid())


def test_an_upstream_failure_is_a_sentence_that_names_the_kept_log(tmp_path: Path, standing: list[int]) -> None:
    request = {"model": "x", "framework": "none_such", "precision": "fp32", "batch": 1, "weights": "random"}
    job = {"op": "draft", "ref": {"name": "x"}, "request": request, "out": "."}
    with pytest.raises(ExportError, match="ModuleNotFoundError") as caught:
        run_job(job, run_in(tmp_path))
    assert str(tmp_path / "kept.log") in caught.value.fix
    assert "Traceback" in (tmp_path / "kept.log").read_text()
    assert children(os.getpid()) == standing


FORKS = """
import os, time
if os.fork() == 0:
    time.sleep(60)
os._exit(3)
"""


def test_a_child_that_dies_and_leaves_a_process_behind_is_noticed(
    tmp_path: Path, waiting_job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that is left holds the pipe on which the child would have answered."""
    monkeypatch.setattr("export.child._BOOTSTRAP", FORKS)
    with pytest.raises(ExportError, match="the exporter died with exit code 3"):
        run_job(waiting_job, run_in(tmp_path, timeout_s=30.0))


def test_a_child_that_takes_too_long_is_stopped(
    tmp_path: Path, waiting_job: dict[str, Any], standing: list[int]
) -> None:
    with pytest.raises(ExportError, match=r"longer than 0\.5 s"):
        run_job(waiting_job, run_in(tmp_path, timeout_s=0.5))
    assert children(os.getpid()) == standing


def test_a_child_that_takes_too_much_memory_is_stopped(
    tmp_path: Path, waiting_job: dict[str, Any], standing: list[int]
) -> None:
    with pytest.raises(ExportError, match="over its limit"):
        run_job(waiting_job, run_in(tmp_path, memory_bytes=1 << 20))
    assert children(os.getpid()) == standing


def test_the_memory_of_a_group_is_that_of_all_its_processes() -> None:
    hog = "b = bytearray(b'x') * (64 << 20); import time; print(flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hog!r}])"
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        used = group_rss(parent.pid)
        os.killpg(parent.pid, signal.SIGKILL)
    assert used > 64 << 20


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_when_the_parent_goes_the_child_goes(tmp_path: Path, waiting_job: dict[str, Any], sent: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path), json.dumps(waiting_job)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=root) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"check never.onnx\n"
        (child,) = children(parent.pid)
        parent.send_signal(sent)
        parent.wait(10)
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
