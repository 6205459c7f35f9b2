"""libcudart itself, without a GPU: the real libraries of CUDA 11, 12 and 13, and where ours is found."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from device_agents import cuda as module
from device_agents import cudart
from device_agents.cuda import Cuda, CudaError
from device_agents.cudart import LIBRARY_VARIABLE
from device_agents.errors import DeviceError
from tests.stand_ins.cudart import StandIn, compiled

ROOT = Path(__file__).resolve().parents[3]
WHEELS = {
    11: "nvidia-cuda-runtime-cu11==11.8.89",
    12: "nvidia-cuda-runtime-cu12==12.9.79",
    13: "nvidia-cuda-runtime==13.0.96",
}

WITHOUT_GPU = """
import dataclasses, json, sys
sys.path.insert(0, sys.argv[1])
from device_agents.cuda import Cuda, CudaError
from device_agents.cuda_handles import DeviceMemory
cuda, said = Cuda.load(), []
for ask in (cuda.device_count, cuda.stream, cuda.mem_get_info, lambda: cuda.host_memory(1), lambda: cuda.set_device(0)):
    try:
        ask()
    except CudaError as error:
        said.append({"name": error.name, "number": error.number, **dataclasses.asdict(error.info)})
cuda.close()
print(json.dumps({"driver": cuda.driver_version(), "said": said}))
"""


# ---- the real libraries, without a GPU


@pytest.fixture(scope="session", params=sorted(WHEELS))
def wheel(request: pytest.FixtureRequest) -> Path:
    """NVIDIA's own wheel of the CUDA runtime, unpacked: library and headers. Kept between runs."""
    wanted = WHEELS[request.param]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebench-tests"
    folder = cache / f"cudart-{request.param}"
    complete = folder / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs fetch it once
        if complete.exists() and complete.read_text() == wanted:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        argv = [*pip, "--only-binary=:all:", "--dest", str(folder / "wheels"), wanted]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            pytest.skip(f"{wanted} cannot be had here: {last}")
        (archive,) = (folder / "wheels").iterdir()
        shutil.unpack_archive(archive, folder, "zip")
        complete.write_text(wanted)
    return folder


@pytest.fixture
def real(wheel: Path) -> Path:
    (library,) = wheel.glob("nvidia/*/lib/libcudart.so.*")
    return library


def test_every_function_is_in_the_real_library(real: Path) -> None:
    cuda = Cuda(str(real))
    assert cuda.has("cudaGraphInstantiateWithFlags")


def test_arguments_are_those_of_the_header(wheel: Path) -> None:
    (header,) = wheel.glob("nvidia/*/include/cuda_runtime_api.h")
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.DOTALL)
    major = int(re.findall(r"#define CUDART_VERSION\s+(\d+)", text)[0]) // 1000
    for name, types in {**cudart._REQUIRED, **cudart._OPTIONAL}.items():
        if name == "cudaGraphInstantiate" and major >= 12:
            continue  # called where cudaGraphInstantiateWithFlags is missing, before 11.4
        declared = re.search(rf"extern\s[^;]*?\b{name}\(([^;]*)\);", text)
        assert declared, name
        assert [_ctype(one) for one in declared.group(1).split(",") if one.strip() != "void"] == list(types), name


def _ctype(parameter: str) -> object:
    """The ctypes type that carries a parameter as the header declares it."""
    kind = parameter.partition("=")[0].replace("__dv(0)", "")
    if "*" in kind or re.search(r"\bcuda(Stream|Event|Graph|GraphExec)_t\b", kind):
        return ctypes.c_void_p
    for words, ctype in {
        "unsigned long long": ctypes.c_ulonglong,
        "unsigned int": ctypes.c_uint,
        "size_t": ctypes.c_size_t,
        "enum": ctypes.c_int,
        "int": ctypes.c_int,
    }.items():
        if re.search(rf"\b{words}\b", kind):
            return ctype
    raise AssertionError(f"unknown type: {parameter}")


def test_without_a_driver_the_real_library_says_so_in_a_sentence(real: Path) -> None:
    argv = [sys.executable, "-I", "-B", "-c", WITHOUT_GPU, str(ROOT)]
    environment = {**os.environ, LIBRARY_VARIABLE: str(real)}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if answer["driver"]:
        pytest.skip("there is an NVIDIA driver here")
    assert len(answer["said"]) == 5
    for error in answer["said"]:
        assert (error["code"], error["name"]) == ("no_device", "cudaErrorInsufficientDriver")
        assert re.search(
            r"^cuda\w+ failed: there is no NVIDIA driver for /\S+, (CUDA 1[23]\.\d|an unknown)", error["message"]
        )
        assert "install NVIDIA's driver" in error["fix"]


