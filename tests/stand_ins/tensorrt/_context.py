"""An execution: shapes, addresses, the order in which they are given, and what comes out."""

from __future__ import annotations

import ctypes
import os
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from . import _cuda
from ._foundation import Dims, IProfiler, complain, must_be, volume
from ._names import ENUMS, VERSION, Played
from ._onnx import Tensor

if TYPE_CHECKING:
    from ._engine import ICudaEngine

_ALIGNMENT = 256
Shape = Tuple[int, ...]


class IExecutionContext(Played):
    def __init__(self, engine: ICudaEngine, memory: _cuda.DeviceMemory) -> None:
        self._engine, self._memory = engine, memory
        self._name, self._emits, self._debug_sync = "", True, False
        self._nvtx = engine.profiling_verbosity
        self._kernels: Optional[_cuda.DeviceMemory] = None
        self._profile = 0 if self._may_use(0) else -1
        self._shapes: Dict[str, Shape] = {}
        self._addresses: Dict[str, int] = {}
        self._profiler: Optional[IProfiler] = None
        self._stream: Optional[int] = None
        self._ran_at: Optional[Dict[str, Shape]] = None
        self._elapsed_ms = 0.0
        self._fix_shapes()
        engine._contexts.add(self)

    engine = property(lambda self: self._engine)
    name = property(lambda self: self._name, lambda self, name: setattr(self, "_name", name))
    debug_sync = property(lambda self: self._debug_sync, lambda self, on: setattr(self, "_debug_sync", on))
    active_optimization_profile = property(lambda self: self._profile)
    all_binding_shapes_specified = property(lambda self: not self._missing())
    all_shape_inputs_specified = property(lambda self: True)
    enqueue_emits_profile = property(lambda self: self._emits, lambda self, on: setattr(self, "_emits", bool(on)))

    @property
    def nvtx_verbosity(self) -> Any:
        return self._nvtx

    @nvtx_verbosity.setter
    def nvtx_verbosity(self, verbosity: Any) -> None:
        """Not above that of the build."""
        must_be(verbosity, ENUMS["ProfilingVerbosity"], "nvtx_verbosity")
        order = [ENUMS["ProfilingVerbosity"].__members__[name] for name in ("NONE", "LAYER_NAMES_ONLY", "DETAILED")]
        if order.index(verbosity) > order.index(self._engine.profiling_verbosity):
            self._refuse(3, "the NVTX verbosity is higher than the profiling verbosity of the engine")
            return
        self._nvtx = verbosity

    @property
    def profiler(self) -> Optional[IProfiler]:
        return self._profiler

    @profiler.setter
    def profiler(self, profiler: IProfiler) -> None:
        self._profiler = must_be(profiler, IProfiler, "profiler")

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        """After it every free shape is unset. Before 10, a profile serves one context at a time."""
        if not 0 <= profile_index < self._engine.num_optimization_profiles:
            return self._refuse(3, f"Parameter check failed, condition: profileIndex {profile_index} is not there")
        if profile_index != self._profile and not self._may_use(profile_index):
            return self._refuse(3, f"Profile {profile_index} has been chosen for another IExecutionContext.")
        self._profile, self._shapes = profile_index, {}
        self._fix_shapes()
        return True

    def set_input_shape(self, name: str, shape: Sequence[int]) -> bool:
        tensor = next((one for one in self._engine._inputs if one.name == name), None)
        if tensor is None:
            return self._refuse(3, f"Given invalid tensor name: {name} is no input")
        if self._profile < 0:
            return self._refuse(3, "no optimization profile was chosen for this context")
        wanted = tuple(int(size) for size in shape)
        least, _, most = self._engine._range(tensor, self._profile)
        if len(wanted) != len(most):
            return self._refuse(3, f"Parameter check failed: {name} has {len(most)} dimensions, not {len(wanted)}")
        for index, (low, size, high) in enumerate(zip(least, wanted, most)):
            if not low <= size <= high:
                text = f"Supplied binding dimension {list(wanted)} for input {name} exceed min ~ max range at index "
                text += f"{index}, maximum dimension in profile is {high}, minimum dimension in profile is {low}, "
                return self._refuse(3, text + f"but supplied dimension is {size}.")
        self._shapes[name] = wanted
        return True

    def get_tensor_shape(self, name: str) -> Dims:
        """Of an output once every input has its shape; -1 for what is not known yet."""
        if name in self._shapes:
            return Dims(self._shapes[name])
        output = next((one for one in self._engine._outputs if one.name == name), None)
        if output is None or self._missing():
            return self._engine.get_tensor_shape(name)
        return Dims(self._output_shape(output))

    def infer_shapes(self) -> List[str]:
        """The inputs whose shape is missing."""
        return self._missing()

    def get_max_output_size(self, name: str) -> int:
        tensor = next(one for one in self._engine._outputs if one.name == name)
        return volume(self._output_shape(tensor)) * int(self._engine.get_tensor_dtype(name).itemsize)

    def set_tensor_address(self, name: str, memory: int) -> bool:
        if self._engine._find(name) is None:
            return False
        if memory % _ALIGNMENT:
            return self._refuse(3, f"The address of {name} is not aligned to {_ALIGNMENT} bytes")
        self._addresses[name] = int(memory)
        return True

    def get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Put the inference on a stream. False, and the reason in the log, for what must not be."""
        if not isinstance(stream_handle, int):
            raise TypeError("execute_async_v3(): incompatible function arguments: stream_handle is an int")
        trouble = self._trouble(stream_handle)
        if trouble:
            return self._refuse(3, trouble)
        if not self._loads_kernels():
            return self._refuse(1, "Cuda Runtime (out of memory) in the first enqueue")
        shapes, addresses = dict(self._shapes), dict(self._addresses)
        code, ran = _cuda.enqueue(stream_handle, lambda: self._compute(shapes, addresses))
        if code:
            return self._refuse(1, f"CUDA's error {code} in the enqueue")
        if not ran and self._ran_at != shapes:
            return self._refuse(
                1, "the first enqueue at these shapes allocates, which no capture allows: enqueue before"
            )
        self._stream, self._ran_at = stream_handle, shapes
        if ran and self._profiler is not None and self._emits:
            self._tell(self._profiler)
        return True

    def report_to_profiler(self) -> bool:
        """The times of the last enqueue, where `enqueue_emits_profile` is off."""
        if self._profiler is None or self._emits or self._ran_at is None:
            return self._refuse(3, "there is nothing to report to a profiler")
        self._tell(self._profiler)
        return True

    def _loads_kernels(self) -> bool:
        """At the first enqueue, as CUDA loads them when they are launched."""
        size = int(os.environ.get("SCRIPTED_TENSORRT_KERNELS", "0"))
        if size and self._kernels is None:
            self._kernels = _cuda.DeviceMemory.of(size, self._engine._logger)
            return self._kernels is not None
        return True

    def _may_use(self, profile: int) -> bool:
        about = self._engine._about
        if about["profile_sharing"] or not about["profiles"]:
            return True
        return all(context._profile != profile for context in self._engine._contexts if context is not self)

    def _fix_shapes(self) -> None:
        for tensor in self._engine._inputs:
            if all(isinstance(dim, int) and dim > 0 for dim in tensor.dims):
                self._shapes[tensor.name] = tensor.dims  # type: ignore[assignment]

    def _missing(self) -> List[str]:
        return [tensor.name for tensor in self._engine._inputs if tensor.name not in self._shapes]

    def _trouble(self, stream: int) -> str:
        missing = self._missing()
        if missing:
            return f"not all shapes are specified: {', '.join(missing)}"
        if self._stream not in (None, stream):
            return "this context is enqueued on another stream than before: a context is for one stream"
        for tensor in (*self._engine._inputs, *self._engine._outputs):
            if not self._addresses.get(tensor.name):
                return f"Neither address or allocator is set for tensor {tensor.name}. Call setTensorAddress() before"
            if not self._is_there(tensor, self._shapes, self._addresses):
                return f"the address of {tensor.name} is no device memory of that size"
        return ""

    def _is_there(self, tensor: Tensor, shapes: Dict[str, Shape], addresses: Dict[str, int]) -> bool:
        size = volume(self._shape_of(tensor, shapes)) * int(self._engine.get_tensor_dtype(tensor.name).itemsize)
        return _cuda.is_device_memory(addresses[tensor.name], size)

    def _shape_of(self, tensor: Tensor, shapes: Dict[str, Shape]) -> Shape:
        return shapes[tensor.name] if tensor.name in shapes else self._output_shape(tensor, shapes)

    def _output_shape(self, output: Tensor, shapes: Optional[Dict[str, Shape]] = None) -> Shape:
        """By the names of the inputs' free dimensions; where those do not tell, by computing it."""
        shapes = self._shapes if shapes is None else shapes
        sizes: Dict[Any, int] = {}
        for tensor in self._engine._inputs:
            sizes.update({dim: size for dim, size in zip(tensor.dims, shapes[tensor.name]) if isinstance(dim, str)})
        shape = tuple(dim if isinstance(dim, int) and dim > 0 else sizes.get(dim, -1) for dim in output.dims)
        return self._computed_shape(output, shapes) if -1 in shape else shape

    def _computed_shape(self, output: Tensor, shapes: Dict[str, Shape]) -> Shape:
        import numpy as np

        zeros = {one.name: np.zeros(shapes[one.name], self._engine._numpy(one)) for one in self._engine._inputs}
        found = self._engine._run(zeros)
        return tuple(found[self._engine._outputs.index(output)].shape)

    def _compute(self, shapes: Dict[str, Shape], addresses: Dict[str, int]) -> None:
        """On the stream: the shapes and addresses are those of the enqueue, as they are in a graph."""
        tensors = [*self._engine._inputs, *self._engine._outputs]
        gone = [tensor.name for tensor in tensors if not self._is_there(tensor, shapes, addresses)]
        if gone:
            self._refuse(1, f"an illegal memory access was encountered: {', '.join(gone)} was freed")
            return
        start = time.perf_counter()
        if self._elapsed_ms == 0.0:
            time.sleep(float(os.environ.get("SCRIPTED_TENSORRT_COLD_S", "0")))
        given = {one.name: self._view(one, shapes, addresses).copy() for one in self._engine._inputs}
        for tensor, array in zip(self._engine._outputs, self._engine._run(given)):
            self._view(tensor, shapes, addresses)[...] = array
        self._elapsed_ms = (time.perf_counter() - start) * 1e3

    def _view(self, tensor: Tensor, shapes: Dict[str, Shape], addresses: Dict[str, int]) -> Any:
        """The device's memory as an array."""
        import numpy as np

        shape, dtype = self._shape_of(tensor, shapes), np.dtype(self._engine._numpy(tensor))
        raw = (ctypes.c_char * (volume(shape) * dtype.itemsize)).from_address(addresses[tensor.name])
        return np.frombuffer(raw, dtype).reshape(shape)

    def _tell(self, profiler: IProfiler) -> None:
        layers = self._engine._about["layers"]
        for layer in layers:
            profiler.report_layer_time(layer["name"], self._elapsed_ms / len(layers))

    def _refuse(self, code: int, text: str) -> bool:
        where = "IExecutionContext::" if VERSION >= (10,) else "[executionContext.cpp] "
        complain(self._engine._logger, code, where + text)
        return False
