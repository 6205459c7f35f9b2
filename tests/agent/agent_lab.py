"""A device for one test: the real agent in processes of its own, a tiny model, and a lock that no one else takes.

The one thing that is no real part of this machine is `nvidia-smi`: a stand-in on PATH names a GPU that only this test
knows, so that its accelerator lock is its own and tests do not queue behind other work on this machine. The model runs
on the processor all the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import time
import uuid
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from device_agents.contract import FileEntry, JobResult, JobSpec, JobStatus, Precision, TensorSpec, Timing, to_json
from device_agents.contract import from_json as read
from device_agents.locks import accelerator_path

T = TypeVar("T")

SHORT = Timing(processes=1, warmup_s=0.05, warmup_iterations=5, warmup_cap_s=0.1, duration_s=0.1, iterations=20)
LONG = Timing(processes=1, warmup_s=60.0, warmup_cap_s=120.0)
"""Warms up for longer than any test takes, so that whatever is done to the job is done while it warms up."""

CLASSES = 5

_NVIDIA_SMI = """\
#!/bin/sh
# A stand-in for nvidia-smi: one GPU, of which nothing is known but its UUID, and that nothing computes there.
[ "$1" = -L ] && echo "GPU 0: stand-in (UUID: {uuid})" && exit
case "$1" in --query-compute-apps=*) exit 0 ;; esac
answer=
for field in $(echo "${{1#--query-gpu=}}" | tr , ' '); do
    [ "$field" = uuid ] && value={uuid} || value='[N/A]'
    answer="$answer${{answer:+, }}$value"
