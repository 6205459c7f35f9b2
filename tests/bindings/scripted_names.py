"""The names that the scripted TensorRT has (tests/stand_ins/tensorrt/names.json), taken from the real bindings.

python tests/bindings/scripted_names.py        writes the file again
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bindings_of_8_5 import shape_of_8_5
from real_bindings import ANY_PYTHON, WHEELS, describe

FILE = Path(__file__).parents[1] / "stand_ins" / "tensorrt" / "names.json"

VERSIONS = {"8.6": "8.6.1", "10.3": "10.3.0", "10.16": "10.16.1.11", "11.4": "11.4.0.106"}

CLASSES = [
    "Builder",
    "Dims",
    "EngineInspector",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILayer",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProfiler",
    "IProgressMonitor",
    "ITensor",
    "ITimingCache",
    "Logger",
    "OnnxParser",
    "ParserError",
    "Runtime",
]
"""Those that are played; of every other class the module has the bare name, enums have their values."""


def names() -> dict[str, Any]:
    """{"versions": [...], "module": {name: which}, "classes": {class: {member: which}}, "enums": {enum: {member:
    [value or null of each version]}}}; `which` has an x for each version that has it, else a -."""
    wheels = {wheel.version: wheel for wheel in WHEELS}
    found = {short: describe(wheels[version], ANY_PYTHON)["members"] for short, version in VERSIONS.items()}
    shapes = {"8.5": shape_of_8_5({"members": found["8.6"]})["members"], **found}
    every = [{name for name, member in shape.items() if member["kind"] != "value"} for shape in shapes.values()]
    enums = {name for shape in shapes.values() for name, member in shape.items() if member["kind"] == "enum"}
    return {
        "versions": list(shapes),
        "module": _which(every),
        "classes": {cls: _which([_public(shape, cls) for shape in shapes.values()]) for cls in CLASSES},
        "enums": {enum: _values([shape.get(enum, {}) for shape in shapes.values()]) for enum in sorted(enums)},
    }


def _public(shape: dict[str, Any], cls: str) -> set[str]:
    return {name for name in shape.get(cls, {}).get("members", {}) if not name.startswith("_")}


def _which(sets: list[set[str]]) -> dict[str, str]:
    return {name: "".join("x" if name in one else "-" for one in sets) for name in sorted(set().union(*sets))}


def _values(enums: list[dict[str, Any]]) -> dict[str, list[int | None]]:
    every = sorted({name for enum in enums for name in enum.get("values", {})})
    return {name: [enum.get("values", {}).get(name) for enum in enums] for name in every}


def written(found: dict[str, Any]) -> str:
    """JSON with one line a class."""
    lines = [f'"versions": {json.dumps(found["versions"])}', f'"module": {json.dumps(found["module"])}']
    for kind in ("classes", "enums"):
        inner = ",\n".join(f"{json.dumps(name)}: {json.dumps(members)}" for name, members in found[kind].items())
        lines.append(f'"{kind}": {{\n{inner}\n}}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(written(names()))
