"""The real Python bindings of TensorRT, importable on a machine without TensorRT, for what they declare alone.

NVIDIA's binding wheels are on PyPI (about 1 MB each) without the libraries that they link. Those are made here, empty:
one exported function for each symbol that the binding wants of them. Importing then works and every class, method and
enum member is there to be looked at; calling one would crash. Kept in ~/.cache/edgebench-tests/bindings between runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Description = dict[str, Any]
"""What describe_bindings.py prints."""

_DESCRIBE = Path(__file__).with_name("describe_bindings.py")
_WANTED = re.compile(r"(create|get|init)\w+|_ZN\d+nv\w+")


@dataclass(frozen=True)
class Wheel:
    """A release of the bindings; `module` is the package inside the wheel. `pythons` are those it is made for."""

    version: str
    project: str
    module: str = "tensorrt_bindings"
    pythons: tuple[str, ...] = ("3.8", "3.10", "3.11", "3.12")


WHEELS = (
    Wheel("8.6.1", "tensorrt-bindings", pythons=("3.8", "3.10", "3.11")),
    Wheel("10.3.0", "tensorrt-cu12-bindings"),
    Wheel("10.16.1.11", "tensorrt-cu12-bindings"),
    Wheel("11.4.0.106", "tensorrt-cu13-bindings"),
    Wheel("1.7.1.116", "tensorrt-rtx-cu13-bindings", "tensorrt_rtx_bindings"),
)

_RUNNING = "{}.{}".format(*sys.version_info)
ANY_PYTHON = _RUNNING if all(_RUNNING in wheel.pythons for wheel in WHEELS) else "3.10"
"""For what does not depend on the Python: the running one, if every release has bindings for it."""

CASES = [(wheel, python) for wheel in WHEELS for python in wheel.pythons]


def describe(wheel: Wheel, python: str) -> Description:
    """What that release declares, as its interpreter sees it. Skips where wheel, interpreter or compiler is missing."""
    interpreter = _interpreter(python)
    folder = _importable(wheel, python)
    kept = folder / "description.json"
    script = _DESCRIBE.read_text()
    if kept.exists():
        found: Description = json.loads(kept.read_text())
        if found["script"] == script:
            return found["described"]  # type: ignore[no-any-return]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder / "libraries")}
    argv = [interpreter, "-I", str(_DESCRIBE), str(folder), wheel.module]
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, f"{wheel} does not import under Python {python}: {done.stderr}"
    described: Description = json.loads(done.stdout)
    writing = folder / f"description.{os.getpid()}"
    writing.write_text(json.dumps({"script": script, "described": described}))
    writing.replace(kept)
    return described


def _importable(wheel: Wheel, python: str) -> Path:
    """A folder with the package and `libraries`; made once, by one test run at a time."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgebench-tests" / "bindings"
    folder = base / f"{wheel.project}-{wheel.version}-py{python}"
    base.mkdir(parents=True, exist_ok=True)
    with (base / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "complete").exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _fetch(wheel, python, folder)
        _make_libraries(next((folder / wheel.module).glob("*.so")), folder / "libraries")
        (folder / "complete").touch()
    return folder


def _fetch(wheel: Wheel, python: str, folder: Path) -> None:
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder]
    what = f"{wheel.project}=={wheel.version}"
    _run(f"{what} for Python {python} cannot be had", [*argv, "--python-version", python, what])
    for archive in folder.glob("*.whl"):
        with zipfile.ZipFile(archive) as content:
            content.extractall(folder)
        archive.unlink()


def _make_libraries(binding: Path, folder: Path) -> None:
    """Every NVIDIA library that `binding` needs, each with every function that it wants of any of them."""
    folder.mkdir()
    dynamic = _run("readelf is missing: install binutils", ["readelf", "-d", binding])
    symbols = _run("nm is missing: install binutils", ["nm", "-D", "--undefined-only", binding])
    functions = sorted({name for name in symbols.split() if _WANTED.fullmatch(name)})
    source = folder / "empty.c"
    source.write_text("".join(f"void {name}(void) {{}}\n" for name in functions))
    for name in re.findall(r"\(NEEDED\).*\[(lib(?:nv|tensorrt)[^\]]*)\]", dynamic):
        argv = ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{name}", "-o", folder / name, source]
        _run("no C compiler (gcc) to make the libraries with", argv)


def _run(else_skip: str, argv: list[Any]) -> str:
    try:
        done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=300, check=False)
    except FileNotFoundError:
        pytest.skip(else_skip)
    if done.returncode:
        pytest.skip(f"{else_skip}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return done.stdout


def _interpreter(version: str) -> str:
    """The running one, pyenv's, or the one on PATH."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(home.glob(f"versions/{version}.*/bin/python"))
    on_path = shutil.which(f"python{version}")
    if not found and on_path is None:
        pytest.skip(f"no CPython {version} here, neither in {home} nor as python{version} on PATH")
    return str(found[-1] if found else on_path)
