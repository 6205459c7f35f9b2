"""A SavedModel's folder as flat files, and back: a payload has no folders.

    variables/variables.index    ->    variables.index

Its fingerprint is left out: TensorFlow draws a part of it at random, and the same model shall have the same name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterable

GRAPH = "saved_model.pb"
_VARIABLES = "variables"


def flatten(saved: Path, out: Path) -> None:
    """Move what makes up the model from `saved` to `out`. Errors: ValueError for one that needs further files."""
    assets = saved / "assets"
    if assets.is_dir() and any(assets.iterdir()):
        raise ValueError("it has assets, files beside its graph and variables")
    (saved / GRAPH).replace(out / GRAPH)
    for path in sorted((saved / _VARIABLES).iterdir()):
        path.replace(out / path.name)


def assemble(names: Iterable[str], flat: Path, into: Path) -> None:
    """The folder that TensorFlow loads, of links to those of the names in `flat` that are the model's."""
    (into / _VARIABLES).mkdir()
    (into / GRAPH).symlink_to(flat / GRAPH)
    for name in names:
        if name.startswith(f"{_VARIABLES}."):
            (into / _VARIABLES / name).symlink_to(flat / name)
