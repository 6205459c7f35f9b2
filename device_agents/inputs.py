"""What goes into the model: the golden images, the operator's own data, seeded noise in more than the cache holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Sequence

from device_agents.contract import JobSpec, ParityCheck, TensorSpec
from device_agents.errors import DeviceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_MAX_BYTES = 256 << 20
_MAX_BUFFERS = 512
_FALLBACK_CACHE_BYTES = 64 << 20
_NOISE_VALUES = (1 << 20) + 7  # no power of two, so that no two buffers are alike


@dataclass(frozen=True)
class Golden:
    """Samples and their reference outputs, each with the samples first: (n, ...). The golden ones are seeded, with the
    framework's own FP32 outputs; of the operator's own data `outputs` may be empty: there is no reference then."""

    inputs: Dict[str, Array]
    outputs: Dict[str, Array]

    @property
    def count(self) -> int:
        return len(next(iter(self.inputs.values())))

    def batches(self, spec: JobSpec) -> List[Dict[str, Array]]:
        """The samples in batches of the spec's size and dtypes, beginning again where they do not fill the last."""
        import numpy as np

        calls = -(-self.count // spec.batch)
        order = np.arange(calls * spec.batch).reshape(calls, spec.batch) % self.count
        dtypes = {tensor.name: tensor.dtype for tensor in spec.inputs}
        return [{name: array[rows].astype(dtypes[name]) for name, array in self.inputs.items()} for rows in order]

    def compare(self, batches: Sequence[Mapping[str, Array]], limit: float) -> ParityCheck:
        """The outputs of `batches` against the reference; the worst tensor decides.

        Error = ||y - y'|| / ||y - mean over the samples of y||: a plain relative error has no power on random weights.
        Errors: ValueError without a reference, DeviceError where nothing can be judged.
        """
        import numpy as np

        if not self.outputs:
            raise ValueError("there is no reference to compare with")
        worst = ParityCheck(-1.0, limit, "")
        for name, reference in self.outputs.items():
            wanted = reference.astype(np.float64)
            found = np.concatenate([batch[name] for batch in batches])[: self.count].astype(np.float64)
            scale = float(np.linalg.norm(wanted - wanted.mean(axis=0)))
            if not scale:
                raise DeviceError("artifact_damaged", "parity", f"output {name!r} is the same for every golden sample")
            error = float(np.linalg.norm(wanted - found)) / scale
            if not np.isfinite(error):
                raise DeviceError("not_finite", "parity", f"output {name!r} has values that are not finite numbers")
            if error > worst.error:
                worst = ParityCheck(error, limit, name)
        return worst


def read_golden(path: Path, spec: JobSpec) -> Golden:
    """Read golden.npz: arrays `input:<name>` and `output:<name>`. Errors: DeviceError when it does not fit the spec."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        inputs = {tensor.name: _array(arrays, f"input:{tensor.name}", path) for tensor in spec.inputs}
        outputs = {tensor.name: _array(arrays, f"output:{tensor.name}", path) for tensor in spec.outputs}
    return Golden(inputs, outputs)


def read_data(path: Path, spec: JobSpec) -> Golden:
    """Read the operator's own data: arrays `input:<name>`, and `output:<name>` where there is a reference.

    Errors: DeviceError when a shape or a type is not the model's; edge.data has looked before it was shipped.
    """
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        inputs = {tensor.name: _array(arrays, f"input:{tensor.name}", path) for tensor in spec.inputs}
        keys = {tensor.name: f"output:{tensor.name}" for tensor in spec.outputs}
        outputs = {name: arrays[key] for name, key in keys.items() if key in arrays}
    found = Golden(inputs, outputs)
    for tensor in spec.inputs:
        _check_fit(f"input {tensor.name!r}", inputs[tensor.name], tensor, found.count, path)
        _check_castable(tensor, inputs[tensor.name], path)
    for tensor in spec.outputs:
        if tensor.name in outputs:
            _check_fit(f"output {tensor.name!r}", outputs[tensor.name], tensor, found.count, path)
    return found


def data_buffers(data: Golden, spec: JobSpec, cache_bytes: Optional[int], least: int = 1) -> List[Dict[str, Array]]:
    """The operator's samples in batches, in rotation, repeated until they outgrow the last cache as noise does, each
    in memory of its own. Every batch is there once, as far as 512 buffers or 256 MiB reach; the first alone with
    `hot_input`; `least` as in `noise`."""
    size = sum(_bytes(tensor) for tensor in spec.inputs)
    batches = data.batches(spec)
    if spec.hot_input:
        return [batches[0]] * least
    room = max(2, least, min(_MAX_BUFFERS, _MAX_BYTES // size))
    count = min(room, max(len(batches), buffer_count(False, size, cache_bytes, least)))
    kept = batches[:count]
    again = (kept[index % len(kept)] for index in range(len(kept), count))
    return kept + [{name: array.copy() for name, array in batch.items()} for batch in again]


def noise(spec: JobSpec, cache_bytes: Optional[int], least: int = 1) -> List[Dict[str, Array]]:
    """Seeded noise in the inputs' range, in enough buffers to outgrow the last cache (the same one with `hot_input`);
    `least` is how many slots the load pattern needs (measure.slots_needed)."""
    import numpy as np

    size = sum(_bytes(tensor) for tensor in spec.inputs)
    count = buffer_count(spec.hot_input, size, cache_bytes, least)
    base = np.random.default_rng(spec.seed).random(_NOISE_VALUES, dtype=np.float32)
    stacks = {tensor.name: _stack(tensor, base, 1 if spec.hot_input else count) for tensor in spec.inputs}
    return [{name: stack[index % len(stack)] for name, stack in stacks.items()} for index in range(count)]


def buffer_count(hot_input: bool, size: int, cache_bytes: Optional[int], least: int = 1) -> int:
    """Buffers of `size` bytes that together outgrow the cache; at least 2 and `least`, at most 512 or 256 MiB."""
    if hot_input:
        return least
    wanted = (cache_bytes or _FALLBACK_CACHE_BYTES) // size + 1
    return max(2, least, min(wanted, _MAX_BUFFERS, _MAX_BYTES // size))


def _stack(tensor: TensorSpec, base: Array, count: int) -> Array:
    """`count` buffers of a tensor, buffers first, cut from one ribbon of repeated noise."""
    import numpy as np

    shape = (count, *(int(dim) for dim in tensor.shape))
    scaled = (tensor.low + base.astype(np.float32) * (tensor.high - tensor.low)).astype(tensor.dtype)
    return np.resize(scaled, shape)


def _bytes(tensor: TensorSpec) -> int:
    import numpy as np

    return int(np.dtype(tensor.dtype).itemsize * np.prod([int(dim) for dim in tensor.shape]))


def _array(arrays: Mapping[str, Array], key: str, path: Path) -> Array:
    if key not in arrays:
        raise DeviceError(
            "artifact_damaged", "load", f"no array {key!r}", where=str(path), fix="export the model again"
        )
    return arrays[key]


def _check_fit(what: str, array: Array, tensor: TensorSpec, count: int, path: Path) -> None:
    shape = tuple(int(dim) for dim in tensor.shape[1:])
    if array.shape[1:] != shape or len(array) != count or not count:
        raise _damaged(f"{what} is {array.shape}, wanted are samples of {shape}, as many of each array", path)


def _check_castable(tensor: TensorSpec, array: Array, path: Path) -> None:
    """A cast may round, as FP32 to FP16 does; it may not make numbers of another kind or lose them beyond the range."""
    import numpy as np

    wanted = np.dtype(tensor.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(wanted)
    whole = wanted.kind in "iub"
    if (
        (array.dtype.kind in "iub") != whole
        or (whole and not np.array_equal(cast, array))
        or not np.isfinite(cast).all()
    ):
        raise _damaged(f"input {tensor.name!r} holds {array.dtype} that {wanted} cannot hold", path)


def _damaged(message: str, path: Path) -> DeviceError:
    return DeviceError("artifact_damaged", "load", message, where=str(path), fix="give --inputs again")
