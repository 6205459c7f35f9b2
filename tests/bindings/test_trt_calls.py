"""The reading of our code itself: a misspelt call cannot escape it. Checked against the real bindings where a class
matters, so these skip where those cannot be had."""

from __future__ import annotations

import pytest
from api_check import Description, wrong
from bindings_of_8_5 import shape_of_8_5
from real_bindings import ANY_PYTHON, WHEELS, describe
from trt_calls import read


@pytest.fixture(scope="module")
def versions() -> dict[str, Description]:
    found = {wheel.version: describe(wheel, ANY_PYTHON) for wheel in WHEELS}
    return {"8.5": shape_of_8_5(found["8.6.1"]), **found}


BUILD = """
def build(trt: Any, data: bytes, path: str) -> bytes:
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(_flags(trt))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(data, path=path):
        for index in range(parser.num_errors):
            parser_error = parser.get_error(index)
            print(parser_error.node, parser_error.desc())
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 20)
    if hasattr(trt.BuilderFlag, "FP16") and not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
        config.set_flag(trt.BuilderFlag.FP16)
    if hasattr(config, "builder_optimization_level"):
        config.builder_optimization_level = 3
    monitored = hasattr(config, "progress_monitor")
    if monitored:
        config.progress_monitor = _monitor(trt)
    plan = builder.build_serialized_network(network, config)
    return bytes(plan)

def _flags(trt: Any) -> int:
    flags = 0
    if hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"):
        known = trt.NetworkDefinitionCreationFlag
        flags |= 1 << int(known.EXPLICIT_BATCH)
    return flags

def _monitor(trt: Any) -> Any:
    class Monitor(trt.IProgressMonitor):
        def phase_start(self, phase_name, parent_phase, num_steps):
            print(phase_name)
    return Monitor()

class Loaded:
    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._context = engine.create_execution_context()

    def memory(self) -> int:
        if hasattr(self._engine, "device_memory_size_v2"):
            return int(self._engine.device_memory_size_v2)
        return int(self._engine.device_memory_size)

    def run(self, stream: int, specs: list) -> bool:
        for tensor in specs:
            pass
        return bool(self._context.execute_async_v3(stream))
"""


def faults(text: str, versions: dict[str, Description]) -> list[str]:
    return wrong(read({"sample.py": text}), versions)


def test_code_that_keeps_the_convention_has_no_fault(versions: dict[str, Description]):
    """A guard counts in its branch, after an early return, through a name, and in a function called only behind it."""
    assert faults(BUILD, versions) == []


@pytest.mark.parametrize(
    ("right", "misspelt", "said"),
    [
        ("config.set_memory_pool_limit(", "config.set_memory_pool_limits(", "IBuilderConfig.set_memory_pool_limits"),
        ("trt.MemoryPoolType.WORKSPACE", "trt.MemoryPoolType.WORKSPACES", "trt.MemoryPoolType.WORKSPACES"),
        ("parser.num_errors", "parser.nb_errors", "OnnxParser.nb_errors"),
        ("self._context.execute_async_v3(", "self._context.execute_async_v4(", "IExecutionContext.execute_async_v4"),
        ('"builder_optimization_level"', '"builder_optimisation_level"', "IBuilderConfig.builder_optimisation_level"),
        ("trt.Builder(logger)", "trt.EngineBuilder(logger)", "trt.EngineBuilder"),
        ("def phase_start(", "def phase_starts(", "trt.IProgressMonitor.phase_starts"),
    ],
)
def test_a_misspelt_name_is_caught(right: str, misspelt: str, said: str, versions: dict[str, Description]):
    """So is a hasattr for what exists nowhere: it would be false for ever."""
    text = BUILD.replace(right, misspelt)
    assert text != BUILD
    assert any(f"{said} exists in no TensorRT" in fault for fault in faults(text, versions))


@pytest.mark.parametrize(
    ("right", "wrong_one", "said"),
    [
        ('if hasattr(config, "builder_optimization_level"):', "if True:", "does not exist in 8.5"),
        ('if hasattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH"):', "if data:", "not exist in 11.4.0.106"),
        (
            'if hasattr(self._engine, "device_memory_size_v2"):',
            "if self:",
            "device_memory_size_v2 does not exist",
        ),
        ("if monitored:", "if path:", "IBuilderConfig.progress_monitor does not exist in 8.6.1"),
        ("trt.OnnxParser(network, logger)", "trt.OnnxParser(network)", "trt.OnnxParser does not take these arguments"),
        ("parser.parse(data, path=path)", "parser.parse(data, file=path)", "OnnxParser.parse does not take these"),
        ("parent_phase, num_steps", "num_steps", "phase_start does not take these arguments"),
        ("range(parser.num_errors)", "range(parser.num_errors())", "OnnxParser.num_errors cannot be called"),
        ("parser_error.desc()", "parser.get_error(0).desc()", "goes through a value without a name"),
        ("plan = builder", "blob = builder", "is held as blob; its name is plan"),
        ("self._context = engine", "self._execution = engine", "is held as execution; its name is context"),
        ("self._engine = engine", "self._net = engine", "is held as self._net; its name is engine"),
        ("def _flags(trt: Any)", "def _flags(module: Any)", "trt is handed over as module"),
        ("for tensor in specs", "for tensor in specs[0].num_io_tensors", ".num_io_tensors is TensorRT's"),
        ('hasattr(config, "progress_monitor")', "hasattr(config, path)", "takes its name from a value"),
        ("known.EXPLICIT_BATCH)", "known.IMPLICIT_BATCH)", "IMPLICIT_BATCH exists in no TensorRT"),
    ],
)
def test_what_breaks_the_convention_is_caught(right: str, wrong_one: str, said: str, versions: dict[str, Description]):
    text = BUILD.replace(right, wrong_one)
    assert text != BUILD
    found = faults(text, versions)
    assert any(said in fault for fault in found), found
