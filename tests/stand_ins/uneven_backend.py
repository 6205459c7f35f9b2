"""The backend onnxruntime on a device that wears out, where a measurement is to be INVALID: in the first jobs there, as
many as a file says, each inference takes longer than the one before. Its figures are nobody's."""

from __future__ import annotations

import time
from pathlib import Path

from device_agents.backends import original  # type: ignore[attr-defined] - device_agents/backends/onnxruntime.py
from device_agents.contract import JobSpec

UNEVEN = Path.home() / "uneven-jobs"


class Backend(original.Backend):  # type: ignore[misc]
    def load(self, path: Path, spec: JobSpec) -> None:
        left = int(UNEVEN.read_text()) if UNEVEN.exists() else 0
        self._wearing, self._done = left > 0, 0
        UNEVEN.write_text(str(max(0, left - 1)))
        super().load(path, spec)

    def enqueue(self, slot: int) -> None:
        self._done += 1
        time.sleep(0.001 * 1.15 ** min(self._done, 30) if self._wearing else 0.001)
        super().enqueue(slot)
