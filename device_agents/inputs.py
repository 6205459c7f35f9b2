"""What goes into the model: the golden images, the operator's own data, seeded noise in more than the cache holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Mapping, Optional, Sequence, Tuple

from device_agents.contract import JobSpec, ParityCheck, Precision, TensorSpec
from device_agents.errors import DeviceError
from device_agents.formats import detections, differences

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_MAX_BYTES = 256 << 20
_MAX_BUFFERS = 512
_FALLBACK_CACHE_BYTES = 64 << 20
_NOISE_VALUES = (1 << 20) + 7  # no power of two, so that no two buffers are alike


@dataclass(frozen=True)
class Part:
    """What a reference holds of an output that is too large to ship: every `every`-th value of a sample, flattened.
    `shape` is a whole sample's, `spread` those values' over all samples that the export was judged by."""

    every: int
    shape: Tuple[int, ...]
    spread: float

    def of(self, output: Array) -> Array:
        return output.reshape(len(output), -1)[:, :: self.every]


@dataclass(frozen=True)
class Golden:
    """Samples and their reference outputs, each with the samples first: (n, ...). The golden ones are seeded, with the
    framework's own FP32 outputs, or with `parts` of them; of the operator's own data `outputs` may be empty: there is
    no reference then. `precision` is that of the model that is judged by them."""

    inputs: Dict[str, Array]
    outputs: Dict[str, Array]
    precision: Precision = Precision.FP32
    parts: Mapping[str, Part] = field(default_factory=dict)

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

    def settled(self, spec: JobSpec) -> JobSpec:
        """The job with the shapes of outputs that it leaves open, as the reference has them."""
        return replace(spec, outputs=tuple(self._settled(tensor, spec.batch) for tensor in spec.outputs))

    def _settled(self, tensor: TensorSpec, batch: int) -> TensorSpec:
        if tensor.is_fixed or tensor.name not in self.outputs:
            return tensor
        return replace(tensor, shape=(batch, *self._shape(tensor.name)))

    def _shape(self, output: str) -> Tuple[int, ...]:
        """Of a sample."""
        return self.parts[output].shape if output in self.parts else self.outputs[output].shape[1:]

    def compare(
        self,
        batches: Sequence[Mapping[str, Array]],
        limit: float,
        check: str = "relative",
        limits: Optional[Mapping[str, float]] = None,
    ) -> ParityCheck:
        """The outputs of `batches` against the reference, as JobSpec.check and limits say; the worst tensor decides.

        Errors: ValueError without a reference, DeviceError where nothing can be judged.
        """
        import numpy as np

        if not self.outputs:
            raise ValueError("there is no reference to compare with")
        found = {name: np.concatenate([batch[name] for batch in batches])[: self.count] for name in self.outputs}
        errors = self._matched(found) if check == "detection" else self._relative(found)
        own = {name: self._limit(name, limit, check) for name in errors}
        own.update({name: bound for name, bound in (limits or {}).items() if name in errors})
        worst = max(errors, key=lambda name: errors[name] / (own[name] or 1.0))
        return ParityCheck(errors[worst], own[worst], worst)

    def _limit(self, name: str, limit: float, check: str) -> float:
        """Of an output that the job gives none of its own, where `limit` is that of the worst that the gate saw."""
        if name in self.outputs and differences.is_whole(self.outputs[name]):
            return max(limit, differences.WHOLE_LIMITS[self.precision])
        return differences.LIMITS[self.precision] if check == "detection" else limit

    def _relative(self, found: Mapping[str, Array]) -> Dict[str, float]:
        """By the measure of the gate, device_agents.formats.differences."""
        import numpy as np

        errors = {}
        for name, reference in self.outputs.items():
            given, part = found[name], self.parts.get(name)
            if given.shape != (whole := (len(reference), *self._shape(name))):
                message = f"output {name!r} of the golden samples is {given.shape}, the reference {whole}"
                raise DeviceError("artifact_damaged", "parity", message, fix="export the model again")
            if not (np.isfinite(given).all() and np.isfinite(reference).all()):
                raise DeviceError("not_finite", "parity", f"output {name!r} has values that are not finite numbers")
            try:
                judged = given if part is None else part.of(given)
                errors[name] = differences.error(reference, judged, None if part is None else part.spread)
            except ValueError as error:
                raise DeviceError("artifact_damaged", "parity", f"output {name!r}: {error}") from None
        if not any(self._varies(name) for name in self.outputs):
            names = ", ".join(map(repr, self.outputs))
            raise DeviceError("artifact_damaged", "parity", f"output {names} is the same for every golden sample")
        return errors

    def _varies(self, output: str) -> bool:
        if output in self.parts:
            return self.parts[output].spread > 0
        return differences.varies(self.outputs[output])

    def _matched(self, found: Mapping[str, Array]) -> Dict[str, float]:
        try:
            return detections.compare(self.outputs, found).errors
        except ValueError as error:
            code = "not_finite" if "not finite" in str(error) else "artifact_damaged"
            raise DeviceError(code, "parity", str(error), fix="export the model again") from None


def read_golden(path: Path, spec: JobSpec) -> Golden:
    """Read golden.npz: arrays `input:<name>` and `output:<name>`, or parts of outputs (export.data.shipped). Errors:
    DeviceError when it does not fit the spec."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        inputs = {tensor.name: _array(arrays, f"input:{tensor.name}", path) for tensor in spec.inputs}
        outputs = {tensor.name: _array(arrays, f"output:{tensor.name}", path) for tensor in spec.outputs}
        parts = {name: _part(arrays, name, path) for name in outputs if f"part:{name}" in arrays}
    return Golden(inputs, outputs, spec.precision, parts)


