"""Every part of TensorRT's API that our code touches, against the real bindings of the versions that a fleet has.

TensorRT 8.5 is on no index: bindings_of_8_5.py says what stands for it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from api_check import Description, lookup, wrong
from bindings_of_8_5 import shape_of_8_5
from real_bindings import ANY_PYTHON, CASES, WHEELS, Wheel, describe
from trt_calls import read
from trt_members import HANDLES, Member, Reading

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def versions() -> dict[str, Description]:
    """Every release under one Python; a release that cannot be had skips."""
    found = {
        f"{'TensorRT-RTX' if 'rtx' in w.module else 'TensorRT'} {w.version}": describe(w, ANY_PYTHON) for w in WHEELS
    }
    return {"the shape of TensorRT 8.5": shape_of_8_5(found["TensorRT 8.6.1"]), **found}


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    files = sorted([*ROOT.glob("device_agents/trt/**/*.py"), *ROOT.glob("device_agents/backends/tensorrt*.py")])
    return {str(path.relative_to(ROOT)): path.read_text() for path in files}


@pytest.fixture(scope="module")
def ours(sources: dict[str, str]) -> Reading:
    return read(sources)


@pytest.mark.parametrize(("wheel", "python"), CASES, ids=[f"{w.project}-{w.version}-py{p}" for w, p in CASES])
def test_what_we_use_is_in_the_real_bindings(
    wheel: Wheel, python: str, versions: dict[str, Description], ours: Reading
):
    """In this release under this Python; what is guarded by hasattr must be somewhere among all releases."""
    described = describe(wheel, python)
    assert described["version"] == wheel.version
    assert described["python"].startswith(f"{python}.")
    assert wrong(ours, {**versions, f"{wheel.project} {wheel.version}, Python {python}": described}) == []


def test_our_code_uses_tensorrt_as_much_as_it_must(ours: Reading):
    """The reading is no empty one: it finds what no TensorRT backend can do without."""
    used = {str(use.member) for use in ours.uses}
    assert used >= {
        "trt.Builder",
        "trt.OnnxParser",
        "trt.Runtime",
        "trt.BuilderFlag.FP16",
        "OnnxParser.parse",
        "OnnxParser.get_error",
        "Builder.build_serialized_network",
        "IOptimizationProfile.set_shape",
        "Runtime.deserialize_cuda_engine",
        "IExecutionContext.set_tensor_address",
        "IExecutionContext.execute_async_v3",
    }


def test_no_name_that_we_use_could_be_misspelt(
    sources: dict[str, str], versions: dict[str, Description], ours: Reading
):
    """In the text of our own code every one of them, misspelt, is caught on its line."""
    lines = {file: text.split("\n") for file, text in sources.items()}
    misspelt = set()
    for use in ours.uses:
        file, _, number = use.where.rpartition(":")
        name = use.member.path[-1]
        changed = re.sub(rf"\b{name}\b", f"{name}_x", lines[file][int(number) - 1])
        if changed != lines[file][int(number) - 1] and not name.startswith("__"):  # every object has those
            lines[file][int(number) - 1] = changed
            misspelt.add((use.where, name))
    assert {name for _, name in misspelt} >= {use.member.path[-1] for use in ours.uses if use.kind == "call"} - {
        "__init__"
    }
    faults = wrong(read({file: "\n".join(text) for file, text in lines.items()}), versions)
    caught = {fault.split(": ")[0] + " " + word.rpartition(".")[2] for fault in faults for word in fault.split()}
    assert [(where, name) for where, name in sorted(misspelt) if f"{where} {name}_x" not in caught] == []


def test_every_handle_is_a_class_of_the_real_bindings(versions: dict[str, Description]):
    for owner in filter(None, HANDLES.values()):
        has = [name for name, version in versions.items() if lookup(version, Member("", (owner,)))]
        assert has, owner


def test_the_versions_differ_where_the_facts_say(versions: dict[str, Description]):
    """The table that the branches of our code rest on, read in the bindings themselves: 8.5, 8.6, 10.3, 10.16, 11."""
    names = [name for name in versions if "RTX" not in name]

    def has(text: str) -> str:
        owner, *path = text.split(".")
        members = [Member("", (owner, *path)) for _ in names]
        return "".join("x" if lookup(versions[n], m) else "-" for n, m in zip(names, members, strict=True))

    assert has("NetworkDefinitionCreationFlag.EXPLICIT_BATCH") == "xxxx-"
    assert has("NetworkDefinitionCreationFlag.STRONGLY_TYPED") == "--xxx"
    assert has("BuilderFlag.FP16") == "xxxx-"
    assert has("Builder.platform_has_fast_fp16") == "xxxx-"
    assert has("IBuilderConfig.builder_optimization_level") == "-xxxx"
    assert has("BuilderFlag.VERSION_COMPATIBLE") == "-xxxx"
    assert has("IBuilderConfig.progress_monitor") == "--xxx"
    assert has("ICudaEngine.device_memory_size") == "xxxx-"
    assert has("ICudaEngine.device_memory_size_v2") == "--xxx"
    assert has("OnnxParser.supports_model") == "xxxx-"
    assert has("OnnxParser.supports_model_v2") == "--xxx"
    flags = [versions[n]["members"]["NetworkDefinitionCreationFlag"]["values"].get("STRONGLY_TYPED") for n in names]
    assert flags == [None, None, 1, 1, 0]
