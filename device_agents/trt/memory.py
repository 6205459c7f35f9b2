"""What a build needs of memory, against what is free: it is refused before it starts rather than killed midway.

The estimate is a floor, not a forecast: weights several times over (the file, the parser's copy, the network's, the
engine, its serialized form), scratch memory, and the libraries themselves. What the kernels' trials take beyond it
TensorRT fits to what is free.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, NamedTuple, Optional

from device_agents.contract import JobSpec
from device_agents.cuda import Cuda
from device_agents.errors import DeviceError
from device_agents.trt.api import Said

_MIB = 1 << 20
_HOST_COPIES, _DEVICE_COPIES = 3, 2  # host: 2.9 of 200 MiB of weights, by TensorRT-RTX 1.7 without a GPU
_LIBRARIES = 400 * _MIB  # TensorRT-RTX 1.7 took 180 MiB without a GPU; a CUDA context comes on top
_SCRATCH = 64 * _MIB
_RESERVE = 256 * _MIB
_ASKED = re.compile(r"(?:\((\d+) bytes\)|size was (\d+) bytes|allocate (\d+) bytes|of size (\d+))")
_EXHAUSTED = re.compile(r"out of memory|OutOfMemory|could not be allocated|cudaErrorMemoryAllocation", re.IGNORECASE)


class Need(NamedTuple):
    """Bytes, without the reserve."""

    host: int
    device: int


def estimate(model_bytes: int, workspace_mib: Optional[int]) -> Need:
    """Of a build, from the size of the ONNX file: its weights are already in the precision that is built."""
    scratch = _SCRATCH if workspace_mib is None else workspace_mib * _MIB
    return Need(_LIBRARIES + _HOST_COPIES * model_bytes, _DEVICE_COPIES * model_bytes + scratch)


def refuse_too_little(model: Path, workspace_mib: Optional[int], cuda: Optional[Cuda]) -> None:
    """Errors: DeviceError `out_of_memory` with the figures."""
    size = sum(path.stat().st_size for path in [model, *model.parent.glob(f"{model.name}*data*")])
    need = estimate(size, workspace_mib)
    host = available_host_bytes()
    if cuda is None:
        _refuse(need.host, host, "host memory", model, workspace_mib)
        return
    free, _total = cuda.mem_get_info()
    if cuda.attributes().integrated:  # one memory; CUDA counts what the kernel's file cache holds as used
        shared = max(free, host or 0)
        _refuse(need.host + need.device, shared, "memory, which GPU and host share", model, workspace_mib)
        return
    _refuse(need.device, free, "GPU memory", model, workspace_mib)
    _refuse(need.host, host, "host memory", model, workspace_mib)


def available_host_bytes() -> Optional[int]:
    """MemAvailable; None where the kernel does not tell."""
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None


def exhausted(said: Said) -> bool:
    """Whether what TensorRT said tells of memory."""
    return bool(_EXHAUSTED.search(said.everything()))


def no_memory(
    stage: str, what: str, spec: JobSpec, said: Said, free: Optional[int], asked: int = 0, fix: str = ""
) -> DeviceError:
    """The sentence for memory that ran out in the middle, with the batch that would fit where that can be computed.

    `free` and `asked` are bytes of the GPU's memory; `asked` 0: what TensorRT said that it asked for. `fix` is given
    where what was asked for does not grow with the batch.
    """
    asked = asked or max(_numbers(said), default=0)
    figures = [f"{mib(asked)} asked" if asked else said.reason("TensorRT did not say how much it asked for")]
    figures += [f"{mib(free)} free"] if free is not None else []
    message = f"{what} ran out of memory at batch {largest_batch(spec)} ({', '.join(figures)})"
    fix = fix or _smaller(spec, fitting(spec, asked, free))
    return DeviceError("out_of_memory", stage, message, where=spec.model_file, fix=fix)


def free_bytes(cuda: Optional[Cuda]) -> Optional[int]:
    """Of the GPU; None without one, and where CUDA has failed."""
    if cuda is None:
        return None
    try:
        return cuda.mem_get_info()[0]
    except DeviceError:
        return None


def fitting(spec: JobSpec, asked: int, free: Optional[int]) -> Optional[int]:
    """The batch whose share of `asked` bytes takes nine tenths of what is free; None where it cannot be computed."""
    if not asked or free is None:
        return None
    return min(largest_batch(spec) - 1, free * 9 // 10 * largest_batch(spec) // asked)


def largest_batch(spec: JobSpec) -> int:
    """What memory has to be there for: the largest of the profiles, else the job's."""
    batch = {tensor.shape[0] for tensor in spec.graph_inputs if tensor.shape}  # other dimensions may be free, too
    sizes = [bounds.max for ranges in spec.engine.profiles for name, bounds in ranges.items() if name in batch]
    return max([spec.batch, *sizes])


def mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"


def _numbers(said: Said) -> List[int]:
    found = _ASKED.findall(said.everything())
    return [int(number) for groups in found for number in groups if number]


def _smaller(spec: JobSpec, batch: Optional[int]) -> str:
    what = "bounds with a smaller maximum" if spec.engine.profiles else "a smaller batch"
    if batch is not None and batch >= 1:
        fits = f"bounds up to a batch of {batch}" if spec.engine.profiles else f"a batch of {batch}"
        return f"{fits} would fit by this estimate; or end what else uses the memory"
    if largest_batch(spec) == 1:
        return "end what else uses the memory, or limit workspace_mib"
    return f"take {what}, limit workspace_mib, or end what else uses the memory"


def _refuse(need: int, free: Optional[int], kind: str, model: Path, workspace_mib: Optional[int]) -> None:
    if free is None or need + _RESERVE <= free:
        return
    workspace = "as needed" if workspace_mib is None else f"{workspace_mib} MiB"
    message = (
        f"the build needs about {mib(need)} of {kind} and a reserve of {mib(_RESERVE)}, {mib(free)} is free "
        f"(the model has {mib(model.stat().st_size)}, workspace {workspace})"
    )
    fix = "end what else uses the memory, or take a smaller workspace_mib; on a Jetson, stop the desktop"
    raise DeviceError("out_of_memory", "build", message, where=model.name, fix=fix)
