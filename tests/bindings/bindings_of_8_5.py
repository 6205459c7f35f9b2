"""The shape of TensorRT 8.5 (JetPack 5), whose bindings are on no index: told, not proven.

It is that of 8.6.1 less what 8.6 added. Builder, engine and context are as NVIDIA's published source of 8.5 tells
(NVIDIA/TensorRT on GitHub, python/src/infer/pyCore.cpp); parser, types, layers and network are partly from memory, and
lean to the strict side.
"""

from __future__ import annotations

import copy
from typing import Any

Description = dict[str, Any]

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
    "ILayer": ("metadata",),
    "INetworkDefinition": ("add_cast", "add_normalization"),
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
