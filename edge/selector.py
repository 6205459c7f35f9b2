"""The one language that picks devices: `--device EXPR`.

    EXPR   names, tags, profiles and families, and `all`; joined by `and`, `or`, `not` and parentheses
    a,b    one of these; binds tighter than `not`, which binds tighter than `and`, then `or`

    orin                     every device whose profile is of the family orin
    lab and not t4-16gb      the tag lab, without one profile
    orin-1,orin-2            two names
    a100-1                   every GPU of that host, where the fleet file names them (`gpus =`)
    a100-1:0                 one of them

A device's own name stands for that device alone. `all` and `not` speak of the devices that the fleet file names, and of
`local` only where the file names it or nothing else.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from edge.inventory import RESERVED, WORD, Device, Fleet
from profiles.errors import ConfigError
from profiles.load import device_profile, device_profile_names

ARGUMENT = "EXPR"
"""What the expression is called where a command takes it without an option."""
_TOKEN = re.compile(r"\s*([(),]|[^\s(),]+)")
_MAX_LENGTH = 4096
_MAX_DEPTH = 40


def select(fleet: Fleet, expr: str, where: str = "--device") -> tuple[Device, ...]:
    """The devices that `expr` picks, in the order of the fleet file; at least one.

    Errors: ConfigError at `where` for a word that stands for nothing, an expression that cannot be read, or one that
    picks none.
    """
    try:
        chosen = _Reader(fleet, _tokens(expr)).whole()
        if not chosen:
            raise ConfigError(f"no device in {fleet.where} matches {expr!r}; there are: {_named(fleet)}")
    except ConfigError as error:
        error.where = where
        raise
    return tuple(device for name, device in fleet.devices.items() if name in chosen)


def _tokens(expr: str) -> list[str]:
    if len(expr) > _MAX_LENGTH:
        raise ConfigError(f"an expression of {len(expr):,} characters; at most {_MAX_LENGTH:,} are read")
    return _TOKEN.findall(expr)


class _Reader:
    """Recursive descent; every method returns the names of the devices that its part picks."""

    def __init__(self, fleet: Fleet, tokens: list[str]) -> None:
        self._fleet = fleet
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def whole(self) -> set[str]:
        if not self._tokens:
            raise ConfigError(f"the expression is empty; {_choices(self._fleet)}")
        chosen = self._any_of()
        if self._at < len(self._tokens):
            raise self._unexpected("expected `and`, `or` or the end")
        return chosen

    def _any_of(self) -> set[str]:
        chosen = self._all_of()
        while self._take("or"):
            chosen |= self._all_of()
        return chosen

    def _all_of(self) -> set[str]:
        chosen = self._maybe_not()
        while self._take("and"):
            chosen &= self._maybe_not()
        return chosen

    def _maybe_not(self) -> set[str]:
        negate = False
        while self._take("not"):
            negate = not negate
        chosen = self._list()
        return {device.name for device in self._fleet.declared} - chosen if negate else chosen

    def _list(self) -> set[str]:
        chosen = self._term()
        while self._take(","):
            chosen |= self._term()
        return chosen

    def _term(self) -> set[str]:
        if self._take("("):
            return self._parenthesis()
        word = self._peek()
        if word is None or word in ("(", ")", ",", "and", "or", "not"):
            raise self._unexpected("expected a name, tag, profile or family")
        self._at += 1
        return _meaning(self._fleet, word)

    def _parenthesis(self) -> set[str]:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ConfigError(f"parentheses nested deeper than {_MAX_DEPTH}")
        chosen = self._any_of()
        if not self._take(")"):
            raise self._unexpected("expected `)`")
        self._depth -= 1
        return chosen

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, token: str) -> bool:
        found = self._peek() == token
        self._at += found
        return found

    def _unexpected(self, expected: str) -> ConfigError:
        found = self._peek()
        before = " ".join(self._tokens[: self._at])
        place = f" after {before!r}" if before else ""
        return ConfigError(f"{expected}{place}, got {repr(found) if found else 'the end'}")


def _meaning(fleet: Fleet, word: str) -> set[str]:
    if word == "all":
        return {device.name for device in fleet.declared}
    if word in fleet.devices:
        return {word}
    found = {device.name for device in fleet.devices.values() if word in _words(device) or _may_have(device, word)}
    if not found:
        raise _nothing(fleet, word)
    return found


def _may_have(device: Device, word: str) -> bool:
    """Whether a word such as `a100-1:3` may name a GPU of a device whose GPUs nobody has counted yet."""
    return device.all_gpus and word.startswith(f"{device.name}:")


def _words(device: Device) -> tuple[str, ...]:
    return (device.entry, *device.tags, device.profile.name, device.family)


def _nothing(fleet: Fleet, word: str) -> ConfigError:
    profiles = device_profile_names()
    kind = "profile" if word in profiles else "family" if word in _families(profiles) else ""
    if kind:
        return ConfigError(
            f"no device of {kind} {word} in {fleet.where}; there are: {_named(fleet)}",
            fix="add one to fleet.toml (edgebench init)",
        )
    known = [*fleet.devices, *(item for device in fleet.devices.values() for item in _words(device)), *RESERVED]
    close = difflib.get_close_matches(word, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    odd = "" if WORD.match(word) else ", and none can be called so"
    return ConfigError(f"no device, tag, profile or family {word!r}{hint} in {fleet.where}{odd}; {_choices(fleet)}")


def _choices(fleet: Fleet) -> str:
    devices = fleet.devices.values()
    groups = {
        "names": fleet.devices,
        "tags": {tag for device in devices for tag in device.tags},
        "profiles": {device.profile.name for device in devices},
        "families": {device.family for device in devices},
    }
    return "; ".join(f"{kind}: {_listed(words)}" for kind, words in groups.items() if words)


def _families(profiles: Iterable[str]) -> set[str]:
    return {device_profile(name).family for name in profiles}


def _named(fleet: Fleet) -> str:
    return ", ".join(f"{device.name} ({device.profile.name})" for device in fleet.devices.values())


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
