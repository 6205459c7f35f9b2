"""Which profile a device is of, by the name that its board or GPU gives itself."""

from __future__ import annotations

from device_agents.contract import ProbeReport
from profiles.load import device_profile, device_profile_names

_NAMES = ("board", "gpu_name")  # where a Jetson and a GPU of a host tell theirs
UNNAMED = "local"  # of a machine without an accelerator that anybody knows


def name_of(probe: ProbeReport) -> str:
    """What it calls itself; empty where it does not tell."""
    readings = [probe.identity.get(key) for key in _NAMES]
    return next((str(one.value) for one in readings if one is not None and one.value is not None), "")


def guessed(probe: ProbeReport) -> str | None:
    """The profile of its kind whose parts are all in its name; `local` for a CPU, None where no profile fits. It is a
    guess: boards with more memory and with less of it have one name."""
    if probe.kind == "cpu":
        return UNNAMED
    for profile in map(device_profile, device_profile_names()):
        parts = profile.recognised
        if profile.kind == probe.kind and parts and all(part in name_of(probe) for part in parts):
            return profile.name
    return None
