"""What can be turned on a device: the interface of a knob."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, List

from device_agents.control.root import Command


class Knob(ABC):
    """One thing that can be changed. `volatile`: a restart of the device puts it back by itself. `of_host`: jobs on all
    its accelerators share it."""

    name: ClassVar[str]
    volatile: ClassVar[bool] = True
    of_host: ClassVar[bool] = False

    @abstractmethod
    def available(self) -> str:
        """Why it cannot be turned here; "" where it can. Whether this user may is another question."""

    @abstractmethod
    def commands(self) -> List[Command]:
        """All that is run as root to turn it and to put it back."""

    @abstractmethod
    def show(self) -> str:
        """How it stands, for people, and for `put_back`."""

    def is_turned(self) -> bool:
        """Whether it stands as is wanted already: then it is left alone, and nothing is to be put back."""
        return False

    def store(self) -> None:  # noqa: B027 - most have nothing to keep
        """Have kept what `put_back` needs beside what `show` said. Changes nothing. Errors: DeviceError."""

    @abstractmethod
    def write(self) -> None:
        """Turn it. Errors: DeviceError."""

    @abstractmethod
    def put_back(self, before: str) -> None:
        """Turn it back to what `show` said before; once more does no harm. Errors: DeviceError."""

    def is_back(self, before: str, after: str) -> bool:
        """Whether what it shows after it was put back is how it stood before."""
        return after == before
