"""Which files have a schema, and where it lies on the site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from json_schema import Writer
from schema_words import WORDS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Kind:
    """A kind of file: its title, the dataclass that it is read into, and what shows how it is written: a module whose
    docstring does, or a file of the repository. Where `named_by_file` its own name is that of the file."""

    title: str
    read_into: type
    module: str = ""
    example: str = ""
    named_by_file: bool = False


def kinds() -> dict[str, Kind]:
    """By the name of the schema."""
    from edge.inventory.entries import FleetEntries
    from edge.results.store import Measurement
    from edge.sweeps.plan_keys import PlanFile
    from profiles.claim_schema import ClaimsFile
    from profiles.schema import DeviceProfile, ModelProfile

    devices, models = "profiles/devices/jetson-agx-orin-64gb.toml", "profiles/models/resnet18.toml"
    return {
        "fleet": Kind("fleet.toml", FleetEntries, module="edge.inventory.fleet_file"),
        "sweep": Kind("The plan of a sweep", PlanFile, module="edge.sweeps.plan_keys"),
        "claims": Kind("A file of claims", ClaimsFile, module="profiles.claim_schema", named_by_file=True),
        "device-profile": Kind("The profile of a device", DeviceProfile, example=devices, named_by_file=True),
        "model-profile": Kind("The profile of a model", ModelProfile, example=models, named_by_file=True),
        "result": Kind("A stored measurement: result.json", Measurement),
    }


def schemas() -> dict[str, dict[str, Any]]:
    """The schemas by name."""
    return {name: _schema(name, kind) for name, kind in kinds().items()}


def path(name: str) -> str:
    """Of a schema, on the site."""
    return f"schemas/{name}.schema.json"


def _schema(name: str, kind: Kind) -> dict[str, Any]:
    writer = Writer(WORDS)
    table = writer.table(kind.read_into)
    if kind.named_by_file:
        table["required"] = [key for key in table["required"] if key != "name"]
    head = {"$schema": DIALECT, "$id": f"urn:edgebench:schema:{name}", "title": kind.title}
    if "description" in table:
        head["description"] = table["description"]
    return {**head, **table, "$defs": dict(sorted(writer.definitions.items()))}
