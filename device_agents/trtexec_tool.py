"""Running NVIDIA's trtexec: found, started, bounded in time, held to what was asked; every failure one sentence."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Sequence, Tuple, TypeVar

from device_agents.errors import DeviceError
from device_agents.formats import trtexec
from device_agents.formats.trtexec_command import TrtexecRun, command_line, differences
from device_agents.nvidia import TRTEXEC
from device_agents.system import System

if TYPE_CHECKING:
    from device_agents.backends.base import Arrays
else:
    Arrays = Mapping[str, Any]

PROGRAM_VARIABLE = "EDGEBENCH_TRTEXEC"
"""Names the program where it is neither on PATH nor where NVIDIA's packages put it."""

_HELP_S = 60.0  # a Jetson reads a gigabyte of libraries the first time
_LOG_TAIL = 20_000
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LOG = "see the job's log"

T = TypeVar("T")


@dataclass(frozen=True)
class Tool:
    """A trtexec of a known version."""

    program: str
    version: str

    @staticmethod
    def find() -> Tool:
        """Errors: ImportError where there is no trtexec, or what is there does not answer as one."""
        program = _program()
        argv = [program, "--help"]
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=_HELP_S, check=False,
            )  # fmt: skip
            return Tool(program, trtexec.parse_version(done.stdout.decode("utf-8", "replace")))
        except (OSError, subprocess.TimeoutExpired, ValueError) as error:
            raise ImportError(f"{program} does not tell its version ({error})") from None

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def run(self, run: TrtexecRun, folder: Path, *, stage: str, where: str, timeout_s: float) -> str:
        """What trtexec printed. It works in `folder`; `where` names the model in errors, `stage` is build, run or
        parity. Errors: DeviceError, whatever went wrong, or where a run did not set what was asked."""
        try:
            argv = command_line(run, self.version, self.program)
        except ValueError as error:
            raise DeviceError("unsupported", stage, f"trtexec cannot do this: {error}", where=where) from None
        print(f"$ {' '.join(map(shlex.quote, argv))}", file=sys.stderr, flush=True)
        text, code = _execute(argv, timeout_s, folder, stage)
        if not _passed(text, code):
            print(text[-_LOG_TAIL:], file=sys.stderr, flush=True)
            raise self._failed(text, code, stage, where)
        if not run.skip_inference:
            _check_settings(run, text, stage)
        return text

    def _failed(self, text: str, code: int, stage: str, where: str) -> DeviceError:
        who, failed = f"trtexec {self.version}", code_of(stage)
        try:
            why = trtexec.parse_failure(text)
        except ValueError:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            hint = " (often: out of memory)" if code == -signal.SIGKILL else ""
            return DeviceError(failed, stage, f"{who} {how}{hint} and gave no reason", where=where, fix=_LOG)
        named = [("operator", why.operator), ("node", why.node)]
        about = ", ".join(f"{what} {name}" for what, name in named if name)
        error, says, fix = _SENTENCES.get(why.kind, (failed, "failed", _LOG))
        if error == "engine_foreign" and not _names_another(why.message):
            error = "engine_damaged"
        message = f"{who} {says} ({about + ': ' if about else ''}{why.message})"
        return DeviceError(error, stage, message, where=where, fix=fix)


_SENTENCES = {
    "operator": ("unsupported_operator", "cannot read the model", "run it with --backend onnxruntime"),
    "implementation": ("build_failed", "has no kernel for a node", "allow more workspace_mib, or leave it out"),
    "memory": ("out_of_memory", "ran out of memory", "use a smaller batch, or free memory on the device"),
    "engine": ("engine_foreign", "does not take the engine", "let the device build its own: --rebuild"),
    "shapes": ("unsupported", "does not take the shapes", "take a batch and a size within the engine's bounds"),
    "option": ("unsupported", "does not know an option", "report this version of trtexec"),
    "file": ("device_io", "cannot read or write a file", "see if the disk is full"),
}


