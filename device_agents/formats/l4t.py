"""Jetson Linux: /etc/nv_tegra_release, nvpmodel, the device tree's model. Recorded examples are in the tests."""

from __future__ import annotations

import re
from typing import Optional

_RELEASE = re.compile(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)")
_MODE = re.compile(r"POWER_MODEL:?\s+ID=(\d+)\s+NAME=(\S+)")
_FAN_PROFILE = re.compile(r"^[^#\n]*(?:FAN_PROFILE:|FAN_DEFAULT_PROFILE\s+)(\w+)", re.MULTILINE)

# L4T to JetPack, the longer number first: https://developer.nvidia.com/embedded/jetpack-archive
_JETPACK = (
    ("39.2", "7.2"), ("38.4", "7.1"), ("38.2", "7.0"), ("36.5", "6.2.2"), ("36.4.7", "6.2.1"), ("36.4.4", "6.2.1"),
    ("36.4.3", "6.2"), ("36.4", "6.1"), ("36.3", "6.0"), ("35.6.1", "5.1.5"), ("35.6", "5.1.4"), ("35.5", "5.1.3"),
    ("35.4", "5.1.2"), ("35.3", "5.1.1"), ("35.2", "5.1"),
)  # fmt: skip


def parse_release(text: str) -> Optional[str]:
    """`36.4.7` from `# R36 (release), REVISION: 4.7, GCID: ...`."""
    match = _RELEASE.search(text)
    return f"{match.group(1)}.{match.group(2)}" if match else None


def jetpack_of(l4t: str) -> Optional[str]:
    """The JetPack that an L4T release belongs to, as far as its number tells."""
    for prefix, jetpack in _JETPACK:
        if f"{l4t}.".startswith(f"{prefix}."):
            return jetpack
    return None


def parse_model(text: str) -> Optional[str]:
    """/proc/device-tree/model: the name ends in NUL."""
    return text.rstrip("\0\n ") or None


def parse_power_mode(text: str) -> Optional[str]:
    """The name from `nvpmodel -q`: `NV Power Mode: MAXN`, the id on the next line."""
    for line in text.splitlines():
        if line.startswith("NV Power Mode:"):
            return line.partition(":")[2].strip() or None
    return None


def parse_power_modes(text: str) -> Optional[str]:
    """`0:15W 1:7W`, id and name, from /etc/nvpmodel.conf (`< POWER_MODEL ID=0 NAME=15W >`) or `nvpmodel -p`."""
    found = dict.fromkeys(f"{number}:{name}" for number, name in _MODE.findall(text))
    return " ".join(found) or None


def power_mode_id(modes: str, name: str) -> Optional[int]:
    """The id of a mode in what `parse_power_modes` gave. Ids differ from board to board: never assume one."""
    for mode in modes.split():
        number, _, called = mode.partition(":")
        if called == name:
            return int(number)
    return None


def parse_fan_profile(text: str) -> Optional[str]:
    """Of `nvfancontrol -q` (`FAN1:FAN_PROFILE:quiet`) or /etc/nvfancontrol.conf (`FAN_DEFAULT_PROFILE quiet`)."""
    match = _FAN_PROFILE.search(text)
    return match.group(1) if match else None


def cuda_of(l4t: str) -> Optional[str]:
    """The CUDA release of an L4T's JetPack: https://developer.nvidia.com/embedded/jetpack-archive."""
    for prefix, cuda in (("39.", "13.2"), ("38.", "13.0"), ("36.4", "12.6"), ("36.5", "12.6"), ("36.", "12.2")):
        if l4t.startswith(prefix):
            return cuda
    return "11.4" if l4t.startswith("35.") else None
