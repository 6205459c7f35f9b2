"""Options whose value may be left out, which Typer has none of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from typer.core import TyperCommand


class Optional(TyperCommand):
    """A command whose `assumed` options have those values where a command line names none: before another option, or at
    its end."""

    assumed: ClassVar[Mapping[str, str]] = {}

    @staticmethod
    def of(assumed: Mapping[str, str]) -> type[Optional]:
        return type("Command", (Optional,), {"assumed": assumed})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        filled: list[str] = []
        for word, after in zip(args, [*args[1:], "-"], strict=False):
            filled += [word, self.assumed[word]] if word in self.assumed and after.startswith("-") else [word]
        return super().parse_args(ctx, filled)
