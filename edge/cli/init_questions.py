"""What `edgebench init` asks on a terminal: one device after another. Ctrl-C and Ctrl-D end it, as do no more names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edge.cli.common import say

if TYPE_CHECKING:
    from edge.inventory.importing import Entry, Value
    from edge.trust import Offer

AS_SSH = "as ssh knows"


def next_name(taken: Sequence[str]) -> str | None:
    """The name of the next device; None where there is none."""
    from edge.inventory.importing import unusable_name

    while True:
        name = _answer("Name of a device (none: that is all)" if taken else "Name of a device (none: an example)", "")
        if not name:
            return None
        why = "it is named already" if name in taken else unusable_name(name)
        if not why:
            return name
        say(f"  {name}: {why}", err=True)


def reach(name: str, given: Mapping[str, Value]) -> dict[str, Value]:
    """How the device is reached, without what ~/.ssh/config is left to say. `given` are not asked for."""
    found: dict[str, Value] = {}
    host = _answer("  Host, or its alias in ~/.ssh/config", name)
    if host != name:
        found["host"] = host
    for key, question in (
        ("user", "  User"),
        ("port", "  Port"),
        ("key", "  Private key"),
        ("gateway", "  Gateway, user@host:port"),
    ):
        answer = "" if key in given else _answer(question, AS_SSH)
        if answer and answer != AS_SSH:
            found[key] = int(answer) if key == "port" and answer.isdecimal() else answer
    return found


def profile(guess: str | None) -> str:
    from profiles.load import device_profile_names

    names = device_profile_names()
    while True:
        answer = _answer("  Profile", guess or "")
        if answer in names:
            return answer
        say(f"  one of {', '.join(names)}", err=True)


def confirmed(offer: Offer) -> bool:
    """Whether the keys that a host shows are its own."""
    for key in offer.keys:
        say(f"  {offer.device.name} ({offer.device.address}): {key}", err=True)
    return typer.confirm(f"  Are these the keys of {offer.device.name}?", default=False, err=True)


def overwrite(file: Path) -> bool:
    return typer.confirm(f"{file} exists. Write over it?", default=False, err=True)


def sure(file: Path, devices: Sequence[Entry]) -> bool:
    names = ", ".join(device.name for device in devices) or "an example"
    return typer.confirm(f"Write {file} ({names})?", default=True, err=True)


def _answer(question: str, default: str) -> str:
    answer: str = typer.prompt(question, default=default, show_default=bool(default), err=True)
    return answer.strip()
