"""The stand-in for libcudart that EDGEBENCH_CUDART names: memory, streams, what the GPU is."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Callable, Dict, List, Optional, Tuple

from ._foundation import ILogger

_HOST_CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_waiting: Dict[int, Callable[[], None]] = {}  # what was captured may run at any launch of its graph
_library: Any = None


@_HOST_CALL
def _run(number: int) -> None:
    _waiting[number]()


def library() -> Any:
    """Errors: RuntimeError where the stand-in is not named, as this memory is no other's."""
    global _library
    if _library is None:
        path = os.environ.get("EDGEBENCH_CUDART")
        if not path:
            raise RuntimeError("the scripted TensorRT computes in the stand-in for CUDA: set EDGEBENCH_CUDART")
        _library = ctypes.CDLL(path)
        _library.standin_enqueue_host_call.argtypes = (ctypes.c_void_p, _HOST_CALL, ctypes.c_void_p)
        _library.standin_is_device_memory.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        _library.cudaFree.argtypes = (ctypes.c_void_p,)
        _library.cudaMalloc.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return _library


def initialise(logger: ILogger, what: str) -> None:
    """Errors: TypeError where there is no GPU, which is what TensorRT's factories come to in Python."""
    count = ctypes.c_int()
    code = library().cudaGetDeviceCount(ctypes.byref(count))
    if code:
        logger.log(
            ILogger.ERROR, f"CUDA initialization failure with error: {code}. Please check your CUDA installation"
        )
        raise TypeError(f"pybind11::init(): factory function returned nullptr ({what})")


def gpu() -> Tuple[str, str]:
    """Its name and compute capability, such as 8.7."""
    value = ctypes.c_int()
    numbers = []
    for attribute in (75, 76):
        library().cudaDeviceGetAttribute(ctypes.byref(value), attribute, 0)
        numbers.append(value.value)
    return os.environ.get("SCRIPTED_TENSORRT_GPU", "scripted GPU"), "{}.{}".format(*numbers)


def free_bytes() -> int:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    library().cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total))
    return free.value


def is_device_memory(address: int, size: int) -> bool:
    return bool(library().standin_is_device_memory(address, size))


class DeviceMemory:
    """What an engine or a context holds of the device. `of` logs and returns None where there is not so much."""

    @classmethod
    def of(cls, size: int, logger: ILogger) -> Optional[DeviceMemory]:
        pointer = ctypes.c_void_p()
        code = library().cudaMalloc(ctypes.byref(pointer), size)
        if not code:
            return cls(pointer)
        library().cudaGetLastError()
        logger.log(ILogger.ERROR, f"[defaultAllocator.cpp::allocate] Error Code 1: Cuda Runtime (error {code})")
        logger.log(
            ILogger.WARNING,
            f"Requested amount of GPU memory ({size} bytes) could not be allocated. There may not be enough free "
            "memory for allocation to succeed.",
        )
        return None

    def __init__(self, pointer: ctypes.c_void_p) -> None:
        self._pointer = pointer

    def __del__(self) -> None:
        library().cudaFree(self._pointer)


def enqueue(stream: int, work: Callable[[], None]) -> Tuple[int, bool]:
    """CUDA's code, and whether the work was done at once rather than captured. Errors: what it raises then."""
    done, enqueued = False, False
    raised: List[Exception] = []

    def call() -> None:
        nonlocal done
        done = True
        try:
            work()
        except Exception as error:
            if enqueued:  # at the launch of a graph nobody is there to be told
                raise
            raised.append(error)

    number = id(call)
    _waiting[number] = call
    code = library().standin_enqueue_host_call(stream, _run, number)
    if code or done:
        del _waiting[number]
    enqueued = True
    if raised:
        raise raised[0]
    return code, done
