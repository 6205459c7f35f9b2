"""What gauges told over time, kept in memory until it is over: nothing is written while something is timed."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

from device_agents.contract import SampleRange, Series
from device_agents.files import little_endian
from device_agents.gauges import Gauge, Gauges, Quantity

MOST_SAMPLES = 50_000  # of a series


def _empty() -> array[int]:
    return array("q")


@dataclass
class _Track:
    quantity: Quantity
    times: array[int] = field(default_factory=_empty)
    values: array[int] = field(default_factory=_empty)


class Recording:
    """Looks at gauges. When a series is full, every second sample of all is dropped, and `thinned` is doubled: that
    many times rarer it is to be looked from then on."""

    def __init__(self, gauges: Gauges, most: int = MOST_SAMPLES) -> None:
        self.thinned = 1
        self._most = most
        self._unknown = dict(gauges.unknown)
        self._gauges: List[Tuple[Gauge, List[_Track]]] = [
            (gauge, [_Track(quantity) for quantity in gauge.quantities]) for gauge in gauges.all
        ]
        self._due: Dict[int, float] = {}
        self._looks: array[int] = array("q", [])

    def look(self) -> None:
        """Read what is due, each at its own time: some sensors take milliseconds."""
        now = time.monotonic()
        self._looks.append(time.perf_counter_ns())
        for place, (gauge, tracks) in enumerate(self._gauges):
            if self._due.get(place, 0.0) > now:
                continue
            self._due[place] = now + gauge.every_s * 0.95
            at = time.perf_counter_ns()
            for track, value in zip(tracks, _told(gauge)):
                if value is not None:
                    track.times.append(at)
                    track.values.append(value)
        if len(self._looks) >= self._most:
            self._thin()

    @property
    def rate_hz(self) -> float:
        """How often it was looked, on average."""
        span_ns = self._looks[-1] - self._looks[0] if len(self._looks) > 1 else 0
        return (len(self._looks) - 1) * 1e9 / span_ns if span_ns else 0.0

    def unknown(self) -> Dict[str, str]:
        """Why a quantity has no series."""
        silent = {
            track.quantity.name: f"{track.quantity.source}: not told"
            for _, tracks in self._gauges
            for track in tracks
            if not track.values
        }
        return {**self._unknown, **silent}

    def series(self) -> Tuple[Tuple[Series, ...], bytes]:
        """All that was told, and the numbers that the ranges point to: 64-bit little-endian integers. Series of the
        same times share them."""
        found: List[Series] = []
        data: List[bytes] = []
        places: Dict[bytes, SampleRange] = {}
        end = 0
        for track in (track for _, tracks in self._gauges for track in tracks if track.values):
            ranges = []
            for numbers in (track.times, track.values):
                raw = little_endian(numbers)
                if raw not in places:
                    places[raw] = SampleRange(end, len(numbers))
                    data.append(raw)
                    end += len(numbers)
                ranges.append(places[raw])
            of = track.quantity
            found.append(Series(of.name, of.unit, of.source, of.per_unit, ranges[0], ranges[1]))
        return tuple(found), b"".join(data)

    def _thin(self) -> None:
        self.thinned *= 2
        self._looks = self._looks[::2]
        for _, tracks in self._gauges:
            for track in tracks:
                track.times, track.values = track.times[::2], track.values[::2]


def _told(gauge: Gauge) -> Sequence[Optional[int]]:
    """Nothing where a device says what nobody understands: it may say something else the next time."""
    try:
        return gauge.read()
    except (OSError, ValueError):
        return ()
