"""What tests of planning share: devices without a machine, an artifact without a graph, answers of a probe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from device_agents.contract import SCHEMA, BackendReport, FileEntry, Precision, ProbeReport, Reading, TensorSpec
from edge.agent.finding import Found
from edge.inventory.devices import Device
from export.artifact import Artifact, Format, GraphFacts, NotChecked, Store, content_id, hash_files
from profiles.load import device_profile

BUILDS = ("tensorrt", "trtexec")


def device(name: str, profile: str = "jetson-agx-orin-64gb", *, builder: bool = False) -> Device:
    return Device(name, name, device_profile(profile), builder=builder)


def artifact(**changes: Any) -> Artifact:
    """resnet18 of pytorch, batch dynamic, random weights, opset 18."""
    files = (FileEntry("model.onnx", 10, "0" * 64),)
    fields = {
        "id": content_id(files), "path": Path("/nowhere"), "model": "resnet18", "framework": "pytorch",
        "format": Format.ONNX, "precision": Precision.FP16, "weights": "random", "batch": "dynamic",
        "inputs": (TensorSpec("images", "float16", ("batch", 3, 224, 224)),),
        "outputs": (TensorSpec("logits", "float16", ("batch", 1000)),),
        "model_file": "model.onnx", "files": files, "parity": NotChecked("a test"),
        "graph": GraphFacts(1, 1, 1, 0, 18),
    }  # fmt: skip
    return Artifact(**{**fields, **changes})


def stored(store: Store, *, opset: int = 18, **changes: Any) -> Artifact:
    """An artifact in the store whose payload says its opset and weights."""
    made = artifact(graph=GraphFacts(1, 1, 1, 0, opset), **changes)
    with store.workspace() as folder:
        (folder / "a").mkdir()
        payload = f"{made.framework} {made.format} {made.precision} {made.weights} {opset}".encode()
        (folder / "a" / "model.onnx").write_bytes(payload)
        files = hash_files(folder / "a")
        return store.adopt(folder / "a", replace(made, id=content_id(files), path=folder / "a", files=files))


def answered(**versions: str | None) -> dict[str, Found]:
    """What a probe found: backends by name with their versions, None where they are not there."""
    return {name: _found(name, version) for name, version in versions.items()}


def _found(name: str, version: str | None) -> Found:
    reading = Reading(unknown=f"ModuleNotFoundError: No module named '{name}'")
    if version is not None:
        reading = Reading(version, f"import {name}")
    options = {"workspace_mib": "memory for tactics"} if name in BUILDS else {}
    report = BackendReport(reading, ("serial", "pipelined"), {"spin": "wait busily"}, options, builds=name in BUILDS)
    probe = ProbeReport(SCHEMA, "jetson", "/usr/bin/python3", "/w", 1, {"python": Reading("3.10", "sys")}, {}, {})
    return Found("/usr/bin/python3", probe, report)