done
echo "$answer"
"""


def tiny_model() -> dict[str, bytes]:
    """model.onnx (Flatten, MatMul; free dimension `batch`) and golden.npz of 8 samples, as export makes them."""
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(7)
    weights = random.standard_normal((48, CLASSES)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["flat"]), helper.make_node("MatMul", ["flat", "weights"], ["scores"])],
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 4, 4])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    images = random.random((8, 3, 4, 4), dtype=np.float32)
    return {"model.onnx": model.SerializeToString(), "golden.npz": golden(images, images.reshape(8, -1) @ weights)}


def golden(images: np.ndarray, scores: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **{"input:image": images, "output:scores": scores})
    return stream.getvalue()


@dataclass(frozen=True)
class Answer:
    """What one call of the agent came to."""

    code: int
    json: dict[str, Any]
    stderr: str

    @property
    def status(self) -> JobStatus:
        assert self.code == 0, self
        return read(JobStatus, self.json)

    @property
    def error(self) -> dict[str, Any]:
        """The error object of an agent that refused."""
        assert self.code == 1, self
        return self.json["error"]


@dataclass
class Lab:
    """One working folder with one artifact, and the agent to call on it."""

    bundle: Path
    workdir: Path
    tools: Path
    python: str
    model: dict[str, bytes]
    artifact: str = "tiny-0001"
    gpu: str = field(default_factory=lambda: f"GPU-{uuid.uuid4()}")

    def __post_init__(self) -> None:
        self.tools.mkdir()
        stub = self.tools / "nvidia-smi"
        stub.write_text(_NVIDIA_SMI.format(uuid=self.gpu))
        stub.chmod(0o755)
        self.ship(self.artifact, self.model)

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the test's own environment but what a login gives."""
        return {"PATH": f"{self.tools}:{os.environ['PATH']}", "HOME": os.environ.get("HOME", "/")}

    def ship(self, artifact: str, files: dict[str, bytes]) -> None:
        folder = self.workdir / "artifacts" / artifact
        folder.mkdir(parents=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)

    def spec(self, job: str = "job-0001", **changes: Any) -> JobSpec:
        """A job on the shipped model: batch 1, two processes at most, well under a second of timing each."""
        batch = changes.get("batch", 1)
        fields: dict[str, Any] = {
            "schema": 1,
            "job": job,
            "backend": "onnxruntime",
            "artifact": self.artifact,
            "files": tuple(FileEntry(n, len(d), hashlib.sha256(d).hexdigest()) for n, d in sorted(self.model.items())),
            "model_file": "model.onnx",
            "precision": Precision.FP32,
            "inputs": (TensorSpec("image", "float32", (batch, 3, 4, 4)),),
            "outputs": (TensorSpec("scores", "float32", (batch, CLASSES)),),
            "batch": batch,
            "free_dims": {"batch": batch},
            "timing": SHORT,
            "golden_file": "golden.npz",
            "parity_limit": 1e-3,
            "hot_input": True,
            "options": {"provider": "cpu", "threads": 1},
            "deadline_s": 120.0,
            "lock_timeout_s": 60.0,
        }
        return JobSpec(**{**fields, **changes})

    def popen(self, command: str, *words: object) -> subprocess.Popen[bytes]:
        argv = [self.python, str(self.bundle), command, "--workdir", str(self.workdir), *map(str, words)]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment)

    def call(self, command: str, *words: object, stdin: bytes = b"", timeout: float = 60.0) -> Answer:
        return finish(self.popen(command, *words), stdin, timeout)

    def run(self, spec: JobSpec, wait_s: float = 60.0) -> Answer:
        return self.call("run", "--timeout", wait_s, stdin=encode(spec))

    def wait(self, job: str = "job-0001", timeout_s: float = 60.0) -> Answer:
        return self.call("wait", "--job", job, "--timeout", timeout_s)

    def fails(self, spec: JobSpec) -> Any:
        """Run a job that must fail: its ErrorInfo, once the folder shows that nothing was left behind."""
        found = self.run(spec).status
        assert found.state == "failed", found
        assert self.left_in(spec.job) == {"lock", "log", "spec.json", "status.json"}
        return found.error

    def folder(self, job: str = "job-0001") -> Path:
        return self.workdir / "jobs" / job

    def left_in(self, job: str = "job-0001") -> set[str]:
        return {path.name for path in self.folder(job).iterdir()}

    def status(self, job: str = "job-0001") -> JobStatus:
        """Where the job stands by its own file, without asking the agent."""
        return read(JobStatus, json.loads((self.folder(job) / "status.json").read_bytes()))

    def result(self, job: str = "job-0001") -> JobResult:
        return read(JobResult, json.loads((self.folder(job) / "result.json").read_bytes()))

    def samples(self, job: str = "job-0001") -> array[int]:
        return array("q", (self.folder(job) / "samples.i64le").read_bytes())

    def started(self, job: str = "job-0001") -> int:
        """Wait until the job's supervisor has it, queued or running; its pid."""
        return until(lambda: (self.folder(job) / "status.json").exists() and self.status(job).pid)

    def warming_up(self, job: str = "job-0001") -> tuple[int, int]:
        """Wait until the job's worker has its runtime loaded and computes; the pids of supervisor and worker."""
        supervisor = self.started(job)
        worker = until(lambda: worker_of(supervisor))
        until(lambda: b"onnxruntime" in _proc(worker, "maps"))
        before = until(lambda: cpu_ticks(worker))
        until(lambda: cpu_ticks(worker) > before + 20)
        return supervisor, worker

    def processes(self) -> dict[int, str]:
        """Living processes that have this lab's folder on their command line: supervisors, workers, callers."""
        lines = {pid: _proc(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace") for pid in pids()}
        return {pid: line for pid, line in lines.items() if str(self.workdir) in line and alive(pid)}

    def close(self) -> None:
        """Check that nothing runs on, kill what does, and remove the lock that only this lab took."""
        try:
            until(lambda: not self.processes(), timeout_s=3.0, or_say=lambda: f"still running: {self.processes()}")
        finally:
            for pid in self.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            accelerator_path(self.gpu).unlink(missing_ok=True)


def encode(spec: JobSpec, **raw: Any) -> bytes:
    """The spec as the controller sends it, with `raw` keys put over what a JobSpec would refuse to hold."""
    return json.dumps({**to_json(spec), **raw}).encode()


def finish(process: subprocess.Popen[bytes], stdin: bytes = b"", timeout: float = 60.0) -> Answer:
    """Hand in `stdin`, wait, and take the answer: one JSON object, whatever happened."""
    with process:
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    stderr = err.decode(errors="replace")
    assert out.count(b"\n") == 1, f"not one line of JSON: {out!r}\n{stderr}"
    return Answer(process.returncode, json.loads(out), stderr)


def until(look: Callable[[], T], timeout_s: float = 30.0, or_say: Callable[[], object] | None = None) -> T:
    """Look again and again until there is something to see; its value."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, or_say() if or_say else f"not seen within {timeout_s:g} s"
        time.sleep(0.002)


@contextmanager
def tmpfs(folder: Path, size: str) -> Iterator[None]:
    """A file system of `size` on `folder`. Errors: OSError where this user cannot mount."""
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.decode().strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def worker_of(supervisor: int) -> int | None:
    children = (pid for pid in pids() if _stat(pid)[1:2] == [str(supervisor)])
    return next((pid for pid in children if b"\0worker\0" in _proc(pid, "cmdline")), None)


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    return _stat(pid)[:1] not in ([], ["Z"], ["X"])


def cpu_ticks(pid: int) -> int:
    return sum(int(word) for word in _stat(pid)[11:13])


def has_open(pid: int, path: Path) -> bool:
    try:
        return path in [descriptor.readlink() for descriptor in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:  # the process, or the descriptor, is gone
        return False


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the state on; none when the process is gone."""
    return _proc(pid, "stat").rpartition(b")")[2].decode().split()


def _proc(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
