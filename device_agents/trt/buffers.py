"""Memory of the host for transfers: pinned, which the GPU copies itself, or pageable, which CUDA copies twice."""

from __future__ import annotations

import ctypes
from typing import Union, cast

from device_agents.cuda import Cuda
from device_agents.cuda_handles import HostMemory


class PageableMemory:
    """`size` bytes of ordinary memory, as HostMemory shows its own."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._bytes = (ctypes.c_ubyte * size)()
        self.pointer = ctypes.c_void_p(ctypes.addressof(self._bytes))

    @property
    def view(self) -> memoryview:
        return memoryview(self._bytes).cast("B")


Host = HostMemory


def host_memory(cuda: Cuda, size: int, pinned: bool) -> Host:
    """Streams copy from and to both kinds alike. Errors: CudaError `out_of_memory` for pinned memory."""
    memory: Union[HostMemory, PageableMemory] = cuda.host_memory(size) if pinned else PageableMemory(size)
    return cast(HostMemory, memory)
