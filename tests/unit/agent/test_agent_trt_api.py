"""TensorRT's module as a device has it, which may lack what it does not bring."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]


def test_a_module_whose_python_has_no_numpy_does_not_run(tmp_path: Path) -> None:
    """NVIDIA's packages do not depend on it; found when it is looked for, `auto` and the doctor go another way."""
    (tmp_path / "tensorrt.py").write_text("Builder = None\n__version__ = '10.3.0'\n")
    script = f"import sys; sys.path[:0] = {[str(REPOSITORY), str(tmp_path)]}; from device_agents.trt import api; "
    bare = [sys.executable, "-I", "-S", "-c", f"{script}api.import_runtime('tensorrt')"]
    done = subprocess.run(bare, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode
    assert done.stderr.rstrip().endswith("ModuleNotFoundError: No module named 'numpy'")