# ---- finding the library


def test_the_named_library_alone_is_tried(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Cuda.load().path == str(stand_in.path)
    monkeypatch.setenv(LIBRARY_VARIABLE, "/nowhere/libcudart.so")
    with pytest.raises(DeviceError, match=r"/nowhere/libcudart.so: cannot open") as caught:
        Cuda.load(stage="build")
    assert (caught.value.info.code, caught.value.info.stage) == ("no_cudart", "build")
    assert LIBRARY_VARIABLE in caught.value.info.fix


def test_a_library_without_our_functions_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIBRARY_VARIABLE, "libc.so.6")
    with pytest.raises(DeviceError, match="cudaDeviceGetAttribute"):
        Cuda.load()


def test_places_are_tried_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, loader, site = tmp_path / "root", tmp_path / "loader", tmp_path / "site-packages"
    toolkit = root / "usr/local/cuda-12.6/targets/x86_64-linux/lib"
    for file in (
        *(loader / "libcudart.so.12", site / "nvidia/cuda_runtime/lib/libcudart.so.11.0"),
        *(site / "nvidia/cu13/lib/libcudart.so.13", root / "usr/lib/libcudart.so.9"),
        *(root / "usr/local/cuda-9.2/lib64/libcudart.so.9.2", root / "usr/local/cuda-13.0/lib64/libcudart.so.13"),
        *(toolkit / "libcudart.so.12", toolkit / "libcudart.so.12.6.77"),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (toolkit / "libcudart.so.12").unlink()
    (toolkit / "libcudart.so.12").symlink_to("libcudart.so.12.6.77")
    (root / "usr/local/cuda").symlink_to("cuda-12.6")
    (root / "usr/local/cuda-12.6/lib64").symlink_to("targets/x86_64-linux/lib")
    monkeypatch.delenv(LIBRARY_VARIABLE, raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{loader}{os.pathsep}/nowhere")
    monkeypatch.setattr(sys, "path", ["", str(site)])
    found = [name.replace(str(tmp_path), "") for name in module.candidates(root)]
    assert found == [
        "/loader/libcudart.so.12",
        *("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0"),
        "/root/usr/local/cuda/lib64/libcudart.so.12.6.77",
        "/root/usr/local/cuda-13.0/lib64/libcudart.so.13",
        "/root/usr/local/cuda-9.2/lib64/libcudart.so.9.2",
        "/root/usr/lib/libcudart.so.9",
        "/site-packages/nvidia/cuda_runtime/lib/libcudart.so.11.0",
        "/site-packages/nvidia/cu13/lib/libcudart.so.13",
    ]


def test_where_there_is_none_the_places_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "libcudart.so.12"
    broken.write_text("not a library")
    monkeypatch.setattr(module, "candidates", lambda: ["libcudart-of-nobody.so", str(broken)])
    with pytest.raises(
        DeviceError, match=r"LD_LIBRARY_PATH.*/usr/local/cuda.*could not be used.*libcudart.so.12"
    ) as no:
        Cuda.load()
    assert no.value.info.code == "no_cudart"
    assert "install the CUDA runtime" in no.value.info.fix
    assert "nobody" not in no.value.info.message


def test_a_library_newer_than_the_driver_is_passed_over(
    stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host may have CUDA 13's toolkit, a driver of CUDA 12, and pip's runtime 12."""
    newer = compiled(tmp_path)
    stand_in.set(driver=12020)
    monkeypatch.setenv("STANDIN_CUDA_RUNTIME", "13000")  # read by the one that is loaded first
    ctypes.CDLL(str(newer)).standin_reset()
    monkeypatch.setattr(module, "candidates", lambda: [str(newer), str(stand_in.path)])
    assert Cuda.load().path == str(stand_in.path)
    monkeypatch.setattr(module, "candidates", lambda: [str(newer)])
    cuda = Cuda.load()
    assert (cuda.runtime_version(), cuda.driver_version()) == (13000, 12020)
    with pytest.raises(CudaError, match=r"the driver knows CUDA 12\.2 at most, .* is CUDA 13\.0") as caught:
        cuda.stream()
    assert caught.value.info.code == "driver_too_old"
    assert "update the driver" in caught.value.info.fix
