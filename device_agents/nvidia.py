"""What a device with an NVIDIA GPU has installed: file looks, no library is loaded where a file tells enough."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import List

from device_agents import cuda
from device_agents.contract import Reading
from device_agents.cudart import candidates
from device_agents.errors import DeviceError
from device_agents.formats import nvidia_smi
from device_agents.system import Readings, System, known

TRTEXEC = "/usr/src/tensorrt/bin/trtexec"
"""Where NVIDIA's packages put it: not on PATH."""

_MODULES = "usr/lib/python3*/dist-packages/tensorrt"
_APPS = ["nvidia-smi", "--query-compute-apps=pid,process_name,used_memory", "--format=csv,noheader,nounits"]


def installed(system: System) -> Readings:
    """libcudart by version, trtexec, and TensorRT's module of the system's Pythons."""
    return {
        "cudart": cudart(system),
        "trtexec": known(TRTEXEC if system.exists(TRTEXEC) else None, TRTEXEC, "not there"),
        "tensorrt_module": tensorrt_module(system),
    }


def cudart(system: System) -> Reading:
    """Version of the first libcudart that is found, such as 12.6.77; its source is where it lies."""
    for candidate in candidates(system.root):
        path = Path(candidate)
        if path.is_absolute() and (not system.recorded or system.root in path.parents) and path.exists():
            version = re.search(r"\.so\.([\d.]+)$", os.path.realpath(candidate))
            return Reading(version.group(1) if version else "unnumbered", _as_seen(path, system.root))
    if not system.recorded:  # the loader's cache may know a folder that nobody else does
        try:
            found = cuda.Cuda.load()
            number = found.runtime_version()
            return Reading(f"{number // 1000}.{number % 1000 // 10}", found.path)
        except DeviceError as error:
            return Reading(unknown=error.info.message)
    return Reading(unknown="no CUDA runtime (libcudart) in LD_LIBRARY_PATH, /usr/local/cuda*, /usr/lib, /lib")


def tensorrt_module(system: System) -> Reading:
    """The folder of TensorRT's Python module as NVIDIA's Debian packages install it, for the system's Python alone."""
    found: List[Path] = sorted(system.root.glob(_MODULES))
    return known(_as_seen(found[-1], system.root) if found else None, f"/{_MODULES}", "not there")


def processes(system: System) -> Reading:
    """What computes on the GPU that is measured, as `pid name memory`, or `none`. In a container the names may be
    another's."""
    return system.command([*_APPS, f"--id={system.gpu or 0}"], nvidia_smi.parse_processes)


def _as_seen(path: Path, root: Path) -> str:
    return f"/{path.relative_to(root)}"
