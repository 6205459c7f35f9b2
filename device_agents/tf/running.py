"""A SavedModel as a function of the job's shapes, and slots of inputs for it."""

from __future__ import annotations

import tempfile
from collections import deque
from pathlib import Path
from typing import Any, Deque, Dict, List, Optional, Sequence

from device_agents.backends import base
from device_agents.backends.base import Arrays, first_line
from device_agents.contract import JobSpec, Network, TensorSpec
from device_agents.errors import DeviceError
from device_agents.formats import savedmodel
from device_agents.tf.settings import Settings

_SIGNATURE = "serving_default"
_MOST_AHEAD = 64  # inferences that nobody waited for: a queue without end would take hours to empty


class Runner(base.Runner):
    """Inputs are laid out as the network wants them when they are bound, outside of what is timed. TensorFlow computes
    when it likes: an inference has ended when its outputs are on the host, or where nothing is transferred, when the
    device says so."""

    def __init__(self, tf: Any, path: Path, told: Network, spec: JobSpec, settings: Settings) -> None:
        self._tf = tf
        self._told = told
        self._spec = spec
        self._wait = settings.wait
        self._loaded = _loaded(tf, path, spec)
        self._function = _function(tf, self._loaded, told, spec, compiled=settings.compiles)
        self._traces = self._count()
        self._compiled: Optional[int] = None
        self._inputs: Dict[int, List[Any]] = {}
        self._found: Dict[int, Sequence[Any]] = {}
        self._ahead: Deque[Sequence[Any]] = deque()

    def bind(self, inputs: Arrays, slot: int) -> None:
        arrays = [_laid_out(inputs[one.name], one, self._told) for one in self._spec.inputs]
        self._inputs[slot] = arrays if self._spec.transfers else [self._tf.identity(one) for one in arrays]

    def enqueue(self, slot: int) -> None:
        self._found[slot] = self._function(*[self._tf.convert_to_tensor(one) for one in self._inputs[slot]])

    def wait(self, slot: int) -> None:
        if not self._wait:
            self._ahead.append(self._found[slot])
            if len(self._ahead) > _MOST_AHEAD:
                self._ahead.popleft()[0].numpy()
            return
        if self._spec.transfers:
            self._found[slot] = [one.numpy() for one in self._found[slot]]
        else:
            self._tf.test.experimental.sync_devices()

    def outputs(self, slot: int) -> Arrays:
        import numpy as np

        arrays = [np.asarray(one) for one in self._found[slot]]
        return {
            name: array.astype(np.float32) if array.dtype.kind == "f" else array
            for name, array in zip(self._told.outputs, arrays)
        }

    def forget(self, slot: int) -> None:
        self._inputs.pop(slot, None)
        self._found.pop(slot, None)

    def compiled(self) -> None:
        """From here on, what is traced is one trace too many."""
        self._compiled = self._traces = self._count()

    def counted(self) -> Dict[str, int]:
        """`retraces`: how often the function was traced again since it was loaded, or compiled; `compilations`: how
        often XLA had compiled it until then, once a trace."""
        traced = {"retraces": self._count() - self._traces}
        return traced if self._compiled is None else {**traced, "compilations": self._compiled}

    def memory(self) -> Dict[str, int]:
        if not self._tf.config.get_visible_devices("GPU"):
            return {}
        return {"engine_device": int(self._tf.config.experimental.get_memory_info("GPU:0")["peak"])}

    def _count(self) -> int:
        return int(self._function.experimental_get_tracing_count())


def _loaded(tf: Any, path: Path, spec: JobSpec) -> Any:
    """Variables are read here: the folder of links may go. Errors: DeviceError."""
    with tempfile.TemporaryDirectory(prefix="edgebench-") as folder:
        savedmodel.assemble([entry.name for entry in spec.files], path.parent.absolute(), Path(folder))
        try:
            return tf.saved_model.load(folder)
        except Exception as error:
            message = f"TensorFlow {tf.__version__} could not load the SavedModel ({first_line(error)})"
            fix = "a SavedModel is read by the TensorFlow that wrote it, and by later ones: update the device's"
            raise DeviceError("load_failed", "load", message, where=path.name, fix=fix) from error


def _function(tf: Any, loaded: Any, told: Network, spec: JobSpec, *, compiled: bool) -> Any:
    """Traced for the one shape of a job, or once for every size that is drawn. XLA compiles at the first call, and
    wants each size traced and compiled by itself."""
    signature = loaded.signatures[_SIGNATURE]

    def run(*tensors: Any) -> List[Any]:
        found = signature(**{f"input_{index}": tensor for index, tensor in enumerate(tensors)})
        return [found[f"output_{index}"] for index in range(len(told.outputs))]

    free = JobSpec.SIDES if spec.pattern.sizes and not compiled else ()
    declared = spec.graph_inputs or spec.inputs
    wanted = [
        tf.TensorSpec(_shape(one, told, was, free), tf.as_dtype(one.dtype)) for one, was in zip(spec.inputs, declared)
    ]
    function = tf.function(run, autograph=False, jit_compile=compiled or None)
    try:
        function.get_concrete_function(*wanted)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        message = f"the SavedModel does not take what the manifest says ({first_line(error)})"
        raise DeviceError("load_failed", "load", message, where=spec.model_file, fix="export it again") from error
    return function


def _shape(one: TensorSpec, told: Network, declared: TensorSpec, free: Sequence[str]) -> List[Optional[int]]:
    """None for what is `free`."""
    shape = [None if was in free else int(dim) for dim, was in zip(one.shape, declared.shape)]
    return [shape[0], *shape[2:], shape[1]] if one.name in told.channels_last else shape


def _laid_out(array: Any, one: TensorSpec, told: Network) -> Any:
    import numpy as np

    return np.ascontiguousarray(np.moveaxis(array, 1, -1) if one.name in told.channels_last else array)
