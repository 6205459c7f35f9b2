"""A folder of labelled images, as torchvision's ImageFolder has it: a folder a class, and which class that is.

DIR/classes.txt            if there: a name a line, and the line's number from 0 is the class
DIR/<class>/**/*.jpg       .jpeg, .png; hidden files and others are passed over
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.artifact import sha256_file
from export.data import images
from profiles.errors import ConfigError

CLASSES = "classes.txt"

_WHERE = "--dataset"
_SOME = 3  # names in an error


@dataclass(frozen=True)
class LabelledFiles:
    """`classes` are the images of each class's folder, folders and images in the order of their names; `names` are the
    lines of classes.txt, None without one."""

    folder: Path
    classes: Mapping[str, tuple[Path, ...]]
    names: tuple[str, ...] | None = None

    @property
    def count(self) -> int:
        return sum(map(len, self.classes.values()))


def find(folder: Path) -> LabelledFiles:
    """Errors: ConfigError for a folder that is not of this kind."""
    if not folder.is_dir():
        raise _refused(folder, "there is no such folder")
    try:
        kinds = sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith("."))
        classes = {kind.name: _images(kind) for kind in kinds}
        names = _names(folder / CLASSES)
    except OSError as error:
        raise _refused(folder, f"it cannot be read ({error.strerror})") from None
    if not classes:
        raise _refused(folder, "it holds no folders", "put the images of each class in a folder of its own")
    empty = [name for name, files in classes.items() if not files]
    if empty:
        kinds_of = ", ".join(images.SUFFIXES)
        raise _refused(folder, f"{_some(empty)} holds no {kinds_of} files", "remove that folder, or fill it")
    return LabelledFiles(folder, classes, names)


def fingerprint(folder: Path) -> str:
    """SHA-256 (hex) of the names and contents of all that is used, which is what a cell is identified by. Errors:
    ConfigError."""
    found = find(folder)
    digest = hashlib.sha256("\n".join(found.names or ()).encode())
    try:
        for name, files in found.classes.items():
            for file in files:
                digest.update(f"{name}\0{file.relative_to(folder)}\0{sha256_file(file)}\n".encode())
    except OSError as error:
        raise _refused(folder, f"it cannot be read ({error.strerror})") from None
    return digest.hexdigest()


def indices(found: LabelledFiles, classes: int, labels: Sequence[str] = ()) -> tuple[dict[str, int], str]:
    """The class of each folder of a model that tells so many `classes` apart, and a sentence on how it was found: by
    classes.txt; else by the folders' names, where all are numbers of classes; else by the model's own `labels`; else,
    where there is a folder for every class, by the order of their names, as ImageFolder has it. Errors: ConfigError."""
    names = sorted(found.classes)
    if found.names is not None:
        return _by_names(found, found.names, classes), f"by the lines of {CLASSES}"
    if all(name.isascii() and name.isdigit() for name in names):
        return _by_number(found, names, classes), "by the folders' names, which are class indices"
    if labels and all(labels.count(name) == 1 for name in names):
        return {name: labels.index(name) for name in names}, "by the folders' names, which are the model's own labels"
    if len(names) > classes:
        raise _refused(found.folder, f"it holds {len(names)} folders, and the model tells {classes} classes apart")
    if len(names) < classes:
        fix = f"name the folders by class indices 0 to {classes - 1}, or list all classes in {CLASSES}, a name a line"
        message = f"its {len(names)} folders do not say which of the model's {classes} classes they are"
        raise _refused(found.folder, message, fix)
    return {name: index for index, name in enumerate(names)}, "by the order of the folders' names, one for every class"


def _by_names(found: LabelledFiles, names: Sequence[str], classes: int) -> dict[str, int]:
    if len(names) > classes:
        raise _refused(found.folder, f"{CLASSES} has {len(names)} lines, and the model tells {classes} classes apart")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _refused(found.folder, f"{CLASSES} names {_some(twice)} twice")
    absent = sorted(set(found.classes) - set(names))
    if absent:
        raise _refused(found.folder, f"the folder {_some(absent)} is not in {CLASSES}")
    return {name: names.index(name) for name in found.classes}


def _by_number(found: LabelledFiles, names: Sequence[str], classes: int) -> dict[str, int]:
    beyond = [name for name in names if int(name) >= classes]
    if beyond:
        message = f"the folder {_some(beyond)} is no class: the model's are 0 to {classes - 1}"
        raise _refused(found.folder, message)
    return {name: int(name) for name in names}


def _images(folder: Path) -> tuple[Path, ...]:
    """As ImageFolder finds them: folders within are looked at."""
    plain = (file for file in folder.rglob("*") if file.suffix.lower() in images.SUFFIXES and file.is_file())
    return tuple(sorted(file for file in plain if not file.name.startswith(".")))


def _names(file: Path) -> tuple[str, ...] | None:
    if not file.is_file():
        return None
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise _refused(file.parent, f"{CLASSES} is no UTF-8 text") from None
    return tuple(line.strip() for line in lines if line.strip())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SOME} more" if len(names) > _SOME else ""
    return ", ".join(map(repr, names[:_SOME])) + more


def _refused(folder: Path, message: str, fix: str = "") -> ConfigError:
    return ConfigError(message, where=f"{_WHERE} {str(folder)[:200]}", fix=fix)
