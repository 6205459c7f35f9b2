"""Checked calls of one libcudart, what their return codes mean, and who has to be given back. `device_agents.cuda` is
the whole of it, for others."""

from __future__ import annotations

import ctypes
import os
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Dict,
    Optional,
    Tuple,
    TypeVar,
)

from device_agents.cudart import LIBRARY_VARIABLE, bind
from device_agents.errors import DeviceError

_NOT_READY, _UNLOADING, _MEMORY, _OLD_DRIVER, _NO_DEVICE = 600, 4, 2, 35, 100
_CODES = {_MEMORY: "out_of_memory", _OLD_DRIVER: "driver_too_old", _NO_DEVICE: "no_device"}

_T = TypeVar("_T", bound="Closing")


class CudaError(DeviceError):
    """A CUDA call that failed.

    `call` is the function, `number` and `name` are CUDA's error. The code is `out_of_memory`, `driver_too_old`,
    `no_device` (no driver counts as no device) or `cuda_error`.
    """

    def __init__(
        self, code: str, stage: str, message: str, *, call: str, number: int, name: str, fix: str = ""
    ) -> None:
        super().__init__(code, stage, message, fix=fix)  # whose message names the call
        self.call = call
        self.number = number
        self.name = name


class Calls:
    """The functions of one libcudart, each return code checked, and the handles that they made."""

    def __init__(self, path: str, stage: str = "load") -> None:
        """Load one library. Errors: OSError when it cannot be loaded, AttributeError when a function is missing."""
        self.path = path
        self.stage = stage
        self.failed: Optional[CudaError] = None
        """The first error that was raised. After it nothing raises when it is freed."""
        self._calls = bind(path)
        self._handles: Dict[Handle, None] = {}  # in order of creation
        self._closed = False

    def runtime_version(self) -> int:
        """1000 * major + 10 * minor, such as 12060. Errors: CudaError, when CUDA 11 does not find its driver."""
        return self._number("cudaRuntimeGetVersion")

    def driver_version(self) -> int:
        """The newest CUDA that the driver knows, written like `runtime_version`; 0 where there is no driver."""
        return self._number("cudaDriverGetVersion")

    def newer_than_driver(self) -> bool:
        """Whether there is a driver and it does not know the CUDA of this library; minor versions do not matter."""
        driver, runtime = self.driver_version() // 1000, self._runtime() // 1000
        return driver > 0 and (runtime == 0 or runtime > driver)

    def function(self, name: str) -> Callable[..., int]:
        """A function of libcudart with its argument types set; the caller gives its return code to `error`."""
        return self._calls[name]

    def has(self, name: str) -> bool:
        return name in self._calls

    def check(self, name: str, *args: Any, asked: Optional[int] = None) -> None:
        """Call a function; `asked` is how many bytes it allocates. Errors: CudaError."""
        code = self._calls[name](*args)
        if code:
            raise self.error(name, code, asked=asked)

    def error(self, call: str, number: int, *, asked: Optional[int] = None) -> CudaError:
        """The exception for a return code that is not 0."""
        self._forget_error()
        name, text = self._says("cudaGetErrorName", number), self._says("cudaGetErrorString", number)
        code, fix = _CODES.get(number, "cuda_error"), ""
        message = f"{call} failed: {text} ({name}, {number})"
        if number == _MEMORY:
            message += self._shortage(call, asked)
            fix = "take a smaller batch or workspace, or end what else uses the memory"
        if number == _OLD_DRIVER:
            code, message, fix = self._driver_trouble(call, name)
        error = CudaError(code, self.stage, message, call=call, number=number, name=name, fix=fix)
        self.failed = self.failed or error
        return error

    def own(self, handle: Handle) -> None:
        """For handles: belong to this library until `free`."""
        self._handles[handle] = None

    def refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("this Cuda is closed")

    def free(self, handle: Handle, call: str, pointer: ctypes.c_void_p) -> None:
        """For handles: give one back. Errors: CudaError, unless a call had failed before."""
        self._handles.pop(handle, None)
        problem = self._quiet(call, pointer)
        if problem is not None:
            raise problem

    def discard(self, graph: ctypes.c_void_p) -> None:
        """For captures: give a graph back, or none where the capture failed, after which no error is remembered."""
        if graph:
            self._calls["cudaGraphDestroy"](graph)
        self._forget_error()

    def ready(self, call: str, code: int) -> bool:
        """The answer to a query. Errors: CudaError for anything but done and not done."""
        if code == _NOT_READY:
            self._forget_error()
            return False
        if code:
            raise self.error(call, code)
        return True

    def _quiet(self, call: str, *args: Any) -> Optional[CudaError]:
        """Call a function that tidies up: its error counts when it is the first, and the process is not ending."""
        code = self._calls[call](*args)
        if code in (0, _UNLOADING):
            return None
        if self.failed is None:
            return self.error(call, code)
        self._forget_error()
        return None

    def _number(self, call: str, value: Any = None) -> int:
        value = ctypes.c_int() if value is None else value
        self.check(call, ctypes.byref(value))
        return int(value.value)

    def _runtime(self) -> int:
        """The version, or 0: CUDA 11 tells it only once it has found a driver that is new enough."""
        value = ctypes.c_int()
        code = self._calls["cudaRuntimeGetVersion"](ctypes.byref(value))
        if code:
            self._forget_error()
        return 0 if code else value.value

    def _forget_error(self) -> None:
        # CUDA keeps the last error until it is asked for; TensorRT would ask later and take it for its own.
        self._calls["cudaGetLastError"]()

    def _says(self, call: str, number: int) -> str:
        text: Any = self._calls[call](number)
        return text.decode("ascii", "replace") if text else "unknown"

    def _shortage(self, call: str, asked: Optional[int]) -> str:
        wanted = "" if asked is None else f"; {_mib(asked)} asked"
        if call == "cudaHostAlloc":
            free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
            return f"{wanted} as pinned host memory, {_mib(free)} of the host's memory free"
        left, total = ctypes.c_size_t(), ctypes.c_size_t()
        code = self._calls["cudaMemGetInfo"](ctypes.byref(left), ctypes.byref(total))
        if code:
            self._forget_error()
            return wanted
        return f"{wanted}, {_mib(left.value)} of {_mib(total.value)} free"

    def _driver_trouble(self, call: str, name: str) -> Tuple[str, str, str]:
        number, driver = self._runtime(), self.driver_version()
        runtime = f"CUDA {_version(number)}" if number else "an unknown version of CUDA"
        if not driver:
            fix = "install NVIDIA's driver; in a container, start it with `--runtime nvidia` or `--gpus all`"
            return "no_device", f"{call} failed: there is no NVIDIA driver for {self.path}, {runtime} ({name})", fix
        message = f"{call} failed: the driver knows CUDA {_version(driver)} at most, {self.path} is {runtime} ({name})"
        fix = f"update the driver, or install a libcudart of CUDA {driver // 1000} and name it by {LIBRARY_VARIABLE}"
        return "driver_too_old", message, fix


class Closing:
    """For `with`: closed at the end of the block, whose own error is the one that is raised."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(self, kind: Optional[type], *_: object) -> None:
        try:
            self.close()
        except CudaError:
            if kind is None:  # what is raised in the block tells more
                raise


class Handle(Closing):
    """Something of CUDA's that has to be given back. `pointer` is CUDA's handle, for ctypes; `handle` is its number."""

    _free: ClassVar[str]
    pointer: ctypes.c_void_p

    def __init__(self, cuda: Calls, pointer: ctypes.c_void_p) -> None:
        self._cuda = cuda
        self.pointer = pointer
        cuda.own(self)

    @property
    def handle(self) -> int:
        """CUDA's handle or address as a number, as TensorRT wants it."""
        return self.pointer.value or 0

    def close(self) -> None:
        """Give it back; the second time nothing happens. Errors: CudaError if that fails and nothing failed before."""
        pointer = self.__dict__.pop("pointer", None)
        if pointer is not None:
            self._cuda.free(self, self._free, pointer)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Without a pointer the calls need no check of their own, and never pass NULL, which is the default stream.
            if name == "pointer":
                raise RuntimeError(f"this {type(self).__name__} is closed")
            raise AttributeError(name)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
