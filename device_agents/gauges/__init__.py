"""What can be read again and again on a device, cheaply: files kept open, a library kept loaded. A kind of device
(device_agents/kinds) says which gauges it has; the sampler reads them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from device_agents.system import System

_LONGEST = 1 << 16  # bytes of a file of /proc or /sys that are read


class Unreadable(Exception):
    """Why something cannot be watched: its place and the reason."""


@dataclass(frozen=True)
class Quantity:
    """What a gauge tells: whole numbers, in `unit` times `per_unit` (contract.Series)."""

    name: str
    unit: str
    source: str
    per_unit: int = 1


class Gauge:
    """Reads several quantities at once, in their order; None for one that is not told now. `every_s` is how long to
    leave between two looks at least: 0 looks each time."""

    quantities: Tuple[Quantity, ...] = ()
    every_s: float = 0.0

    def read(self) -> Sequence[Optional[int]]:
        raise NotImplementedError

    def close(self) -> None:
        """Give back what is kept open."""


class Gauges:
    """The gauges of a device, and of each quantity without one why."""

    def __init__(self) -> None:
        self.all: List[Gauge] = []
        self.unknown: Dict[str, str] = {}

    def add(self, names: Sequence[str], make: Callable[[], Gauge]) -> None:
        """A gauge that is to tell these quantities; where it cannot be made they are unknown."""
        try:
            self.all.append(make())
        except (Unreadable, OSError, ValueError) as error:  # what a device says may be anything
            self.unknown.update(dict.fromkeys(names, str(error)))

    def include(self, others: Gauges) -> None:
        self.all += others.all
        self.unknown.update(others.unknown)

    def close(self) -> None:
        for gauge in self.all:
            gauge.close()


class Kept:
    """A file that stays open and is read from its beginning each time: what /proc and /sys make anew then.

    Errors: Unreadable where it cannot be opened, or says nothing even once."""

    def __init__(self, system: System, absolute: str) -> None:
        self.path = absolute
        try:
            self._descriptor = os.open(str(system.path(absolute)), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unreadable(f"{absolute}: {error.strerror}") from None

    def text(self) -> Optional[str]:
        """None where the device answers with an error, as a sensor of what is switched off does."""
        try:
            return os.pread(self._descriptor, _LONGEST, 0).decode("utf-8", "replace")
        except OSError:
            return None

    def number(self) -> Optional[int]:
        """The whole number that it holds."""
        text = self.text()
        try:
            return None if text is None else int(text)
        except ValueError:
            return None

    def close(self) -> None:
        os.close(self._descriptor)


class FileGauge(Gauge):
    """One quantity, of one file."""

    def __init__(
        self,
        system: System,
        path: str,
        name: str,
        unit: str,
        per_unit: int = 1,
        parse: Callable[[str], Optional[int]] = int,
        source: str = "",
    ) -> None:
        self._file = Kept(system, path)
        self._parse = parse
        self.quantities = (Quantity(name, unit, source or path, per_unit),)
        if self._file.text() is None:
            self.close()
            raise Unreadable(f"{path}: answers with an error")

    def read(self) -> Sequence[Optional[int]]:
        text = self._file.text()
        try:
            return (None if text is None else self._parse(text),)
        except (ValueError, IndexError):
            return (None,)

    def close(self) -> None:
        self._file.close()


def paths(system: System, pattern: str) -> List[str]:
    """Absolute paths on the device that match, in their order; `pattern` is absolute, too."""
    root = system.root
    return [f"/{path.relative_to(root)}" for path in sorted(root.glob(pattern.lstrip("/")), key=_natural)]


def said(system: System, absolute: str) -> str:
    """What a small file says, without spaces and NULs around; "" where it cannot be read."""
    try:
        return system.path(absolute).read_text(encoding="utf-8", errors="replace").strip("\0\n\t ")
    except OSError:
        return ""


def _natural(path: Path) -> List[Tuple[int, str]]:
    """`zone10` after `zone9`."""
    return [(len(part), part) for part in path.parts]
