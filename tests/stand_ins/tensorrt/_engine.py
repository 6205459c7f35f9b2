"""Loading a serialized engine, and what the engine tells of itself."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from . import _cuda, _foundation, _plan
from ._builder import dla_cores
from ._context import IExecutionContext
from ._foundation import DataType, Dims, IHostMemory, ILogger, complain, must_be, nptype, volume
from ._inspector import EngineInspector
from ._names import ENUMS, RELEASE, VERSION, Played
from ._network import dtype_of
from ._onnx import Tensor
from ._parser import MODEL


class Runtime(Played):
    def __init__(self, logger: ILogger) -> None:
        self._logger = must_be(logger, ILogger, "Runtime")
        _cuda.initialise(logger, "Runtime")
        self._host_code, self._dla, self._threads = False, -1, 1

    logger = property(lambda self: self._logger)
    num_DLA_cores = property(lambda self: dla_cores())
    DLA_core = property(lambda self: self._dla, lambda self, core: setattr(self, "_dla", int(core)))
    max_threads = property(lambda self: self._threads, lambda self, n: setattr(self, "_threads", int(n)))
    engine_host_code_allowed = property(
        lambda self: self._host_code, lambda self, allowed: setattr(self, "_host_code", bool(allowed))
    )

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Optional[ICudaEngine]:
        """None, and the reason in the log, for what cannot run here."""
        data = bytes(serialized_engine)
        found = _plan.unpack(_plan.PLAN, data)
        if found is None:
            text = "Serialization assertion magicTagRead == kMAGIC_TAG failed.Magic tag does not match"
            complain(self._logger, 1, text, "Serialization")
            return None
        about, files = found
        trouble = self._trouble(about)
        if trouble:
            complain(self._logger, 6, trouble)
            return None
        if about["plugins"] and not _foundation.plugins_are_there:
            complain(self._logger, 4, f"getPluginCreator could not find plugin: {about['plugins'][0]} version: 1")
            return None
        memory = _cuda.DeviceMemory.of(about["weights"], self._logger)
        if memory is None:
            complain(self._logger, 2, "no further information")
            return None
        return ICudaEngine(about, files, data, memory, self._logger)

    def _trouble(self, about: Dict[str, Any]) -> str:
        if about["release"] != RELEASE:
            same_major = about["release"].split(".")[0] == RELEASE.split(".")[0]
            if not (about["version_compatible"] and same_major):
                return (
                    "The engine plan file is not compatible with this version of TensorRT, expecting library version "
                    f"{RELEASE} got {about['release']}, please rebuild."
                )
        if about["version_compatible"] and not self._host_code:
            return "The engine holds a lean runtime, and engine_host_code_allowed is false"
        (name, here), (built_on, built_for) = _cuda.gpu(), about["gpu"]
        ampere = about["hardware"] == "AMPERE_PLUS" and min(_number(here), _number(built_for)) >= (8, 0)
        if here != built_for and not ampere:
            return (
                "The engine plan file is generated on an incompatible device, expecting compute "
                f"{here} got compute {built_for}, please rebuild."
            )
        if name != built_on:
            text = "Using an engine plan file across different models of devices is not recommended and is likely to "
            self._logger.log(ILogger.WARNING, text + "affect performance or even cause errors.")
        return ""


def _number(capability: str) -> Tuple[int, ...]:
    return tuple(map(int, capability.split(".")))


class ICudaEngine(Played):
    def __init__(
        self, about: Dict[str, Any], files: Dict[str, bytes], data: bytes, memory: _cuda.DeviceMemory, logger: ILogger
    ) -> None:
        self._about, self._files, self._data, self._memory, self._logger = about, files, data, memory, logger
        self._inputs = [Tensor(name, dtype, tuple(dims)) for name, dtype, dims in about["inputs"]]
        self._outputs = [Tensor(name, dtype, tuple(dims)) for name, dtype, dims in about["outputs"]]
        self._contexts: weakref.WeakSet[IExecutionContext] = weakref.WeakSet()
        self._session: Any = None

    name = property(lambda self: self._about["name"])
    num_io_tensors = property(lambda self: len(self._inputs) + len(self._outputs))
    num_layers = property(lambda self: len(self._about["layers"]))
    num_optimization_profiles = property(lambda self: max(1, len(self._about["profiles"])))
    num_aux_streams = property(lambda self: 0)
    refittable = property(lambda self: False)
    has_implicit_batch_dimension = property(lambda self: False)
    device_memory_size = property(lambda self: self._needs(None))
    device_memory_size_v2 = property(lambda self: self._needs(None))
    profiling_verbosity = property(lambda self: getattr(ENUMS["ProfilingVerbosity"], self._about["verbosity"]))
    hardware_compatibility_level = property(
        lambda self: getattr(ENUMS["HardwareCompatibilityLevel"], self._about["hardware"])
    )

    def get_device_memory_size_for_profile(self, profile_index: int) -> int:
        return self._needs(profile_index)

    get_device_memory_size_for_profile_v2 = get_device_memory_size_for_profile

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._data)

    def create_engine_inspector(self) -> EngineInspector:
        return EngineInspector(self)

    def create_execution_context(self, strategy: Any = None) -> Optional[IExecutionContext]:
        """None, and the reason in the log, where the device has not the memory that an execution needs."""
        memory = _cuda.DeviceMemory.of(self._needs(None), self._logger)
        if memory is None:
            complain(self._logger, 2, "no further information")
            return None
        return IExecutionContext(self, memory)

    def get_tensor_name(self, index: int) -> str:
        if not 0 <= index < self.num_io_tensors:
            complain(self._logger, 3, f"Parameter check failed, condition: 0 <= index && index < {self.num_io_tensors}")
            return ""
        return [*self._inputs, *self._outputs][index].name

    def get_tensor_mode(self, name: str) -> Any:
        modes = ENUMS["TensorIOMode"]
        if name in {tensor.name for tensor in self._inputs}:
            return modes.INPUT
        return modes.OUTPUT if self._find(name) else modes.NONE

    def get_tensor_dtype(self, name: str) -> Any:
        tensor = self._find(name)
        return DataType.FLOAT if tensor is None else dtype_of(tensor.dtype)

    def get_tensor_shape(self, name: str) -> Dims:
        """-1 where a dimension is free."""
        tensor = self._find(name)
        return Dims() if tensor is None else Dims(_fixed(dim) for dim in tensor.dims)

    def get_tensor_location(self, name: str) -> Any:
        return ENUMS["TensorLocation"].DEVICE

    def get_tensor_format(self, name: str, profile_index: int = 0) -> Any:
        return ENUMS["TensorFormat"].LINEAR

    def get_tensor_bytes_per_component(self, name: str, profile_index: int = 0) -> int:
        return int(self.get_tensor_dtype(name).itemsize)

    def get_tensor_components_per_element(self, name: str, profile_index: int = 0) -> int:
        return 1

    def get_tensor_vectorized_dim(self, name: str, profile_index: int = 0) -> int:
        return -1

    def is_shape_inference_io(self, name: str) -> bool:
        return False

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> List[Dims]:
        """min, opt, max of an input; nothing for an output or a profile that is not there."""
        tensor = self._find(name)
        if tensor not in self._inputs or not 0 <= profile_index < self.num_optimization_profiles:
            complain(self._logger, 3, f"Parameter check failed: no input {name} or no profile {profile_index}")
            return []
        return [Dims(shape) for shape in self._range(tensor, profile_index)]

    def _range(self, tensor: Optional[Tensor], profile: int) -> List[List[int]]:
        """The least, usual and greatest shape of an input."""
        shapes = self._about["profiles"][profile] if self._about["profiles"] else {}
        if tensor is None:
            return []
        return shapes.get(tensor.name) or [[_fixed(dim) for dim in tensor.dims]] * 3  # type: ignore[no-any-return]

    def _find(self, name: str) -> Optional[Tensor]:
        found = next((tensor for tensor in (*self._inputs, *self._outputs) if tensor.name == name), None)
        if found is None:
            complain(
                self._logger, 3, f"Given invalid tensor name: {name}. Get valid tensor names with getIOTensorName()"
            )
        return found

    def _needs(self, profile: Optional[int]) -> int:
        """Bytes of an execution: four times the inputs at the largest shapes."""
        profiles = range(self.num_optimization_profiles) if profile is None else [profile]
        return max(sum(volume(self._range(tensor, one)[2]) for tensor in self._inputs) * 16 + 256 for one in profiles)

    def _run(self, inputs: Dict[str, Any]) -> List[Any]:
        """Outputs in order, by onnxruntime; 32-bit integers become those of the model."""
        if self._session is None:
            self._session = _session(self._files)
        wanted = {entry.name: entry.type for entry in self._session.get_inputs()}
        types = {"tensor(int64)": "int64", "tensor(double)": "float64"}
        given = {name: array.astype(types.get(wanted[name], array.dtype)) for name, array in inputs.items()}
        return list(self._session.run([tensor.name for tensor in self._outputs], given))

    def _numpy(self, tensor: Tensor) -> Any:
        return nptype(dtype_of(tensor.dtype))


def _fixed(dim: Any) -> int:
    return dim if isinstance(dim, int) and dim > 0 else -1


def _session(files: Dict[str, bytes]) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        return onnxruntime.InferenceSession(str(Path(folder) / MODEL), options, providers=["CPUExecutionProvider"])


if VERSION < (9,):
    ICudaEngine.create_execution_context = (  # type: ignore[method-assign]
        lambda self, _create=ICudaEngine.create_execution_context: _create(self)
    )
