"""The scripted TensorRT has exactly the names of the real bindings: its table is theirs."""

from __future__ import annotations

import pytest
from scripted_names import CLASSES, FILE, names, written

from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT


def test_the_table_of_names_is_that_of_the_real_bindings():
    assert FILE.read_text() == written(names()), "run python tests/bindings/scripted_names.py"


@pytest.mark.parametrize("column", range(5))
def test_the_module_has_those_names_and_no_others(column: int, scripted_tensorrt: ScriptedTensorRT):
    found = names()
    trt = scripted_tensorrt.module(found["versions"][column])
    assert [name for name, which in found["module"].items() if hasattr(trt, name) != (which[column] == "x")] == []
    for cls in CLASSES:
        members = found["classes"][cls]
        wanted = {name for name, which in members.items() if which[column] == "x"}
        if wanted:
            played = getattr(trt, cls)
            assert {name for name in dir(played) if not name.startswith("_") and hasattr(played, name)} == wanted, cls
    for enum, values in found["enums"].items():
        known = {name: by_version[column] for name, by_version in values.items() if by_version[column] is not None}
        if known:
            assert {name: int(value) for name, value in getattr(trt, enum).__members__.items()} == known
