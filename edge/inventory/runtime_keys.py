"""The keys of fleet.toml that say where the runtime of a device lives, and which of its GPUs are meant.

python = "/opt/venv/bin/python"     the interpreter; in a container, the container's
env = { NAME = "value" }            set for the agent, where the runtime is
setup = "module load cuda"          run by `sh` on the device before each command: the operator's own text
container = { image = "...", engine = "docker", args = ["..."] }    or "none", where [defaults] has one
gpus = "all"                        or [0, 1, "GPU-...", "MIG-..."]: a device each, called NAME:0, NAME:1
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from device_agents.contract import SchemaViolation, from_json

ENGINES = ("docker", "podman")
ALL = "all"
NONE = "none"

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_GPU = re.compile(r"(?:GPU|MIG)-[A-Za-z0-9][A-Za-z0-9-]{0,50}\Z")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}\Z")
_MOST_GPUS = 128


@dataclass(frozen=True)
class ContainerKey:
    """An image that has the runtime; `args` are more options of `ENGINE run`, after our own."""

    image: str
    engine: str = ENGINES[0]
    args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _IMAGE.match(self.image):
            raise SchemaViolation("image", f"{self.image!r} is no image, such as nvcr.io/nvidia/tensorrt:25.08-py3")
        if self.engine not in ENGINES:
            raise SchemaViolation("engine", f"unknown engine {self.engine!r}; allowed: {', '.join(ENGINES)}")
        for word in self.args:
            if not word or not word.isprintable():
                raise SchemaViolation("args", f"{word!r} is no option of {self.engine} run")

    @property
    def shown(self) -> str:
        return f"{self.image} ({self.engine})"


@dataclass(frozen=True)
class RuntimeKeys:
    """The keys as the file has them; what is None is not there."""

    python: str | None = None
    env: dict[str, str] | None = None
    setup: str | None = None
    container: Any = None
    gpus: Any = None

    def __post_init__(self) -> None:
        if self.python is not None and not self.python.strip():
            raise SchemaViolation("python", "is empty; leave it out instead")
        if self.setup is not None and ("\0" in self.setup or not self.setup.strip()):
            raise SchemaViolation("setup", "is empty, or no text; leave it out instead")
        for name, value in (self.env or {}).items():
            _check_variable(name, value)
        if self.container not in (None, NONE):
            container_of(self.container)
        if self.gpus is not None:
            gpus_of(self.gpus)


def container_of(value: Any) -> ContainerKey | None:
    """What `container =` says. Errors: SchemaViolation."""
    return None if value in (None, NONE) else from_json(ContainerKey, value, "container")


def gpus_of(value: Any) -> tuple[str, ...] | None:
    """The GPUs that `gpus =` names, by index or UUID; None for "all". Errors: SchemaViolation."""
    if value == ALL:
        return None
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST_GPUS:
        raise SchemaViolation("gpus", 'expected "all" or a list such as [0, 1, "GPU-..."]')
    for gpu in value:
        if not (_is_index(gpu) or (isinstance(gpu, str) and _GPU.match(gpu))):
            raise SchemaViolation("gpus", f"{gpu!r} is no GPU: write an index, or a UUID as `nvidia-smi -L` prints it")
    names = tuple(str(gpu) for gpu in value)
    if len(set(names)) < len(names):
        raise SchemaViolation("gpus", "names a GPU twice")
    return names


def merged(default: Mapping[str, str] | None, own: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """The variables of [defaults] and those of a device, which win."""
    return tuple({**(default or {}), **(own or {})}.items())


def _is_index(gpu: Any) -> bool:
    return isinstance(gpu, int) and not isinstance(gpu, bool) and 0 <= gpu < _MOST_GPUS


def _check_variable(name: str, value: str) -> None:
    if not _VARIABLE.match(name):
        raise SchemaViolation(f"env.{name}", f"{name!r} is no name of a variable")
    if name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        raise SchemaViolation(f"env.{name}", "says which GPU is used; write `gpus = [0]` instead")
    if "\0" in value:
        raise SchemaViolation(f"env.{name}", "has a NUL byte")
