"""What may be imported where: nothing heavy at module level, nothing at all on a device that is bare or old.

A device has its system's Python, 3.8 on JetPack 5, and the controller starts as fast as its imports.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("edge", "export", "profiles", "device_agents")
HEAVY = {
    *("torch", "torchvision", "tensorflow", "keras", "jax", "safetensors", "h5py", "scipy", "pandas", "pyarrow"),
    *("onnx", "onnx_ir", "onnxruntime", "onnxscript", "modelopt", "tf2onnx", "tensorrt", "tensorrt_rtx"),
    *("paramiko", "dask", "distributed", "duckdb", "plotly", "starlette", "uvicorn", "selenium"),
}

REFUSE_HEAVY = f"""
import importlib.abc, sys
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError(f"{{name}} is imported at module level; import it where it is used")
sys.meta_path.insert(0, Refuse())
"""

IMPORT_ALL = """
import importlib, sys, traceback
sys.path.insert(0, sys.argv[1])
broken = 0
for name in sys.argv[2:]:
    try:
        importlib.import_module(name)
    except BaseException:
        broken += 1
        print(name, traceback.format_exc(limit=-1), sep=": ")
sys.exit(broken > 0)
"""


def files_of(*packages: str) -> list[Path]:
    return sorted(file for package in packages for file in (ROOT / package).rglob("*.py"))


def modules_of(*packages: str) -> list[str]:
    """Every module by name, but for __main__, which runs on import."""
    parts = (file.relative_to(ROOT).with_suffix("").parts for file in files_of(*packages))
    return [".".join(p[:-1] if p[-1] == "__init__" else p) for p in parts if p[-1] != "__main__"]


def import_all(python: str, options: list[str], root: Path, modules: list[str], *, before: str = "") -> None:
    argv = [python, *options, "-B", "-c", before + IMPORT_ALL, str(root), *modules]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def python38() -> str | None:
    here = sorted(Path.home().glob(".pyenv/versions/3.8*/bin/python"))
    return str(here[-1]) if here else shutil.which("python3.8")


@pytest.fixture
def agent_alone(tmp_path: Path) -> Path:
    """device_agents by itself, as a device has it: no other package of ours beside it."""
    shutil.copytree(ROOT / "device_agents", tmp_path / "device_agents", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_imports_without_the_heavy_libraries(package: str) -> None:
    import_all(sys.executable, ["-I"], ROOT, modules_of(package), before=REFUSE_HEAVY)


def test_the_refusal_is_real() -> None:
    with pytest.raises(AssertionError, match="imported at module level"):
        import_all(sys.executable, ["-I"], ROOT, ["onnxruntime"], before=REFUSE_HEAVY)


def test_the_agent_imports_with_the_standard_library_alone(agent_alone: Path) -> None:
    import_all(sys.executable, ["-I", "-S"], agent_alone, modules_of("device_agents"))


def test_the_agent_imports_under_python_38(agent_alone: Path) -> None:
    python = python38()
    if python is None:
        pytest.skip("no CPython 3.8 here: neither ~/.pyenv/versions/3.8* nor python3.8")
    import_all(python, ["-I", "-S"], agent_alone, modules_of("device_agents"))


@pytest.mark.parametrize("file", files_of("device_agents"), ids=lambda file: str(file.relative_to(ROOT)))
def test_the_agent_is_written_in_python_38(file: Path) -> None:
    ast.parse(file.read_text(encoding="utf-8"), filename=str(file), feature_version=(3, 8))
