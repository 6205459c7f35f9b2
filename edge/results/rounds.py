"""Two requests measured side by side: rounds of A B B A, in which a device that gets slower by and by is as unkind to
each. A round counts as one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge.results.compare import Comparison, compare, tail
from edge.results.ratios import Ratio, paired
from edge.results.sides import Side


@dataclass(frozen=True)
class Round:
    """What one round measured, two processes of each side."""

    a: Side
    b: Side


def compare_rounds(whole: Round, rounds: Sequence[Round], *, threshold: float, across: Collection[str]) -> Comparison:
    """B over A by the logarithms of the rounds' ratios; `whole` is all of them in one. Errors: ConfigError as of
    `compare`."""
    pooled = compare(whole.a, whole.b, threshold=threshold, across=across, invalid=True)
    throughput = _of(rounds, lambda side: side.throughputs)
    latencies = _of(rounds, lambda side: side.medians_ns)
    p99 = _of(rounds, lambda side: side.p99s_ns) if tail(whole.a, whole.b) is not None else None
    return replace(
        pooled,
        time=latencies or (throughput.inverse if throughput else pooled.time),
        p99=p99 and replace(p99, approximate=True),
        throughput=throughput,
        energy=_of(rounds, lambda side: side.joules),
        how=f"{len(rounds)} rounds of A B B A, a process each",
    )


def _of(rounds: Sequence[Round], figures: Callable[[Side], Sequence[float]]) -> Ratio | None:
    """None where a round does not know the figure."""
    pairs = [(figures(one.a), figures(one.b)) for one in rounds]
    if not all(a and b for a, b in pairs):
        return None
    return paired([float(np.mean(np.log(b)) - np.mean(np.log(a))) for a, b in pairs])
