"""The backend onnxruntime that gives its inferences to a thread and forgets to wait for it, as a benchmark of a GPU
does that never synchronises. Its figures are nobody's."""

from __future__ import annotations

import threading
import time

from device_agents.backends import original  # type: ignore[attr-defined] - device_agents/backends/onnxruntime.py


class Backend(original.Backend):  # type: ignore[misc]
    _thread: threading.Thread | None = None

    def enqueue(self, slot: int) -> None:
        self.drain()
        self._thread = threading.Thread(target=self._infer, args=(slot,))
        self._thread.start()

    def wait(self, slot: int) -> None:
        pass

    def drain(self) -> bool:
        if self._thread is not None:
            self._thread.join()
        return True

    def _infer(self, slot: int) -> None:
        time.sleep(0.005)
        super().enqueue(slot)
