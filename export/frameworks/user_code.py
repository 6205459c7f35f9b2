"""Which code is the user's own: the files of a model that ran, and the line of one where an error came from."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from pathlib import Path

from export.artifact import sha256_file
from profiles.errors import EdgebenchError, ExportError

_ROOT = Path(__file__).resolve().parent.parent.parent
_OURS = tuple(_ROOT / package for package in ("edge", "export", "profiles", "device_agents"))


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
