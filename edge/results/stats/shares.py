"""How many of how many: a share with the interval that it is known in."""

from __future__ import annotations

import math
from dataclasses import dataclass

_Z = 1.959964  # two-sided 95 % point of the normal distribution


@dataclass(frozen=True)
class Share:
    """`count` of `of`, as a share of 1 with Wilson's 95 % score interval (E. B. Wilson, 1927): it stays within 0 and 1,
    and means something of few and of none. It takes the trials for independent ones."""

    count: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.of or not self.of:
            raise ValueError(f"{self.count} of {self.of} is no share")

    @property
    def value(self) -> float:
        return self.count / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """At 95 %."""
        n, z2 = self.of, _Z * _Z
        middle = (self.count + z2 / 2) / (n + z2)
        half = _Z / (n + z2) * math.sqrt(self.count * (n - self.count) / n + z2 / 4)
        return max(0.0, middle - half), min(1.0, middle + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({low:.1%} to {high:.1%})"
