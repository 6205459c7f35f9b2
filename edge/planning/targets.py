"""The GPUs that engines can be built for ahead of time, by the one runtime that can."""

from __future__ import annotations

from profiles.errors import ConfigError
from profiles.load import unknown

RUNTIME = "tensorrt-rtx"
"""The only runtime that builds for a GPU which is not there."""

TARGETS = ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")
"""What TensorRT-RTX 1.7 builds for (its ComputeCapability)."""

_OTHERS = {
    "sm70": "V100",
    "sm72": "Jetson Xavier",
    "sm87": "Jetson Orin",
    "sm90": "H100, H200 and GH200",
    "sm100": "B200 and GB200",
    "sm103": "B300 and GB300",
    "sm110": "Jetson Thor",
}


def parse_targets(text: str) -> tuple[str, ...]:
    """`sm80,sm86`. Errors: ConfigError that says why a target cannot be built for, and which can."""
    found = []
    for word in text.lower().split(","):
        if word in _OTHERS:
            fix = f"use {', '.join(TARGETS)}; `edgebench deploy` builds TensorRT engines on the device itself"
            message = f"{word} is {_OTHERS[word]}, for which TensorRT-RTX builds no engine"
            raise ConfigError(message, where="--target", fix=fix)
        if word not in TARGETS:
            raise unknown("target", word, TARGETS, where="--target")
        found.append(word)
    return tuple(dict.fromkeys(found))