class Files:
    """trtexec's files in the folder where it works, named without it: so that a folder's name never matters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kinds = ("times", "profile", "layers", "output")
        self.times, self.profile, self.layers, self.output = (folder / f"trtexec-{kind}.json" for kind in kinds)
        self._inputs: List[Path] = []

    def inputs(self, batch: Arrays, tool: Tool) -> Dict[str, str]:
        """Write a batch as raw bytes, over the one before; file by input. TensorRT 8 takes INT64 inputs as INT32."""
        import numpy as np

        names = {}
        self._inputs = [self.folder / f"trtexec-input-{index}.bin" for index in range(len(batch))]
        for path, (name, array) in zip(self._inputs, batch.items()):
            kept = array.astype(np.int32) if tool.major < 10 and array.dtype == np.int64 else array
            path.write_bytes(np.ascontiguousarray(kept).tobytes())
            names[name] = path.name
        return names

    def remove(self) -> None:
        for path in (self.times, self.profile, self.layers, self.output, *self._inputs):
            path.unlink(missing_ok=True)


def read(path: Path, parse: Callable[[str], T], stage: str) -> T:
    """What trtexec wrote into a file. Errors: DeviceError where it is missing or cut."""
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        reason = "it was not written"
    except ValueError as error:
        reason = str(error)
    message = f"trtexec passed, but what it wrote cannot be read ({reason})"
    raise DeviceError(code_of(stage), stage, message, where=path.name, fix="see if the disk is full")


def working_copy(kept: Path) -> Path:
    """A copy of a timing cache for trtexec to write to, to be put in the kept one's place by a build that passed: what
    it leaves half written when it is killed would spoil every build after."""
    copy = kept.with_name(f"{kept.name}.part")
    copy.unlink(missing_ok=True)
    if kept.is_file():
        shutil.copyfile(str(kept), str(copy))
    return copy


def code_of(stage: str) -> str:
    return "build_failed" if stage == "build" else "run_failed"


def _program() -> str:
    """Errors: ImportError."""
    named = os.environ.get(PROGRAM_VARIABLE)
    usual = str(System.here().path(TRTEXEC))
    for candidate in (named,) if named else ("trtexec", usual):
        program = shutil.which(candidate)
        if program is not None:
            return program
    where = f"{PROGRAM_VARIABLE} names {named}" if named else f"it is neither on PATH nor at {TRTEXEC}"
    raise ImportError(f"no trtexec: {where}")


def _execute(argv: Sequence[str], timeout_s: float, folder: Path, stage: str) -> Tuple[str, int]:
    """Output and exit code. The child dies with this process, whose lock is what keeps others off the accelerator."""
    libc, ours = ctypes.CDLL(None), os.getpid()

    def die_with_us() -> None:
        if sys.platform == "linux":
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != ours:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=str(folder),
            preexec_fn=die_with_us,  # noqa: PLW1509 - a worker has one thread
        )  # fmt: skip
    except OSError as error:
        message = f"trtexec cannot be started ({error.strerror or error})"
        raise DeviceError(code_of(stage), stage, message, where=argv[0], fix="install it again") from None
    with child:
        try:
            output, _none = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            message = f"trtexec was ended: it took longer than {timeout_s:g} s"
            fix = "time fewer iterations, or raise the timeout"
            raise DeviceError("deadline", stage, message, fix=fix) from None
        except BaseException:
            child.kill()
            raise
    return output.decode("utf-8", "replace"), child.returncode


def _passed(text: str, code: int) -> bool:
    try:
        return trtexec.parse_verdict(text) and code == 0
    except ValueError:
        return False


def _check_settings(run: TrtexecRun, text: str, stage: str) -> None:
    """Errors: DeviceError where trtexec set something else, or does not tell."""
    try:
        unlike = list(differences(run, trtexec.parse_settings(text)))
    except ValueError as error:
        unlike = [str(error)]
    if any(warn.kind == "no_cuda_graph" for warn in trtexec.parse_warnings(text)):
        unlike.append("the engine cannot be captured as a CUDA graph")
    if unlike:
        message = f"trtexec did not run as asked: {'; '.join(unlike)}"
        raise DeviceError("unsupported", stage, message, fix="leave out what it cannot do, such as cuda_graph")


def _names_another(message: str) -> bool:
    """Another version or GPU made the engine; else the file is damaged."""
    return any(word in message.lower() for word in ("version", "device", "compute", "platform"))
