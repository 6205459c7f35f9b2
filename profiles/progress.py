"""How long work tells the one who waits: a callback of plain facts, drawn (or not) by the command line."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called often, from any thread; must return quickly and never raise."""

    def __call__(self, what: str, done: int = 0, total: int = 0) -> None:
        """`what` names the step (`upload resnet18`), `done` of `total` its extent, bytes or items (0: unknown)."""


def silent(what: str, done: int = 0, total: int = 0) -> None:
    """The progress of someone who does not want to know."""
