"""Which batches of a model to measure at all. Latency and power grow with the batch, and so does the throughput as far
as the latency allows: so both ends of what keeps the limits are found by bisection, with short runs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from edge.answers.limits import NEAR, Figures, Limit

Screening = Generator[int, Figures | None, tuple[int, ...]]
"""Yields a batch to try, is sent what a short run says of it (None: it failed), returns the batches to measure."""


def candidates(batches: Sequence[int], limits: Sequence[Limit]) -> Screening:
    """`batches` are in ascending order. What is returned are both ends of those that keep the limits, and what is so
    near that a short run does not say; nothing where none is near."""
    seen: dict[int, Figures | None] = {}

    def excess(index: int, *, most: bool) -> Generator[int, Figures | None, float]:
        """The largest of the limits of a kind; a run that failed is beyond all that grows with the batch."""
        if index not in seen:
            seen[index] = yield batches[index]
        return _excess(seen[index], limits, most=most)

    top, bottom = len(batches), 0
    if any(limit.most for limit in limits):
        top = yield from _first(0, top, lambda index: excess(index, most=True), beyond=True)
    if not all(limit.most for limit in limits):
        bottom = yield from _first(0, top, lambda index: excess(index, most=False), beyond=False)
    wanted = {bottom, top - 1} if bottom < top else set()
    for index, figures in seen.items():
        if 0 < max(_excess(figures, limits, most=most) for most in (True, False)) <= NEAR:
            wanted.add(index)
    return tuple(batches[index] for index in sorted(wanted))


def _first(
    low: int, high: int, excess: Callable[[int], Generator[int, Figures | None, float]], *, beyond: bool
) -> Generator[int, Figures | None, int]:
    """The first index from `low` that is beyond its limits, or keeps them; `high` where none does."""
    while low < high:
        middle = (low + high) // 2
        found = yield from excess(middle)
        if (found > 0) == beyond:
            high = middle
        else:
            low = middle + 1
    return low


def _excess(figures: Figures | None, limits: Sequence[Limit], *, most: bool) -> float:
    """Of what nobody knows nothing is said: it is left to the full measurement."""
    if figures is None:
        return float("inf") if most else 0.0
    known = [limit.excess(figures) for limit in limits if limit.most is most]
    return max((one for one in known if one is not None), default=0.0)


def front(points: Sequence[Figures]) -> list[int]:
    """The Pareto front: indices of those that none of the others beats in p99, throughput and (where it is known of
    both) power without being worse in another."""
    return [i for i, one in enumerate(points) if not any(_beats(other, one) for other in points)]


def _beats(one: Figures, other: Figures) -> bool:
    pairs = [(-one.per_s, -other.per_s)]
    pairs += [
        (a, b) for a, b in ((one.p99_ns, other.p99_ns), (one.watts, other.watts)) if a is not None and b is not None
    ]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
