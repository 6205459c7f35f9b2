"""The commands that mend a device: packages by JetPack, CUDA and driver.

Names are those of NVIDIA's repositories for each JetPack (docs.nvidia.com/jetson/jetpack/install-setup), of PyPI, of
Jetson AI Lab's index for wheels, and of Ubuntu's for drivers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from edge.agent.finding import Found
from edge.checking.patient import Patient

# docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html; the branch is one that Ubuntu packages.
OLDEST_DRIVER: Mapping[int, tuple[tuple[int, int, int], str]] = {
    11: ((450, 80, 2), "470"),
    12: ((525, 60, 13), "535"),
    13: ((580, 65, 6), "580"),
}

# Folders of pypi.jetson-ai-lab.io by CUDA release. JetPack 7 has none: its wheels are those of Arm servers (sbsa),
# where CUDA 13.0's serve 13.2 as well.
_WHEELS = {
    "11.4": "jp5/cu114", "12.2": "jp6/cu122", "12.6": "jp6/cu126", "13.0": "sbsa/cu130", "13.2": "sbsa/cu130",
}  # fmt: skip
_BUILT_WITH_NUMPY_1 = "jp6/"

# From 1.27 on, PyPI's wheels are of CUDA 13 (their metadata). The extras bring CUDA's libraries and cuDNN.
_ONNXRUNTIME = {13: "'onnxruntime-gpu[cuda,cudnn]'", 12: "'onnxruntime-gpu[cuda,cudnn]<1.27'"}

_APT = "sudo apt update && sudo apt install"
_IN_CONTAINER = "in a container: start it with --runtime nvidia"


def install(patient: Patient, backend: str) -> str:
    if patient.device.container is not None:
        return _another_image(patient, backend)
    if backend == "tensorrt":
        return _install_tensorrt(patient)
    if backend == "trtexec":
        return f"{_APT} libnvinfer-bin"
    if backend == "onnxruntime":
        return install_onnxruntime(patient)
    return f"install {backend} for {patient.any.python}"


def _another_image(patient: Patient, backend: str) -> str:
    """What is installed in a container is gone with it."""
    there = {"jetson": "nvcr.io/nvidia/l4t-tensorrt:TAG", "nvidia_gpu": "nvcr.io/nvidia/tensorrt:TAG"}
    image = there.get(patient.kind, "IMAGE") if backend in ("tensorrt", "trtexec") else "IMAGE"
    key = f'container = {{ image = "{image}" }} for {patient.device.name} in fleet.toml'
    return f"{key}, one that has {backend}; or python = another interpreter of this one"


def _install_tensorrt(patient: Patient) -> str:
    """On a Jetson TensorRT's module belongs to the system's Python and comes by apt alone, on JetPack 5, 6 and 7."""
    found, module = patient.found["tensorrt"], patient.value("tensorrt_module")
    why = str(found.report.version.unknown)
    if "'numpy'" in why:
        return f"{_APT} python3-numpy" if _is_the_systems(found) else _pip(patient, found, "numpy")
    broken = "No module named 'tensorrt'" not in why
    if module is not None:
        return _reinstall(why) if broken else _show_module(patient, found, str(module))
    if patient.kind == "jetson":
        return f"{_APT} python3-libnvinfer python3-numpy"
    newest = newest_cuda(patient)
    if newest < 12:
        return new_driver(patient, 12)
    anew = "--force-reinstall " if broken else ""
    return _pip(patient, found, f"{anew}tensorrt-cu{newest} numpy")


def _reinstall(why: str) -> str:
    """Of a module by apt that is there and does not load, by the library that it misses."""
    library = re.search(r"(lib[\w-]+)\.so(?:\.(\d+))?", why)
    if library is None:
        return f"{_APT} --reinstall python3-libnvinfer"
    name, number = library.groups()
    if number and name.startswith(("libnvinfer", "libnvonnxparser", "libnvparsers")):
        older = f" libnvparsers{number}" if int(number) < 10 else ""
        return f"{_APT} --reinstall libnvinfer{number} libnvinfer-plugin{number} libnvonnxparsers{number}{older}"
    return f"{_APT} nvidia-jetpack, which brings CUDA and cuDNN; {_IN_CONTAINER}"


def _show_module(patient: Patient, found: Found, module: str) -> str:
    """TensorRT's module is there, for another Python than this one, or hidden from it."""
    owner = re.search(r"python3(\.\d+)?", module)
    its = owner.group() if owner else "python3"
    if found.probe.context["virtual_environment"].value == "closed" and f"python{found.version}.".startswith(f"{its}."):
        return f"/usr/bin/{its} -m venv --system-site-packages {PurePosixPath(found.probe.python).parents[1]}"
    return f'python = "/usr/bin/{its}" for {patient.device.name} in fleet.toml: {module} is its'


