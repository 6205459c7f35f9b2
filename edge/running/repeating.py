"""Which of a cell's measurements counts, and whether another one is to be made: never for how fast it was."""

from __future__ import annotations

from collections.abc import Mapping

from edge.results.verdict import MENDED_BY_REPEATING, Status, Verdict

Attempts = Mapping[str, tuple[str, ...]]
"""The INVALID measurements of a cell, oldest first, each with the rules that it broke."""


def rules_of(verdict: Verdict) -> tuple[str, ...]:
    return tuple(dict.fromkeys(finding.rule for finding in verdict.broken))


def is_worth_repeating(verdict: Verdict, before: int, most: int) -> bool:
    """Whether a measurement is INVALID for what passes with time alone, and fewer than `most` have been repeated."""
    rules = rules_of(verdict)
    return verdict.status is Status.INVALID and before < most and MENDED_BY_REPEATING.issuperset(rules)


def counting(invalid: Attempts) -> str:
    """Of measurements that are all INVALID the one that breaks the fewest rules, the latest of several."""
    return min(reversed(list(invalid)), key=lambda measurement: len(invalid[measurement]))
