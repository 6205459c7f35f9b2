"""Every part of TensorRT's API that our code touches, against the real bindings of the versions that a fleet has.

TensorRT 8.5 (JetPack 5) is on no index. Its shape here is that of 8.6.1 less what 8.6 added, read in NVIDIA's published
source of the 8.5 bindings (python/src/infer/pyCore.cpp, python/src/parsers/pyOnnx.cpp): told, not proven.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from api_check import Description, lookup, wrong
from real_bindings import CASES, WHEELS, Wheel, describe
from trt_calls import read
from trt_members import HANDLES, Member, Reading

ROOT = Path(__file__).parents[2]

ADDED_BY_8_6 = {
    "Builder": ("get_plugin_registry",),
    "IBuilderConfig": (
        "builder_optimization_level",
        "hardware_compatibility_level",
        "max_aux_streams",
        "plugins_to_serialize",
    ),
    "Runtime": (
        "engine_host_code_allowed",
        "get_plugin_registry",
        "load_runtime",
        "tempfile_control_flags",
        "temporary_directory",
    ),
    "ICudaEngine": ("hardware_compatibility_level", "num_aux_streams"),
    "IExecutionContext": ("set_aux_streams",),
    "OnnxParser": ("clear_flag", "flags", "get_flag", "get_used_vc_plugin_libraries", "set_flag"),
    "BuilderFlag": ("EXCLUDE_LEAN_RUNTIME", "FP8", "VERSION_COMPATIBLE"),
    "DataType": ("FP8",),
    "MemoryPoolType": ("TACTIC_DRAM",),
    "PreviewFeature": ("PROFILE_SHARING_0806",),
}
ADDED_CLASSES = ("HardwareCompatibilityLevel", "OnnxParserFlag", "TempfileControlFlag")


def shape_of_8_5(described: Description) -> Description:
    """The description of 8.6.1 without what 8.6 added."""
    shape = copy.deepcopy(described)
    for owner, names in ADDED_BY_8_6.items():
        for name in names:
            del shape["members"][owner]["members"][name]
            shape["members"][owner].get("values", {}).pop(name, None)
    for name in ADDED_CLASSES:
        del shape["members"][name]
    return shape


@pytest.fixture(scope="module")
def versions() -> dict[str, Description]:
    """Every release under one Python; a release that cannot be had skips."""
    found = {f"{'TensorRT-RTX' if 'rtx' in w.module else 'TensorRT'} {w.version}": describe(w, "3.10") for w in WHEELS}
    return {"the shape of TensorRT 8.5": shape_of_8_5(found["TensorRT 8.6.1"]), **found}


@pytest.fixture(scope="module")
def ours() -> Reading:
    files = sorted([*ROOT.glob("device_agents/trt/**/*.py"), *ROOT.glob("device_agents/backends/tensorrt*.py")])
    if not files:
        pytest.skip("there is no TensorRT backend yet")
    return read({str(path.relative_to(ROOT)): path.read_text() for path in files})


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
