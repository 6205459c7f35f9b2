"""What `export` reads from its command line: sizes of images, numbers of a normalisation, an opset."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from export.request import Size

AUTO_OPSET = 0


def parse_size(text: str | None) -> Size | None:
    """320, 480x640 (height x width), 224:384:512 (MIN:OPT:MAX of both sides) or one of these for each side. Errors:
    ConfigError."""
    from device_agents.contract import DimRange, SchemaViolation
    from export.asking import MAX_SIDE
    from profiles.errors import ConfigError

    if text is None:
        return None
    fix = "for example 320, 480x640 or 224:384:512"
    sides = []
    for side in text.split("x"):
        words = side.split(":")
        if len(words) not in (1, 3) or not all(word.isascii() and word.isdigit() and len(word) < 6 for word in words):
            raise ConfigError(f"{text!r} is no size of images", where="--size", fix=fix)
        try:
            sides.append(DimRange(*(int(word) for word in (words if len(words) == 3 else words * 3))))
        except SchemaViolation as error:
            raise ConfigError(error.message, where="--size", fix=fix) from None
    if len(sides) > 2 or max(side.max for side in sides) > MAX_SIDE:
        raise ConfigError(f"{text!r} is no size of images up to {MAX_SIDE}", where="--size", fix=fix)
    return sides[0], sides[-1]


def numbers(text: str | None, where: str, *, positive: bool = False) -> tuple[float, ...]:
    """0.485,0.456,0.406; `positive` for what something is divided by. Errors: ConfigError."""
    import math

    from profiles.errors import ConfigError

    if text is None:
        return ()
    try:
        found = tuple(map(float, text.split(",")))
    except ValueError:
        found = ()
    if not found or not all(map(math.isfinite, found)):
        raise ConfigError(f"{text!r} is no list of numbers", where=where, fix="for example 0.485,0.456,0.406")
    if positive and min(found) <= 0:
        raise ConfigError(f"{min(found):g} is not above 0", where=where, fix="for example 0.229,0.224,0.225")
    return found


def parse_folder(path: Path | None) -> Path | None:
    """The folder of --out, which is made once there is something for it. Errors: ConfigError where it cannot be."""
    import os

    from profiles.errors import ConfigError

    if path is None:
        return None
    folder = path.expanduser().absolute()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    why = "" if os.access(there, os.W_OK | os.X_OK) else f"{there} cannot be written to"
    if not there.is_dir():
        why = f"{there} is no folder"
    if why:
        raise ConfigError(f"cannot be made ({why})", where=f"--out {path}", fix="name another folder")
    return folder


def parse_opset(text: str | None) -> int | None:
    """A number, AUTO_OPSET, or None for the default. Errors: ConfigError."""
    from profiles.errors import ConfigError

    if text is None:
        return None
    if text == "auto":
        return AUTO_OPSET
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 99):
        raise ConfigError(f"{text!r} is neither a number nor auto", where="--opset")
    return int(text)