def read_data(path: Path, spec: JobSpec) -> Golden:
    """Read the operator's own data: arrays `input:<name>`, and `output:<name>` where there is a reference.

    Errors: DeviceError when a shape or a type is not the model's; edge.planning.data has looked before it was shipped.
    """
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        inputs = {tensor.name: _array(arrays, f"input:{tensor.name}", path) for tensor in spec.inputs}
        keys = {f"output:{tensor.name}": tensor for tensor in spec.outputs}
        outputs = {tensor.name: _as_whole(arrays[key], tensor) for key, tensor in keys.items() if key in arrays}
    found = Golden(inputs, outputs, spec.precision)
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
    size = sum(_bytes(tensor) for tensor in spec.inputs)
    return _noise(spec, buffer_count(spec.hot_input, size, cache_bytes, least))


def noise_of_sizes(spec: JobSpec, cache_bytes: Optional[int]) -> List[Dict[str, Array]]:
    """Noise for every size that the load pattern draws from, the lowest first, as many buffers of each: all together
    outgrow the last cache."""
    each = [spec.at_side(side) for side in spec.pattern.sizes]
    size = sum(_bytes(tensor) for one in each for tensor in one.inputs)
    count = buffer_count(spec.hot_input, size, cache_bytes)
    return [buffer for one in each for buffer in _noise(one, count)]


def _noise(spec: JobSpec, count: int) -> List[Dict[str, Array]]:
    import numpy as np

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
    """`count` buffers of a tensor, buffers first, cut from one ribbon of repeated noise: of numbers in [low, high], or
    of whole ones where the tensor holds those."""
    import numpy as np

    shape = (count, *(int(dim) for dim in tensor.shape))
    low, high = tensor.low, tensor.high
    if np.dtype(tensor.dtype).kind in "iub":
        low, high = math.ceil(low), math.floor(high)
        scaled = low + np.minimum(np.floor(base.astype(np.float64) * (high - low + 1)), high - low)
    else:
        scaled = low + base.astype(np.float32) * (high - low)
    return np.resize(scaled.astype(tensor.dtype), shape)


def _bytes(tensor: TensorSpec) -> int:
    import numpy as np

    return int(np.dtype(tensor.dtype).itemsize * np.prod([int(dim) for dim in tensor.shape]))


def _array(arrays: Mapping[str, Array], key: str, path: Path) -> Array:
    if key not in arrays:
        raise DeviceError(
            "artifact_damaged", "load", f"no array {key!r}", where=str(path), fix="export the model again"
        )
    return arrays[key]


def _part(arrays: Mapping[str, Array], output: str, path: Path) -> Part:
    every, *shape = map(int, arrays[f"part:{output}"])
    return Part(every, tuple(shape), float(_array(arrays, f"spread:{output}", path)))


def _as_whole(array: Array, tensor: TensorSpec) -> Array:
    """The reference of an output of whole numbers in a type of those, which says how it is judged: the operator's side
    ships all as floats."""
    import numpy as np

    if np.dtype(tensor.dtype).kind not in "iub" or differences.is_whole(array):
        return array
    with np.errstate(invalid="ignore", over="ignore"):
        whole = array.astype(tensor.dtype)
    return whole if np.array_equal(whole, array) else array


def _check_fit(what: str, array: Array, tensor: TensorSpec, count: int, path: Path) -> None:
    wanted = tensor.shape[1:]  # what is free in an output, the runtime works out
    fits = len(array.shape) == len(tensor.shape) and all(
        isinstance(dim, str) or size == dim for size, dim in zip(array.shape[1:], wanted)
    )
    if not fits or len(array) != count or not count:
        shape = ", ".join(map(str, wanted))
        raise _damaged(f"{what} is {array.shape}, wanted are samples of ({shape}), as many of each array", path)


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
