"""The members of TensorRT that a source text uses, and the names under which our code holds TensorRT's objects."""

from __future__ import annotations

from dataclasses import dataclass, field

HANDLES = {
    "trt": "",
    "logger": "Logger",
    "builder": "Builder",
    "config": "IBuilderConfig",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "timing_cache": "ITimingCache",
    "layer": "ILayer",
    "tensor": "ITensor",
    "parser_error": "ParserError",
    "monitor": "IProgressMonitor",
    "plan": "IHostMemory",
}
"""Name to the class of what it holds; the module itself is ''."""


@dataclass(frozen=True)
class Member:
    """`path` from a class of TensorRT on; from the module where `owner` is ''."""

    owner: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((self.owner or "trt", *self.path))


@dataclass(frozen=True)
class Guard:
    """`hasattr(member)` is known to be `there` at some place."""

    member: Member
    there: bool


Guards = frozenset[Guard]


@dataclass(frozen=True)
class Arguments:
    positional: int
    keywords: tuple[str, ...]


@dataclass(frozen=True)
class Use:
    """One place that touches a member: `read`, `set`, `call`, `test` (hasattr) or `override` (a subclass's method).
    `arguments` are those of a call, None where it unpacks some."""

    member: Member
    kind: str
    guards: Guards
    where: str
    arguments: Arguments | None = None


@dataclass(frozen=True)
class Assigned:
    """The value of the call of `member` got the name `target`."""

    member: Member
    target: str
    where: str


@dataclass
class Reading:
    """What a set of source texts does to TensorRT. `refused` are the places that break the convention; `strangers` are
    attributes of what is no handle, `own` the names that the texts define themselves."""

    uses: list[Use] = field(default_factory=list)
    assigned: list[Assigned] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    strangers: list[tuple[str, str]] = field(default_factory=list)
    own: set[str] = field(default_factory=set)
