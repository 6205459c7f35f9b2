"""MODEL of a command line: what export.models reads, or the name that an export of the operator's own was given."""

from __future__ import annotations

from collections.abc import Sequence

from edge.places import places
from export import registry
from export.api import Options, parse_model
from export.artifact import Store
from export.models import ModelRef
from profiles.errors import ConfigError


def resolve(text: str) -> ModelRef:
    """Errors: ConfigError for what names no model."""
    try:
        return parse_model(text)
    except ConfigError:
        entry = _entry(text)
        if entry is None:
            raise
        return entry.ref


def options_of(ref: ModelRef) -> Options:
    """How a model of the operator's was exported last; the defaults for any other."""
    entry = _entry(ref.name) if ref.profile is None else None
    return entry.options if entry is not None and entry.path == str(ref.path) else Options()


def weights_of(ref: ModelRef) -> str | None:
    """The file of weights that a factory of the operator's was exported with last, if any."""
    entry = _entry(ref.name) if ref.factory is not None else None
    return entry.weights if entry is not None and entry.path == str(ref.path) else None


def is_named(ref: ModelRef, models: Sequence[str]) -> bool:
    """Whether one of the words `models` is the name, with or without its version, that an export gave this model."""
    return ref.profile is None and bool({ref.name, ref.name.partition("@")[0]} & set(models))


def _entry(name: str) -> registry.Entry | None:
    return registry.find(Store(places().artifacts), name) if name and "/" not in name else None
