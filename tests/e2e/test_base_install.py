"""A base install (no framework, no runtime) says what to install, and runs a fleet with artifacts that exist."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.operator import Operator


@pytest.fixture(scope="session")
def base_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with edgebench and what it needs, linked from this one, and nothing else."""
    folder = tmp_path_factory.mktemp("base")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.run([python, "-c", question], capture_output=True, text=True, check=True).stdout.strip())
    for name in _needed("edgebench"):
        for top in _top_level(name):
            if not (site / top.name).exists():
                (site / top.name).symlink_to(top)
    (site / "edgebench.pth").write_text(str(Path(__file__).parents[2]))
    return python


def _needed(name: str) -> set[str]:
    """The distribution names that `name` requires without extras, whatever requires them in turn included."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for line in importlib.metadata.requires(waiting.pop()) or ():
            requirement = Requirement(line)
            wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if wanted and requirement.name not in found:
                found.add(requirement.name)
                waiting.append(requirement.name)
    return found


def _top_level(name: str) -> Iterator[Path]:
    """The files and folders of a distribution that lie in site-packages itself, its metadata among them."""
    distribution = importlib.metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
    for top in sorted(tops):
        yield Path(str(distribution.locate_file(top)))


@pytest.fixture
def bare(operator: Operator, base_python: Path) -> Operator:
    operator.python = str(base_python)
    return operator


def test_it_is_bare(base_python: Path) -> None:
    for module in ("torch", "tensorflow", "onnx", "onnxruntime"):
        done = subprocess.run([base_python, "-c", f"import {module}"], capture_output=True, check=False)
        assert done.returncode == 1


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_a_framework_that_is_not_installed_names_the_extra(bare: Operator, framework: str) -> None:
    answer = bare.run("export", "resnet18", "--framework", framework)
    assert answer.code == 2
    assert f"pip install 'edgebench[{framework}]'" in answer.err
    assert "Traceback" not in answer.err


def test_no_framework_at_all_names_the_extras(bare: Operator) -> None:
    answer = bare.run("deploy", "resnet18")
    assert answer.code == 2
    assert "pip install 'edgebench[pytorch]'" in answer.err
    assert "pip install 'edgebench[tensorflow]'" in answer.err


def test_no_runtime_on_the_device_says_what_probe_found(bare: Operator, tiny_onnx: Path) -> None:
    with_everything = Operator(bare.home)
    assert with_everything.run("export", tiny_onnx).code == 0
    assert with_everything.run("export", tiny_onnx, "--batch", "1").code == 0
    answer = bare.run("deploy", tiny_onnx, "--quick")
    assert answer.code == 1
    assert "no Python there imports onnxruntime" in answer.out
    assert "No module named 'onnxruntime'" in answer.out


def test_an_artifact_that_exists_is_deployed_without_a_framework(bare: Operator, tiny_onnx: Path) -> None:
    """The device has the runtime, the controller has nothing: that is what the base install is for."""
    assert Operator(bare.home).run("export", tiny_onnx, "--batch", "1").code == 0
    (bare.home / "fleet.toml").write_text(f'[devices.local]\npython = "{sys.executable}"\n')
    answer = bare.run("deploy", tiny_onnx, "--quick", "--json")
    assert answer.code in (0, 4), answer.err
    assert answer.json["measurements"][0]["model"] == "tiny"
