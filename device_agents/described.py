"""What lies beside the weights of an artifact that a framework runs itself."""

from __future__ import annotations

from pathlib import Path

from device_agents.contract import NETWORK_FILE, JobSpec, Network, SchemaViolation, from_json, loads
from device_agents.errors import DeviceError


def network_of(folder: Path, spec: JobSpec) -> Network:
    """Errors: DeviceError where it is damaged, names what is not built here, or another network's outputs."""
    path = folder / NETWORK_FILE
    try:
        told = from_json(Network, loads(path.read_bytes()))
        if list(told.outputs) != [one.name for one in spec.outputs]:
            raise SchemaViolation("outputs", f"{', '.join(told.outputs)} are not those of the manifest")
    except (OSError, SchemaViolation) as error:
        message = f"the artifact does not say which network it is of ({error})"
        fix = "export the model again, or take --backend onnxruntime for a graph"
        raise DeviceError("artifact_damaged", "load", message, where=path.name, fix=fix) from None
    return told
