"""What goes into the model: the golden images, and seeded noise in more buffers than the cache holds."""

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
    """Seeded samples and the framework's FP32 outputs, each with the samples first: (n, ...) float32."""

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
        """
        import numpy as np

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


def noise(spec: JobSpec, cache_bytes: Optional[int]) -> List[Dict[str, Array]]:
    """Seeded noise in the inputs' range, in enough buffers to outgrow the last cache (one with `hot_input`)."""
    import numpy as np

    size = sum(_bytes(tensor) for tensor in spec.inputs)
    count = buffer_count(spec.hot_input, size, cache_bytes)
    base = np.random.default_rng(spec.seed).random(_NOISE_VALUES, dtype=np.float32)
    stacks = {tensor.name: _stack(tensor, base, count) for tensor in spec.inputs}
    return [{name: stack[index] for name, stack in stacks.items()} for index in range(count)]


def buffer_count(hot_input: bool, size: int, cache_bytes: Optional[int]) -> int:
    """Buffers of `size` bytes that together outgrow the cache; at least 2, at most 512 or 256 MiB."""
    if hot_input:
        return 1
    wanted = (cache_bytes or _FALLBACK_CACHE_BYTES) // size + 1
    return max(2, min(wanted, _MAX_BUFFERS, _MAX_BYTES // size))


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
