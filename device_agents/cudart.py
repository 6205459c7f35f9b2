"""libcudart 11 to 13: where it may be, and its functions with their argument types, set once.

Signatures: cuda_runtime_api.h of CUDA 11.8, 12.9 and 13.0.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

from device_agents.errors import DeviceError

LIBRARY_VARIABLE = "EDGEBENCH_CUDART"

_P, _INT, _SIZE, _FLAGS = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint
_TO = ctypes.c_void_p  # an out parameter, given with byref
_REQUIRED: Dict[str, Tuple[Any, ...]] = {
    "cudaDeviceGetAttribute": (_TO, _INT, _INT),
    "cudaDeviceSynchronize": (),
    "cudaDriverGetVersion": (_TO,),
    "cudaEventCreateWithFlags": (_TO, _FLAGS),
    "cudaEventDestroy": (_P,),
    "cudaEventElapsedTime": (_TO, _P, _P),
    "cudaEventQuery": (_P,),
    "cudaEventRecord": (_P, _P),
    "cudaEventSynchronize": (_P,),
    "cudaFree": (_P,),
    "cudaFreeHost": (_P,),
    "cudaGetDeviceCount": (_TO,),
    "cudaGetDeviceFlags": (_TO,),
    "cudaGetLastError": (),
    "cudaGraphDestroy": (_P,),
    "cudaGraphExecDestroy": (_P,),
    "cudaGraphGetNodes": (_P, _P, _TO),
    "cudaGraphLaunch": (_P, _P),
    "cudaHostAlloc": (_TO, _SIZE, _FLAGS),
    "cudaMalloc": (_TO, _SIZE),
    "cudaMemGetInfo": (_TO, _TO),
    "cudaMemcpyAsync": (_P, _P, _SIZE, _INT, _P),
    "cudaMemsetAsync": (_P, _INT, _SIZE, _P),
    "cudaRuntimeGetVersion": (_TO,),
    "cudaSetDevice": (_INT,),
    "cudaSetDeviceFlags": (_FLAGS,),
    "cudaStreamBeginCapture": (_P, _INT),
    "cudaStreamCreateWithFlags": (_TO, _FLAGS),
    "cudaStreamDestroy": (_P,),
    "cudaStreamEndCapture": (_P, _TO),
    "cudaStreamQuery": (_P,),
    "cudaStreamSynchronize": (_P,),
    "cudaStreamWaitEvent": (_P, _P, _FLAGS),
}
_OPTIONAL: Dict[str, Tuple[Any, ...]] = {
    "cudaGraphInstantiate": (_TO, _P, _P, _P, _SIZE),  # the signature before CUDA 12, the only case where it is called
    "cudaGraphInstantiateWithFlags": (_TO, _P, ctypes.c_ulonglong),  # since CUDA 11.4
}

_NEWEST_KNOWN = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")


def candidates(root: Path = Path("/")) -> List[str]:
    """Where libcudart may be, in the order of trying: files that exist, and names for the system's loader."""
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        return [named]
    loader_path = [Path(folder) for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder]
    found: Dict[str, None] = {}
    for library in [
        *_in_folders(loader_path),
        *_NEWEST_KNOWN,
        *_in_folders(_usual_folders(root)),
        *_in_folders(_of_pip()),
    ]:
        found.setdefault(library)
    return list(found)


def _usual_folders(root: Path) -> Iterator[Path]:
    yield root / "usr/local/cuda/lib64"
    toolkits = sorted(root.glob("usr/local/cuda-*"), key=lambda path: _numbers(path.name), reverse=True)
    for toolkit in [root / "usr/local/cuda", *toolkits]:
        yield toolkit / "lib64"
        yield from sorted(toolkit.glob("targets/*/lib"))
    machine = platform.machine()
    yield from (root / folder for folder in (f"usr/lib/{machine}-linux-gnu", "usr/lib64", "usr/lib", "lib"))


def _of_pip() -> Iterator[Path]:
    for entry in sys.path:
        yield from sorted(Path(entry).glob("nvidia/*/lib"), reverse=True)


def _in_folders(folders: Any) -> Iterator[str]:
    """Each libcudart there once, however many links lead to it."""
    seen = set()
    for folder in folders:
        for path in sorted(folder.glob("libcudart.so*"), key=lambda path: _numbers(path.name), reverse=True):
            real = os.path.realpath(str(path))
            if real not in seen:
                seen.add(real)
                yield str(path)


def _numbers(name: str) -> Tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", name))


def not_found(stage: str, refused: List[str]) -> DeviceError:
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        message = f"{LIBRARY_VARIABLE} names a CUDA runtime that cannot be used ({'; '.join(refused)})"
        return DeviceError("no_cudart", stage, message, where=named, fix=f"mend or unset {LIBRARY_VARIABLE}")
    places = (
        "LD_LIBRARY_PATH, the loader's own paths, /usr/local/cuda*, /usr/lib, /lib and this Python's nvidia packages"
    )
    files = [line for line in refused if line.startswith("/")]  # the loader's names fail as a matter of course
    also = f"; these could not be used: {'; '.join(files[:3])}" if files else ""
    fix = (
        "install the CUDA runtime (cuda-cudart of the CUDA toolkit, or pip's nvidia-cuda-runtime-cu12), "
        f"or name the library with {LIBRARY_VARIABLE}=PATH"
    )
    return DeviceError(
        "no_cudart", stage, f"no CUDA runtime (libcudart) in {places}{also}", where=sys.executable, fix=fix
    )


def bind(path: str) -> Dict[str, Callable[..., Any]]:
    """Every function with its argument types, set once. Errors: OSError, AttributeError naming what is missing."""
    library = ctypes.CDLL(path)
    calls: Dict[str, Callable[..., Any]] = {}
    for name, types in [*_REQUIRED.items(), *((n, t) for n, t in _OPTIONAL.items() if hasattr(library, n))]:
        function = getattr(library, name)
        function.argtypes, function.restype = types, ctypes.c_int
        calls[name] = function
    for name in ("cudaGetErrorName", "cudaGetErrorString"):
        function = getattr(library, name)
        function.argtypes, function.restype = (ctypes.c_int,), ctypes.c_char_p
        calls[name] = function
    return calls
