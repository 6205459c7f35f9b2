"""How far a build is, told in a few words: from TensorRT's progress monitor, which 10 and later have."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Dict, Tuple

_EVERY_S = 1.0


class Progress:
    """The innermost phase that moved, at most once a second: `Building engine 2/6: Timing tactics 41/312`."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._phases: Dict[str, Tuple[int, int]] = {}  # by name: steps done, steps in all; the outermost first
        self._told_s = 0.0

    def start(self, name: str, steps: int) -> None:
        self._phases[name] = (0, steps)
        self._say(name)

    def step(self, name: str, step: int) -> None:
        if name in self._phases:
            self._phases[name] = (step + 1, self._phases[name][1])
            self._say(name)

    def finish(self, name: str) -> None:
        self._phases.pop(name, None)

    def _say(self, name: str) -> None:
        if time.monotonic() - self._told_s < _EVERY_S:
            return
        self._told_s = time.monotonic()
        outermost = next(iter(self._phases))
        self._tell(": ".join(self._counted(phase) for phase in dict.fromkeys((outermost, name))))

    def _counted(self, phase: str) -> str:
        done, steps = self._phases[phase]
        return f"{phase} {done}/{steps}" if steps else phase


def monitor_for(trt: Any, progress: Progress) -> Any:
    """TensorRT calls it from several threads; what it raises would end the process."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: Any, num_steps: int) -> None:  # noqa: ARG002
            with contextlib.suppress(Exception):
                progress.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with contextlib.suppress(Exception):
                progress.step(phase_name, step)
            return True

        def phase_finish(self, phase_name: str) -> None:
            with contextlib.suppress(Exception):
                progress.finish(phase_name)

    return Monitor()
