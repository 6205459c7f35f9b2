"""Code of the user's: the factory of a model, the files that ran, and the line of one where an error came from."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
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
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_AROUND = "Exception encountered when calling"  # Keras says so of the layer, and what happened below
_OURS = tuple(_ROOT / package for package in ("edge", "export", "profiles", "device_agents"))
_SYSTEM = tuple(map(Path, ("/dev", "/etc", "/proc", "/sys", "/usr/lib", "/usr/share")))


def made_by(factory: str, where: str, is_model: Callable[[Any], bool], kind: str, *, path: Path | None = None) -> Any:
    """What `module:name` gives when it is called, or is where it is a model already. `kind` is what `is_model` wants,
    `path` the module's file.

    Errors: ExportError where the module cannot be imported or is another file's, the factory raises, or gives something
    else; ConfigError for a name that the module does not have.
    """
    module, _, name = factory.partition(":")
    namespace = _imported(module, where, path)
    if not hasattr(namespace, name):
        raise unknown(f"factory of {module}", name, _defined_in(namespace, is_model))
    made = getattr(namespace, name)
    if is_model(made):
        return made
    try:
        made = made()
    except (Exception, SystemExit) as error:  # it is the user's code: it may raise anything
        raise failed(error, f"{factory} raised an error", where) from error
    if is_model(made):
        return made
    given = "None" if made is None else f"an object of type {type(made).__name__}"
    message = f"{factory}{_line_of(getattr(namespace, name))} gives {given}, no {kind}"
    raise ExportError(message, where=where, fix="return the model")


def _imported(module: str, where: str, path: Path | None) -> Any:
    try:
        namespace = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # it is the user's code: it may raise anything
        _refuse_other(module, where, path)
        raise failed(error, f"importing {module} raised an error", where) from error
    _refuse_other(module, where, path)
    return namespace


def _refuse_other(module: str, where: str, path: Path | None) -> None:
    """Errors: ExportError where Python knows a module of that name, one of ours or of its own: it never looks for the
    user's at `path` then."""
    first = module.partition(".")[0]
    other = sys.modules.get(first)
    if other is None or path is None:
        return
    file, folders = getattr(other, "__file__", None), getattr(other, "__path__", ())
    if "." in module:
        is_it = any(path.resolve().is_relative_to(Path(folder).resolve()) for folder in folders)
    elif file is None:
        is_it = first not in sys.builtin_module_names
    else:
        is_it = Path(file).resolve() == path.resolve()
    if not is_it:
        message = f"the name of the module {first!r} is taken by {file or 'Python itself'}"
        raise ExportError(message, where=where, fix=f"rename the {'folder' if '.' in module else 'file'}")


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
    return path.endswith(".py") and _is_users(Path(path))


def _is_users(file: Path) -> bool:
    if "site-packages" in file.parts or not file.is_file():
        return False
    paths = sysconfig.get_paths()
    others = [*_OURS, *(Path(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib"))]
    return not any(file.resolve().is_relative_to(other) for other in others)


class _Reads:
    """An audit hook that notes the files which code of the user's opens, itself or through what it calls."""

    def __init__(self, scratch: Path) -> None:
        self._others = (scratch.resolve(), *_SYSTEM)
        self._read: set[str] = set()
        self._written: set[str] = set()
        self._own: dict[str, bool] = {}
        sysconfig.get_paths()  # opens files the first time, which a hook must not

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open":
            return
        with contextlib.suppress(OSError, TypeError, ValueError):  # a descriptor, or what cannot be opened either
            path, _, flags = arguments
            if self._is_theirs():
                reads = flags & os.O_ACCMODE == os.O_RDONLY
                (self._read if reads else self._written).add(str(Path.cwd() / os.fsdecode(path)))

    def files(self) -> set[str]:
        """What was read, but for what the code wrote itself and what Python compiled."""
        found = map(Path, self._read - self._written)
        return {str(path) for path in found if path.suffix != ".pyc" and self.counts(path)}

    def counts(self, path: Path) -> bool:
        """Whether it is the user's, and stays: what is in the scratch folder goes with it."""
        return _is_users(path) and not any(path.resolve().is_relative_to(other) for other in self._others)

    def _is_theirs(self) -> bool:
        """Whether code of the user's is on the stack."""
        frame = inspect.currentframe()
        while frame is not None:
            name = frame.f_code.co_filename
            if name not in self._own:
                self._own[name] = is_own(name)
            if self._own[name]:
                return True
            frame = frame.f_back
        return False


_reads: list[_Reads] = []


def watch(scratch: Path) -> None:
    """Note from now on, to the end of this process, which files the user's code reads outside of `scratch`. Libraries
    that open files in C are not seen."""
    _reads.append(_Reads(scratch))
    sys.addaudithook(_reads[-1])


def sources() -> dict[str, str]:
    """{path: sha256} of the user's own modules that are loaded, and of the files that they read."""
    files = {str(getattr(module, "__file__", None) or "") for module in list(sys.modules.values())}
    loaded = {path for path in files if path and is_own(path)}  # TensorFlow writes what it makes of a function as one
    kept = {path for path in loaded if all(reads.counts(Path(path)) for reads in _reads)}
    found = kept.union(*(reads.files() for reads in _reads))
    return {path: sha256_file(Path(path)) for path in sorted(found)}


def failed(error: BaseException, what: str, where: str, *, fix: str = "") -> ExportError:
    """One sentence for what the user's code raised: what was tried, the reason, and the last line of theirs."""
    if isinstance(error, EdgebenchError):
        return error if isinstance(error, ExportError) else ExportError(str(error), where=where)
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines()]
    lines = [line for line in lines if line and not line.startswith(_AROUND)]
    kind = type(error).__name__
    reason = f"{kind}: {lines[0][:200]}" if lines else kind
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    at = f", at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
    return ExportError(f"{what} ({reason}{at})", where=where, fix=fix)
