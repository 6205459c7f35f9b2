"""A libcudart without a GPU, compiled from cudart.c, whose header says what it does and what it refuses."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("cudart.c")
HOST_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
"""The type of what `standin_enqueue_host_call` puts on a stream."""


class StandIn:
    """The library as tests hold it: its settings, what is alive in it, and work of the test's own on a stream."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.library = ctypes.CDLL(str(path))
        self.library.standin_enqueue_host_call.argtypes = (ctypes.c_void_p, HOST_CALL, ctypes.c_void_p)
        self.library.standin_waits.restype = ctypes.c_longlong
        self._monkeypatch = monkeypatch
        self._kept: list[object] = []

    def set(self, **settings: object) -> None:
        """STANDIN_CUDA_<name>, from now on and in child processes; forgets all there was, like a new process."""
        for name, value in settings.items():
            self._monkeypatch.setenv(f"STANDIN_CUDA_{name.upper()}", str(value))
        self.library.standin_reset()

    @property
    def live(self) -> tuple[int, int]:
        """Allocations that were not freed, handles that were not destroyed."""
        return self.library.standin_live_allocations(), self.library.standin_live_handles()

    @property
    def waits(self) -> tuple[int, int]:
        """How often somebody waited for an event: spinning, asleep."""
        return self.library.standin_waits(0), self.library.standin_waits(1)

    def enqueue(self, stream: int, work: Callable[[], object]) -> int:
        """Put `work` on a stream as a kernel would be. Returns CUDA's code."""
        call = HOST_CALL(lambda _: work() and None)
        self._kept.append(call)  # a graph may call it again
        return int(self.library.standin_enqueue_host_call(stream, call, None))


def compiled(folder: Path, *options: str) -> Path:
    """The library, compiled into `folder`; skips where there is no C compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler (cc) to make the stand-in for libcudart with")
    path = folder / "libcudart-stand-in.so"
    argv = [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread"]
    argv += ["-Wl,-Bsymbolic"]  # PyTorch loads a real libcudart for all to see: the stand-in is to call itself
    subprocess.run([*argv, *options, "-o", str(path), str(SOURCE)], check=True, timeout=120)
    return path


@pytest.fixture(scope="session")
def cudart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the stand-in, for EDGEBENCH_CUDART."""
    return compiled(tmp_path_factory.mktemp("cudart"))


@pytest.fixture
def stand_in(cudart: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in as new, and the one that `Cuda.load()` takes, also in child processes."""
    monkeypatch.setenv("EDGEBENCH_CUDART", str(cudart))
    for name in [name for name in os.environ if name.startswith("STANDIN_CUDA_")]:
        monkeypatch.delenv(name)
    library = StandIn(cudart, monkeypatch)
    library.set()
    yield library
    library.set()
