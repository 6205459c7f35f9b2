"""The backend over APIs shaped like 8.5, 8.6, 10.3 and 11: a bench of trt_bench for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trt_bench import SHAPES, Bench

from tests.stand_ins.tensorrt_fixture import ScriptedTensorRT


@pytest.fixture(params=SHAPES)
def bench(request: pytest.FixtureRequest, scripted_tensorrt: ScriptedTensorRT, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(scripted_tensorrt, request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture
def newest(scripted_tensorrt: ScriptedTensorRT, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(scripted_tensorrt, "10.3", tmp_path)
    yield made
    made.close()
