"""What is installed for this Python, told without importing it: a framework takes seconds for that."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Sequence

UNKNOWN = "of unknown version"


def version_of(module: str, distributions: Sequence[str] = ()) -> str:
    """As `module/version.py` says, else the first of the distributions that is there; without any, the one that is
    called as the module. Errors: ImportError where there is no such module."""
    spec = importlib.util.find_spec(module)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {module!r}")
    for folder in spec.submodule_search_locations or ():
        told = _told(Path(folder) / "version.py")
        if told:
            return told
    for name in distributions or (module,):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return UNKNOWN


def _told(path: Path) -> str:
    try:
        found = re.search(r"""^__version__ = ['"]([^'"]+)""", path.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return ""
    return found.group(1) if found else ""
