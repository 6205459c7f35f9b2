"""What a type does not say of a key: what our own code reads from its text, and between which bounds it lies.

By class and key, in the words of JSON Schema. A class stands for its own schema.
"""

from __future__ import annotations

from typing import Any

from device_agents.contract import Timing
from edge.inventory.entries import Defaults, Entry, FleetEntries, GatewayEntry, GroupEntry, LocalEntry
from edge.inventory.runtime_keys import ENGINES, ContainerKey, RuntimeKeys
from edge.results.store import Measurement
from edge.results.updates import SCHEMA
from edge.sweeps.plan_keys import Axes, Exclude, Limits, PlanFile
from profiles.claim_schema import MEASURES, Claim, ClaimsFile, Conditions, Source
from profiles.load import device_profile_names
from profiles.schema import FRAMEWORKS, TASKS, DeviceProfile, FrameworkModel, ImageInput, ModelProfile, Price

_WORD = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
_DURATION = {"description": "A duration: s, min, h or d, such as `30 min`."}
_BYTES = {"description": "An amount of data: B, kB, MB, GB, KiB, MiB or GiB, such as `50 MB`."}
_PATTERN = {"description": "serial, pipelined, rate:FPS[,poisson][,timeout:50ms], soak:10m or sizes:224-512."}
_SIZE = {
    "description": "Height first: `224` or `384x320`.",
    "pattern": "^[1-9][0-9]{0,4}(x[1-9][0-9]{0,4})?$",
}
_COMMAND = {"description": "A program and its words, run without a shell."}
_CURRENCY = {"description": "A code of three letters, such as USD.", "pattern": "^[A-Z]{3}$"}
_PRICE = {"description": "Of an hour of the device.", "exclusiveMinimum": 0, "exclusiveMaximum": 1_000_000}
_EXPRESSION = {"description": "An expression of --device: names, groups, tags, profiles, families, and, or, not."}
_DAY = {"description": "A day, in quotes: `2026-11-26`.", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}
_COUNT = {"minimum": 1}
_FILE = {"description": "A file or folder; a relative path counts from the folder of this file."}

_GPU = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^(GPU|MIG)-"}]}
_GPUS = {
    "description": 'Which GPUs are meant, a device each: "all", or a list of indices and UUIDs.',
    "anyOf": [{"const": "all"}, {"type": "array", "items": _GPU, "minItems": 1, "uniqueItems": True}],
}
_CONTAINER = {
    "description": 'The image that has the runtime, or "none" where [defaults] has one.',
    "anyOf": [{"const": "none"}, ContainerKey],
}
_LIST_OF_EXPRESSIONS = {"type": "array", "items": {"type": "string"}}

FLEET: dict[tuple[type, str], dict[str, Any]] = {
    (FleetEntries, "devices"): {
        "description": "By name.",
        "type": "object",
        "properties": {"local": LocalEntry},
        "additionalProperties": Entry,
        "propertyNames": {"pattern": _WORD},
    },
    (FleetEntries, "gateways"): {"description": "By name.", "type": "object", "additionalProperties": GatewayEntry},
    (FleetEntries, "groups"): {
        "description": "By name: an expression of --device, a list of them, or a table.",
        "type": "object",
        "additionalProperties": {"anyOf": [{"type": "string"}, _LIST_OF_EXPRESSIONS, GroupEntry]},
        "propertyNames": {"pattern": _WORD},
    },
    (GroupEntry, "devices"): {
        "description": "An expression of --device, or a list of them.",
        "anyOf": [{"type": "string"}, _LIST_OF_EXPRESSIONS],
    },
    (RuntimeKeys, "container"): _CONTAINER,
    (RuntimeKeys, "gpus"): _GPUS,
    (RuntimeKeys, "python"): {"description": "The interpreter that has the runtime; in a container, the container's."},
    (RuntimeKeys, "env"): {"description": "Variables for the agent, where the runtime is."},
    (RuntimeKeys, "setup"): {"description": "Run by `sh` on the device before each command."},
    (ContainerKey, "engine"): {"enum": list(ENGINES)},
    (Defaults, "gateway"): {"description": "A gateway of this file, user@host:port, several with commas, or none."},
    (GatewayEntry, "gateway"): {"description": "A gateway of this file, user@host:port, several with commas, or none."},
    (Defaults, "bandwidth"): {"description": "The most that goes over its link, such as `500 kB/s`."},
    (Defaults, "max_bytes"): _BYTES,
    (Defaults, "site"): {"description": "Whose worker reaches it on a cluster.", "pattern": _WORD},
    (Defaults, "profile"): {"enum": list(device_profile_names())},
    (LocalEntry, "profile"): {"enum": list(device_profile_names())},
    (Defaults, "port"): {"minimum": 1, "maximum": 65_535},
    (GatewayEntry, "port"): {"minimum": 1, "maximum": 65_535},
    **{(kind, key): _COMMAND for kind in (Defaults, LocalEntry) for key in ("release_hook", "quiesce", "resume")},
    **{(kind, "currency"): _CURRENCY for kind in (Defaults, LocalEntry, Price)},
    **{(kind, "price_per_hour"): _PRICE for kind in (Defaults, LocalEntry)},
}

