"""What `export` was told of the form of a model, and what the last export of a name says where it was not told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.cli.common import say

if TYPE_CHECKING:
    from export.api import Options
    from export.models import ModelRef

_TYPED_AS = {"keras_layers": "keras-preprocessing", "pixels": "preprocess", "declared": "input"}
_PIXELS = {"outside": "float", "in-graph": "uint8"}


def form(
    *,
    size: str | None,
    head: str | None,
    keras_preprocessing: str | None,
    preprocess: str | None,
    inputs: list[str] | None,
    mean: str | None,
    std: str | None,
    task: str | None,
    labels: Path | None,
    unsafe: bool,
) -> dict[str, Any]:
    """Fields of Options by their names, those alone that were typed. Errors: ConfigError."""
    from edge.cli.export_options import numbers, parse_size
    from export.declared import parse_inputs

    fields = {
        "size": parse_size(size),
        "head": head,
        "keras_layers": keras_preprocessing,
        "pixels": _PIXELS.get(preprocess or ""),
        "declared": parse_inputs(inputs or []),
        "mean": numbers(mean, "--mean"),
        "std": numbers(std, "--std", positive=True),
        "task": task,
        "labels": labels,
        "unsafe": unsafe,
    }
    return {name: value for name, value in fields.items() if value}


@dataclass(frozen=True)
class Typed:
    """The words that name models, their weights, the form (see `form`), and what concerns one precision alone."""

    models: Sequence[str]
    weights: str | None
    form: Mapping[str, Any]
    once: Mapping[str, Any]

    def of(self, ref: ModelRef) -> tuple[Options, str]:
        """Options and weights of a model. One that is called by its name is as it was exported last, but for what was
        typed; what is taken from there is told."""
        from dataclasses import replace

        from edge.planning.models import is_named, options_of, weights_of
        from export.api import Options

        last, weights = Options(), None
        if is_named(ref, self.models):
            last, weights = options_of(ref), weights_of(ref)
        taken = [name for name in (*last.form(), "labels") if self._takes(name, last)]
        words = [f"--{_TYPED_AS.get(name, name)}" for name in taken]
        words += ["--weights"] if weights is not None and self.weights is None else []
        if words:
            say(f"chosen: {', '.join(words)} of {ref.name} (its last export)", err=True)
        return replace(last, **self.form, **self.once), self.weights or weights or "pretrained"

    def _takes(self, name: str, last: Options) -> bool:
        from export.api import Options

        return name not in self.form and getattr(last, name) != getattr(Options(), name)
