"""What gauges tell, for tests."""

from __future__ import annotations

from device_agents.gauges import Gauges

Told = dict[str, tuple[float, str]]


def told(gauges: Gauges) -> Told:
    """What they tell now, in units: value and source by name."""
    values: Told = {}
    for gauge in gauges.all:
        for quantity, value in zip(gauge.quantities, gauge.read(), strict=True):
            if value is not None:
                values[quantity.name] = (value / quantity.per_unit, quantity.source)
    return values
