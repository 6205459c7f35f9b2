"""What inferences cost: the price of an hour of the device over what it serves in an hour, at the measured throughput.

The price is the operator's own (fleet.toml), else that of the device's profile, which is dated and has a source. A
profile's price is taken as it is now, so that all measurements of a report are at one price.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.results.energy import NotKnown
from edge.results.stats import Summary
from edge.results.store import Measurement
from profiles.load import device_profile, device_profile_names
from profiles.schema import Price

MILLION = 1_000_000
_HOUR_S, _DAY_H = 3600.0, 24.0


@dataclass(frozen=True)
class Cost:
    """In the price's currency: of a million images, and of 24 hours, in which so many `images_per_day` are served.
    `per_hour` is the price of what was measured: of one GPU, where the price is that of an instance with several."""

    price: Price
    per_hour: float
    per_million_images: float
    per_day: float
    images_per_day: float


def of(measurement: Measurement, summary: Summary) -> Cost | NotKnown:
    """At the throughput of `summary`, images a second: for a `rate` pattern at the load that was asked for."""
    price = price_of(measurement)
    if isinstance(price, NotKnown):
        return price
    per_s = summary.throughput_per_s
    if math.isnan(per_s) or per_s <= 0:
        return NotKnown("its throughput is not known")
    per_hour = price.per_hour / price.gpus
    return Cost(
        price=price,
        per_hour=per_hour,
        per_million_images=MILLION * per_hour / (per_s * _HOUR_S),
        per_day=_DAY_H * per_hour,
        images_per_day=_DAY_H * _HOUR_S * per_s,
    )


def price_of(measurement: Measurement) -> Price | NotKnown:
    """The operator's own price of that device when it was measured, else its profile's."""
    origin = measurement.origin
    if origin.price is not None:
        return origin.price
    if not origin.device_profile:
        return NotKnown("no device profile is named, and so no price")
    if origin.device_profile not in device_profile_names():
        return NotKnown(f"the profile {origin.device_profile} is not known here, and so no price")
    price = device_profile(origin.device_profile).price
    if price is None:
        own = "with price_per_hour and currency fleet.toml gives one"
        return NotKnown(f"the profile {origin.device_profile} has no price an hour; {own}")
    return price
