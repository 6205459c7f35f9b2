"""Of a measurement what the page draws of its start, its memory and its cost."""

from __future__ import annotations

from typing import Any

from edge.report.page.numbers import short
from edge.report.rows import Row
from edge.report.stages import at_price, word
from edge.results.energy import NotKnown


def starts(row: Row) -> dict[str, Any]:
    """Seconds from process start to first answer, by how the processes started."""
    found = row.loading
    if isinstance(found, NotKnown):
        return {"why": found.reason, "starts": []}
    told = [
        {
            "name": start.name,
            "s": short(start.total_s),
            "half": short(start.half_width_s),
            "processes": len(start.processes),
            "parts": [{"name": word(name), "s": short(value)} for name, value in start.parts.items()],
        }
        for start in found.starts
    ]
    return {"why": "", "starts": told}


def memory(row: Row) -> dict[str, Any]:
    """Bytes over the baseline, by stage."""
    found = row.footprint
    if isinstance(found, NotKnown):
        return {"why": found.reason, "stages": []}
    stages = [{"name": word(one.name), "process": one.process, "device": one.device} for one in found.stages]
    return {
        "why": "",
        "stages": stages,
        "process": found.process,
        "device": found.device,
        "source": found.device_source,
        "allocator": found.allocator,
    }


def cost(row: Row) -> dict[str, Any]:
    found = row.cost
    if isinstance(found, NotKnown):
        return {"why": found.reason}
    return {
        "why": "",
        "million": short(found.per_million_images),
        "day": short(found.per_day),
        "images": short(found.images_per_day),
        "currency": found.price.currency,
        "at": at_price(found),
    }
