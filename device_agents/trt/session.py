"""A loaded engine for one job: its inputs and outputs checked, its profile chosen, its lanes and slots."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from device_agents.backends.base import Arrays
from device_agents.contract import JobSpec, Layer, Scalar, TensorSpec
from device_agents.cuda import Cuda, CudaError
from device_agents.errors import DeviceError
from device_agents.trt import engine_file, inspection, memory, shapes
from device_agents.trt.api import Said
from device_agents.trt.options import RunOptions
from device_agents.trt.run import How, IOTensor, Lane, Slot

_DTYPES = {
    "FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "INT64": "int64", "BOOL": "bool",
    "UINT8": "uint8",
}  # fmt: skip


class Session:
    """Errors of every call: DeviceError."""

    def __init__(self, trt: Any, engine: Any, cuda: Cuda, spec: JobSpec, options: RunOptions, said: Said) -> None:
        self._trt = trt
        self._engine = engine
        self._cuda = cuda
        self._spec = spec
        self._options = options
        self._said = said
        self._how = How(spec.transfers, options.pinned, options.spin)
        self.slots: Dict[int, Slot] = {}
        self.cache_bytes = cuda.attributes().l2_bytes
        names = self._check_names()
        offered = shapes.of_engine(engine, [one.name for one in spec.inputs])
        self.profile_index = shapes.refuse_outside(offered, spec, "load")
        self._overlap = spec.transfers and spec.pattern.kind == "pipelined"
        self._contexts: List[Any] = []
        self._lanes = [self._lane() for _ in range(options.streams)]
        self._tensors = self._io(names)
        said.clear()  # what is said from now on is of the run

    @property
    def device_memory_bytes(self) -> int:
        """What the contexts take."""
        return engine_file.device_memory(self._engine) * len(self._lanes)

    def bind(self, inputs: Arrays, number: int) -> None:
        slot = self.slots.get(number)
        if slot is None:
            slot = self.slots[number] = self._new_slot(number, self._sized(inputs))
        slot.bind(inputs)
        if self._options.cuda_graph:
            slot.capture()

    def switches(self) -> Dict[str, Scalar]:
        context = self._contexts[0]
        verbosity = context.nvtx_verbosity
        return {
            **self._options._asdict(),
            "transfers": self._spec.transfers,
            "copy_streams": self._overlap,
            "optimization_profile": self.profile_index,
            "schedule": self._cuda.schedule(),
            "cudart": self._cuda.runtime_version(),
            "tf32": False,
            "nvtx_verbosity": str(verbosity.name).lower(),
        }

    def memory(self) -> Dict[str, int]:
        free, total = self._cuda.mem_get_info()
        buffers = sum(slot.device_bytes for slot in self.slots.values())
        return {"engine_device": self.device_memory_bytes, "buffers_device": buffers, "gpu_used": total - free}

    def layers(self, number: int, inferences: int) -> Tuple[Layer, ...]:
        context = self._contexts[number % len(self._contexts)]
        found = inspection.layers_of(self._trt, self._engine, context)
        times = inspection.Times()
        self.slots[number].profile(inspection.profiler_for(self._trt, times), inferences)
        return times.joined(found, inferences)

    def close(self) -> None:
        """Contexts go before the engine, and before the memory that they use."""
        self.slots.clear()
        for lane in self._lanes:
            lane.close()
        self._lanes.clear()
        self._contexts.clear()
        self._engine = None

    def _check_names(self) -> List[str]:
        """The engine's inputs and outputs are the job's. Returns all names."""
        engine, spec = self._engine, self._spec
        names = [str(engine.get_tensor_name(index)) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if self._is_input(name)]
        wanted = [one.name for one in spec.inputs]
        outputs = [name for name in names if name not in inputs]
        if sorted(inputs) != sorted(wanted) or sorted(outputs) != sorted(one.name for one in spec.outputs):
            message = f"the engine has the tensors {', '.join(names)}; the manifest says otherwise"
            raise DeviceError("load_failed", "load", message, where=spec.model_file, fix="build it again: --rebuild")
        for name in names:
            if engine.get_tensor_location(name) != self._trt.TensorLocation.DEVICE:
                message = f"the engine wants {name!r} in the host's memory: it is a shape, and no data"
                raise DeviceError("unsupported", "load", message, fix="export the model with that input fixed")
        return names

    def _is_input(self, name: str) -> bool:
        engine = self._engine
        return bool(engine.get_tensor_mode(name) == self._trt.TensorIOMode.INPUT)

    def _lane(self) -> Lane:
        engine = self._engine
        self._said.clear()
        context = engine.create_execution_context()
        if context is None:
            raise self._no_context()
        # Built to tell its layers in detail, the engine marks them in detail, too, which lengthens every enqueue
        # (IExecutionContext.nvtx_verbosity): the run has the marks of an engine that was built by default.
        context.nvtx_verbosity = self._trt.ProfilingVerbosity.LAYER_NAMES_ONLY
        lane = Lane(context, self._cuda, self._failed, overlap=self._overlap)
        stream = lane.compute
        if context.active_optimization_profile != self.profile_index:  # never so where all shapes are fixed
            if not context.set_optimization_profile_async(self.profile_index, stream.handle):
                fix = "use streams=1: before TensorRT 8.6 every stream needs an optimization profile of its own"
                message = f"the engine's profile {self.profile_index} cannot be used ({self._said.reason()})"
                raise DeviceError("unsupported", "load", message, fix=fix)
            stream.synchronize()
        self._resize(lane, shapes.job_shapes(self._spec))
        self._contexts.append(context)
        return lane

    def _resize(self, lane: Lane, wanted: Dict[str, shapes.Shape]) -> None:
        refused = lane.resize(wanted)
        if refused is not None:
            message = f"the engine does not take {refused} of {shapes.dims(wanted[refused])} ({self._said.reason()})"
            raise DeviceError("shape_outside_profile", "load", message, fix="build it again: --rebuild")

    def _sized(self, inputs: Arrays) -> List[IOTensor]:
        """Inputs and outputs at the shapes of these inputs: the job's, but where its load pattern draws sizes."""
        if not self._spec.pattern.sizes:
            return self._tensors
        self._resize(self._lanes[0], {one.name: tuple(inputs[one.name].shape) for one in self._spec.inputs})
        return self._io([one.name for one in self._tensors])

    def _io(self, names: List[str]) -> List[IOTensor]:
        context = self._contexts[0]
        specs = {one.name: one for one in (*self._spec.inputs, *self._spec.outputs)}
        return [self._io_tensor(context, name, specs[name]) for name in names]

    def _io_tensor(self, context: Any, name: str, spec: TensorSpec) -> IOTensor:
        import numpy as np

        engine = self._engine
        shape = tuple(int(dim) for dim in context.get_tensor_shape(name))
        if any(dim < 0 for dim in shape):
            message = f"the size of {name!r} depends on the data ({shapes.dims(shape)}), which is not supported"
            raise DeviceError("unsupported", "load", message, fix="export the model without that output")
        kind = engine.get_tensor_dtype(name)
        if kind.name not in _DTYPES:
            message = f"{name!r} is of the type {kind.name}, which numpy does not have"
            raise DeviceError(
                "unsupported", "load", message, fix="export the model with inputs and outputs of FP32 or FP16"
            )
        dtype = _DTYPES[kind.name]
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        return IOTensor(name, self._is_input(name), shape, dtype, spec.dtype, max(size, 1))

    def _new_slot(self, number: int, tensors: List[IOTensor]) -> Slot:
        try:
            return Slot(self._lanes[number % len(self._lanes)], self._cuda, tensors, self._how)
        except CudaError as error:
            if error.info.code != "out_of_memory" or error.call != "cudaMalloc":  # pinned memory is the host's
                raise
            each = sum(one.size for one in tensors)
            asked = self.device_memory_bytes + each + sum(slot.device_bytes for slot in self.slots.values())
            free = self._cuda.mem_get_info()[0] + asked - each
            raise memory.no_memory("load", f"buffer {number}", self._spec, self._said, free, asked) from None

    def _failed(self, doing: str) -> DeviceError:
        """Something in the run that TensorRT did not do. Kernels that are loaded at their first launch need memory."""
        if memory.exhausted(self._said):
            free, fix = memory.free_bytes(self._cuda), "take a smaller batch, or end what else uses the memory"
            return memory.no_memory("run", doing, self._spec, self._said, free, fix=fix)
        fix = "see the job's log; build the engine again with --rebuild if it comes back"
        return DeviceError("run_failed", "run", f"TensorRT failed {doing} ({self._said.reason()})", fix=fix)

    def _no_context(self) -> DeviceError:
        if not memory.exhausted(self._said):
            message = f"TensorRT made no execution context ({self._said.reason()})"
            return DeviceError("load_failed", "load", message, where=self._spec.model_file, fix="see the job's log")
        what, free = f"stream {len(self._contexts) + 1}", self._cuda.mem_get_info()[0]
        asked = engine_file.device_memory(self._engine)
        return memory.no_memory("load", what, self._spec, self._said, free, asked)
