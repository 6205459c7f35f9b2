"""Models of the operator's by the names that their exports were given: `edgebench deploy NAME` finds them again.

<store>/models/<name>.json    where the model comes from, and how it was exported
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from device_agents.contract import SchemaViolation, dumps, from_json, loads
from export.artifact import Store
from export.asking import Options
from export.models import ModelRef
from export.request import Form
from profiles.errors import ConfigError


@dataclass(frozen=True)
class Entry:
    """What is kept of an export: what it takes to make another precision of the same model. `weights` are those of a
    factory that were named, as a path."""

    name: str
    kind: str
    path: str
    form: Form
    factory: str | None = None
    folders: tuple[str, ...] = ()
    framework: str | None = None
    labels: str | None = None
    weights: str | None = None

    @property
    def ref(self) -> ModelRef:
        path = Path(self.path)
        return ModelRef(self.name, self.kind, None, path, self.factory, self.folders, self.framework)

    @property
    def options(self) -> Options:
        return Options(**self.form.form(), labels=Path(self.labels) if self.labels else None)


def register(store: Store, ref: ModelRef, framework: str, options: Options, weights: str) -> None:
    """Note where a model of the operator's comes from. Of one name the last export counts."""
    if ref.profile is not None or ref.path is None:
        return
    labels = str(options.labels.expanduser().resolve()) if options.labels else None
    entry = Entry(
        name=ref.name,
        kind=ref.kind,
        path=str(ref.path),
        factory=ref.factory,
        folders=ref.folders,
        framework=framework if ref.factory else None,
        form=Form(**options.form()),
        labels=labels,
        weights=str(Path(weights).expanduser().resolve()) if Path(weights).expanduser().is_file() else None,
    )
    home = _home(store)
    home.mkdir(parents=True, exist_ok=True)
    part = home / f"{ref.name}.{os.getpid()}.part"
    part.write_text(dumps(entry, indent=1) + "\n", encoding="utf-8")
    part.replace(home / f"{ref.name}.json")


def find(store: Store, name: str) -> Entry | None:
    """The model of this name; without a version, the one that was exported last. Errors: ConfigError for one whose
    file is gone, or whose entry is damaged."""
    home = _home(store)
    paths = [home / f"{name}.json"] if "@" in name else [home / f"{name}.json", *home.glob(f"{name}@*.json")]
    there = [path for path in paths if path.is_file()]
    if not there:
        return None
    newest = max(there, key=lambda path: path.stat().st_mtime_ns)
    try:
        entry = from_json(Entry, loads(newest.read_bytes()))
    except (OSError, SchemaViolation) as error:
        fix = "remove it and export the model again"
        raise ConfigError(f"the entry of a model is damaged ({error})", where=str(newest), fix=fix) from None
    if not Path(entry.path).exists():
        raise ConfigError(
            f"its file {entry.path} is gone", where=f"model {name}", fix="export it again from where it is"
        )
    return entry


def names(store: Store) -> tuple[str, ...]:
    """Of all models that were exported from files and factories."""
    return tuple(sorted(path.stem for path in _home(store).glob("*.json")))


def _home(store: Store) -> Path:
    return store.root / "models"
