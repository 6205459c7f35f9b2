"""Lines of `results show` on starting, holding and paying: how long until the first answer, what memory by then, what
an hour costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge.report.engines import size
from edge.report.readings import Line
from edge.results.cost import Cost
from edge.results.energy import NotKnown
from edge.results.loading import Loading, Start
from edge.results.memory import Memory

_WORDS = {"interpreter": "Python", "bind": "inputs handed over", "first_inference": "first inference"}


def word(name: str) -> str:
    """A part or a stage, for people."""
    return _WORDS.get(name, name.replace("_", " "))


def starting(found: Loading | NotKnown) -> Iterator[Line]:
    if isinstance(found, NotKnown):
        yield "to the first answer", f"not known: {found.reason}"
        return
    for index, start in enumerate(found.starts):
        yield "to the first answer s" if index == 0 else "", f"{told_start(start)}: {_parts(start.parts)}"
    unseen = {process.unseen for process in found.processes if process.unseen}
    for why in sorted(unseen):
        yield "", f"how warm the page cache was is not known: {why}"
    own = ", ".join(f"{process.own_s:.2f}" for process in found.processes)
    yield "", f"edgebench's own in between, in none of these: {own} s"


def told_start(start: Start) -> str:
    """`0.61 ±0.04 warm (4 processes)`."""
    width = "" if start.half_width_s is None else f" ±{seconds(start.half_width_s)}"
    count = len(start.processes)
    whose = f"process {start.processes[0]}" if count == 1 else f"{count} processes"
    return f"{seconds(start.total_s)}{width} {start.name} ({whose})"


def holding(found: Memory | NotKnown) -> Iterator[Line]:
    if isinstance(found, NotKnown):
        yield "memory by stage", f"not known: {found.reason}"
        return
    yield "memory by stage", f"process {_stages({one.name: one.process for one in found.stages}, found.process)}"
    if found.device is not None:
        of_device = {one.name: one.device for one in found.stages if one.device is not None}
        yield "", f"device {_stages(of_device, found.device)} ({found.device_source})"
    if found.allocator is not None:
        yield "", f"the runtime took {size(found.allocator)} of the device by its own count"
    yield "", f"over {size(found.baseline)} before the import; without {size(found.own)} that edgebench keeps there"
    if found.caveat:
        yield "", f"stages are not apart: {found.caveat}"


def costing(found: Cost | NotKnown) -> Iterator[Line]:
    if isinstance(found, NotKnown):
        yield "cost", f"not known: {found.reason}"
        return
    currency = found.price.currency
    yield "cost", f"{money(found.per_million_images)} {currency} for a million images at this throughput"
    yield "", f"24 hours: {money(found.per_day)} {currency}, {found.images_per_day:,.0f} images"
    yield "", at_price(found)


def at_price(found: Cost) -> str:
    """What an hour costs, of what, as of when and where that is written."""
    price = found.price
    share = f", one of {price.gpus} GPUs of" if price.gpus > 1 else ":" if price.instance else ""
    what = f"{share} {price.instance}, {price.region}" if price.instance else ""
    when = f", as of {price.date}" if price.date else ""
    return f"at {money(found.per_hour)} {price.currency} an hour{what}{when} ({price.source})"


def money(amount: float) -> str:
    """Three significant digits, or cents."""
    return f"{amount:,.2f}" if amount >= 10 else f"{amount:.3g}"


def seconds(value: float) -> str:
    """Milliseconds are seen, and no more."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def _parts(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{word(name)} {seconds(value)}" for name, value in parts.items())


def _stages(stages: Mapping[str, int], most: int) -> str:
    by_stage = ", ".join(f"{word(name)} {size(count)}" for name, count in stages.items())
    return f"at most {size(most)}: {by_stage}"