def install_onnxruntime(patient: Patient) -> str:
    found = patient.found["onnxruntime"]
    if patient.device.container is not None:
        return _another_image(patient, "onnxruntime")
    if not patient.on_gpu:
        return _pip(patient, found, "onnxruntime")
    # Both packages write the same folder: the one without CUDA has to go. An environment's own hides the system's.
    other = "" if not patient.runs("onnxruntime") or _is_the_systems(found) else "onnxruntime"
    if patient.kind == "jetson":
        folder = _WHEELS.get(patient.cuda or "", "PLATFORM/CUDA")
        numpy = " 'numpy<2'" if folder.startswith(_BUILT_WITH_NUMPY_1) else ""
        wheels = f"onnxruntime-gpu{numpy} --index-url https://pypi.jetson-ai-lab.io/{folder}"
        return _pip(patient, found, wheels, without=other)
    newest = newest_cuda(patient)
    if newest < 12:
        return new_driver(patient, 12)
    return _pip(patient, found, _ONNXRUNTIME[newest], without=other)


def install_cudart(patient: Patient) -> str:
    if patient.device.container is not None:
        return _another_image(patient, "the CUDA runtime")
    if patient.kind == "jetson":
        return f"{_APT} cuda-cudart-{(patient.cuda or 'X.Y').replace('.', '-')}; {_IN_CONTAINER}"
    newest = newest_cuda(patient)
    if newest < 12:
        return new_driver(patient, 12)
    return _pip(patient, patient.any, "nvidia-cuda-runtime" + ("" if newest > 12 else "-cu12"))


def _pip(patient: Patient, found: Found, packages: str, without: str = "") -> str:
    """Into an environment of its own where the Python is the system's: that has no pip on many a Jetson, and from
    Ubuntu 24.04 (JetPack 7) on refuses it (PEP 668). It still sees the system's TensorRT."""
    if not _is_the_systems(found):
        remove = f"{found.python} -m pip uninstall -y {without} && " if without else ""
        return f"{remove}{found.python} -m pip install {packages}"
    home, python = f"{found.probe.workdir}/venv", found.probe.python
    make = f"sudo apt install {PurePosixPath(python).name}-venv && {python} -m venv --system-site-packages {home}"
    then = f'python = "{home}/bin/python" for {patient.device.name} in fleet.toml'
    return f"{make} && {home}/bin/pip install {packages}; then {then}"


def _is_the_systems(found: Found) -> bool:
    return found.probe.python.startswith(("/usr/bin/", "/bin/"))


def newest_cuda(patient: Patient) -> int:
    """The newest major CUDA that a server's driver runs, of those whose packages are named here; 0 for none."""
    return max((cuda for cuda, (oldest, _) in OLDEST_DRIVER.items() if patient.driver >= oldest), default=0)


def new_driver(patient: Patient, cuda: int) -> str:
    branch = OLDEST_DRIVER[cuda][1]
    # Boards with NVSwitch start no CUDA program while the fabric manager is of another driver.
    switches = f" nvidia-fabricmanager-{branch}" if "SXM" in str(patient.value("gpu_name")) else ""
    return f"sudo apt install nvidia-driver-{branch}-server{switches} && sudo reboot"