SWEEP: dict[tuple[type, str], dict[str, Any]] = {
    (Axes, "frameworks"): {"items": {"enum": ["pytorch", "tensorflow", "onnx", "all"]}},
    (Axes, "batches"): {"items": {"type": "integer", "minimum": 1, "maximum": 4096}},
    (Axes, "sizes"): {"items": {"type": "string", **_SIZE}},
    (Axes, "patterns"): {"items": {"type": "string", **_PATTERN}},
    (Axes, "devices"): _EXPRESSION,
    (Axes, "options"): {"description": "The backends' own, as docs/options.md has them."},
    **{(Axes, key): {"minItems": 1} for key in ("models", "precisions", "backends", "power_modes")},
    (Exclude, "devices"): _EXPRESSION,
    (PlanFile, "repeats"): {"minimum": 1, "maximum": 1000},
    (PlanFile, "engines"): {"enum": ["own", "per-class", "ahead"]},
    (PlanFile, "calibrate"): {"description": "A folder or an .npz, from the folder of this file, or `random`."},
    (PlanFile, "bounds"): {"items": {"type": "string", "description": "MIN:OPT:MAX batch of an engine."}},
    (PlanFile, "inputs"): _FILE,
    (PlanFile, "dataset"): _FILE,
    (Limits, "max_failures"): _COUNT,
    (Limits, "max_bytes"): _BYTES,
    (Limits, "cool_within"): {"description": "Degrees Celsius.", "minimum": 0, "maximum": 100},
    **{(Limits, key): {"minimum": 0} for key in ("link_retries", "run_retries", "repeat_invalid")},
    **{(Limits, key): _DURATION for key in ("cell_timeout", "wait_online", "cool_for")},
    (Timing, "processes"): {"minimum": 1, "maximum": 1000},
    (Timing, "iterations"): {"minimum": 1, "maximum": 10_000_000},
    (Timing, "cap_s"): {"exclusiveMinimum": 0, "maximum": 86_400},
}

PROFILES: dict[tuple[type, str], dict[str, Any]] = {
    (DeviceProfile, "kind"): {"enum": list(DeviceProfile.KINDS)},
    (DeviceProfile, "backends"): {"minItems": 1},
    (Price, "per_hour"): _PRICE,
    (Price, "gpus"): _COUNT,
    (ModelProfile, "task"): {"enum": list(TASKS)},
    (ModelProfile, "frameworks"): {"propertyNames": {"enum": list(FRAMEWORKS)}, "minProperties": 1},
    (FrameworkModel, "source"): {"pattern": "^(torchvision|keras|twin):."},
    (ImageInput, "shape"): {"minItems": 3, "maxItems": 4, "items": {"type": "integer", "minimum": 1}},
    (ImageInput, "std"): {"items": {"type": "number", "exclusiveMinimum": 0}},
    (ImageInput, "order"): {"enum": ["RGB", "BGR"]},
}

CLAIMS: dict[tuple[type, str], dict[str, Any]] = {
    (Source, "read"): _DAY,
    (ClaimsFile, "claims"): {"minItems": 1, "maxItems": 500},
    (ClaimsFile, "sweep"): {"description": "The plan that measures it: of edgebench, or a file."},
    (Claim, "id"): {"pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"},
    (Claim, "measure"): {"enum": list(MEASURES)},
    (Claim, "unit"): {"enum": list(dict.fromkeys(unit for units in MEASURES.values() for unit in units))},
    (Claim, "value"): {"description": "A number, or a range such as [20, 25], the less first."},
    (Claim, "tolerance"): {"minimum": 0, "maximum": 1},
    (Conditions, "framework"): {"enum": ["pytorch", "tensorflow", "onnx"]},
    (Conditions, "size"): _SIZE,
    (Conditions, "pattern"): _PATTERN,
    (Conditions, "device"): {"enum": list(device_profile_names())},
    **{(Conditions, key): _COUNT for key in ("batch", "warmup", "iterations")},
}

RESULTS: dict[tuple[type, str], dict[str, Any]] = {(Measurement, "schema"): {"const": SCHEMA}}

WORDS = {**FLEET, **SWEEP, **PROFILES, **CLAIMS, **RESULTS}
