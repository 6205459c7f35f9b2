"""Code of the user's: the factory of a model, the files that ran, and the line of one where an error came from."""

from __future__ import annotations

import importlib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.artifact import sha256_file
from profiles.errors import EdgebenchError, ExportError
from profiles.load import unknown

_ROOT = Path(__file__).resolve().parent.parent
_OURS = tuple(_ROOT / package for package in ("edge", "export", "profiles", "device_agents"))


def made_by(factory: str, where: str, is_model: Callable[[Any], bool], kind: str) -> Any:
    """What `module:name` gives when it is called, or is where it is a model already. `kind` is what `is_model` wants.

    Errors: ExportError where the module cannot be imported, the factory raises, or gives something else; ConfigError
    for a name that the module does not have.
    """
    module, _, name = factory.partition(":")
    try:
        namespace = importlib.import_module(module)
    except Exception as error:  # it is the user's code: it may raise anything
        raise failed(error, f"importing {module} raised an error", where) from error
    if not hasattr(namespace, name):
        raise unknown(f"factory of {module}", name, _defined_in(namespace, is_model))
    made = getattr(namespace, name)
    if is_model(made):
        return made
    try:
        made = made()
    except Exception as error:  # it is the user's code: it may raise anything
        raise failed(error, f"{factory} raised an error", where) from error
    if is_model(made):
        return made
    given = "None" if made is None else f"an object of type {type(made).__name__}"
    message = f"{factory}{_line_of(getattr(namespace, name))} gives {given}, no {kind}"
    raise ExportError(message, where=where, fix="return the model")


def _defined_in(namespace: Any, is_model: Callable[[Any], bool]) -> list[str]:
    """What may be a factory: the module's own functions and classes, and models."""
    own = {
        name
        for name, value in vars(namespace).items()
        if is_model(value) or (callable(value) and getattr(value, "__module__", None) == namespace.__name__)
    }
    return sorted(name for name in own if not name.startswith("_"))


def _line_of(factory: Any) -> str:
    try:
        return f" ({Path(inspect.getsourcefile(factory) or '').name}:{inspect.getsourcelines(factory)[1]})"
    except (TypeError, OSError):
        return ""


def is_own(path: str) -> bool:
    """Whether a source file is neither of Python, nor installed, nor of this package."""
    file = Path(path)
    if file.suffix != ".py" or "site-packages" in file.parts or not file.is_file():
        return False
    paths = sysconfig.get_paths()
    others = [*_OURS, *(Path(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib"))]
    return not any(file.resolve().is_relative_to(other) for other in others)


def sources() -> dict[str, str]:
    """{path: sha256} of the user's own modules that are loaded."""
    files = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    return {path: sha256_file(Path(path)) for path in sorted(files) if path and is_own(path)}


def failed(error: BaseException, what: str, where: str) -> ExportError:
    """One sentence for what the user's code raised: what was tried, the reason, and the last line of theirs."""
    if isinstance(error, EdgebenchError):
        return error if isinstance(error, ExportError) else ExportError(str(error), where=where)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = type(error).__name__
    reason = f"{kind}: {lines[0][:200]}" if lines else kind
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    at = f", at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return ExportError(f"{what} ({reason}{at})", where=where)
