"""What a normal export says: our steps on stderr, our summary on stdout; nothing of a framework's, nothing twice."""

from __future__ import annotations

import re

import pytest

from export.api import installed
from tests.operator import Operator


@pytest.mark.parametrize("framework", ["pytorch", "tensorflow"])
def test_frameworks_say_nothing(operator: Operator, framework: str) -> None:
    for needed in {framework, "pytorch"}:  # the Keras twins take torchvision's weights
        if not installed(needed):
            pytest.skip(f"{needed} is not installed: pip install 'edgebench[{needed}]'")
    answer = operator.run("export", "resnet18", "--weights", "random", "--framework", framework, timeout=180)
    assert answer.code == 0, answer.err
    steps = answer.err.splitlines()
    for line in steps:
        assert re.fullmatch(r"(load|run|export|check|compare) .*resnet18.* \.\.\.", line), line
    told = answer.out.splitlines()
    assert len(set(steps)) == len(steps) > 0
    assert len(set(told)) == len(told)
    assert told[0].startswith(f"resnet18 {framework} fp32 ")
    assert not set(steps) & set(told)
