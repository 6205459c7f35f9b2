"""The commands that mend a device: packages by JetPack, CUDA and driver.

Names are those of NVIDIA's repositories for each JetPack (docs.nvidia.com/jetson/jetpack/install-setup), of PyPI, of
Jetson AI Lab's index for wheels, and of Ubuntu's for drivers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from edge.patient import Patient
from edge.session import Found

# docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html; the branch is one that Ubuntu packages.
OLDEST_DRIVER: Mapping[int, tuple[tuple[int, int, int], str]] = {
    11: ((450, 80, 2), "470-server"),
    12: ((525, 60, 13), "535-server"),
    13: ((580, 65, 6), "580-server"),
}

# Folders of pypi.jetson-ai-lab.io by CUDA release. JetPack 7 has none: its wheels are those of Arm servers (sbsa).
_WHEELS = {
    "11.4": "jp5/cu114", "12.2": "jp6/cu122", "12.6": "jp6/cu126", "13.0": "sbsa/cu130", "13.2": "sbsa/cu130",
}  # fmt: skip


def install(patient: Patient, backend: str) -> str:
    if backend == "tensorrt":
        return _install_tensorrt_jetson(patient) if patient.kind == "jetson" else _install_tensorrt(patient)
    if backend == "trtexec":
        return "sudo apt install libnvinfer-bin"
    if backend == "onnxruntime":
        return install_onnxruntime(patient)
    return f"install {backend} for {patient.any.python}"


def _install_tensorrt_jetson(patient: Patient) -> str:
    """TensorRT's module belongs to the system's Python and comes by apt alone, on JetPack 5, 6 and 7 alike."""
    found, device = patient.found["tensorrt"], patient.device
    if patient.value("tensorrt_module") is None:
        return "sudo apt update && sudo apt install python3-libnvinfer (all of JetPack: nvidia-jetpack)"
    if "cannot open shared object" in str(found.report.version.unknown):
        return "sudo apt update && sudo apt install --reinstall tensorrt"
    if str(found.probe.context.get("virtual_environment")) == "closed":
        return f"python3 -m venv --system-site-packages {_environment(found)}"
    return f'python = "/usr/bin/python3" for {device.name} in fleet.toml: {patient.value("tensorrt_module")} is its'


def _environment(found: Found) -> str:
    """The folder of a virtual environment, from the path of its interpreter."""
    return re.sub(r"/bin/python[\d.]*$", "", found.python)


def _install_tensorrt(patient: Patient) -> str:
    newest = max((cuda for cuda, (oldest, _) in OLDEST_DRIVER.items() if patient.driver >= oldest), default=None)
    if newest is None or newest < 12:
        return new_driver(12)
    return f"{patient.found['tensorrt'].python} -m pip install tensorrt-cu{newest}"


def install_onnxruntime(patient: Patient) -> str:
    python = patient.found["onnxruntime"].python
    if patient.kind == "cpu":
        return f"{python} -m pip install onnxruntime"
    if patient.kind == "nvidia_gpu":
        return f"{python} -m pip install onnxruntime-gpu"
    index = _WHEELS.get(patient.cuda or "", "PLATFORM/CUDA")
    return f"{python} -m pip install onnxruntime-gpu --index-url https://pypi.jetson-ai-lab.io/{index}"


def install_cudart(patient: Patient) -> str:
    if patient.kind == "jetson":
        return f"sudo apt update && sudo apt install cuda-cudart-{(patient.cuda or 'X.Y').replace('.', '-')}"
    suffix = "" if patient.driver >= OLDEST_DRIVER[13][0] else "-cu12"
    return f"{patient.any.python} -m pip install nvidia-cuda-runtime{suffix}"


def new_driver(cuda: int) -> str:
    return f"sudo apt install nvidia-driver-{OLDEST_DRIVER[cuda][1]}, and reboot"
