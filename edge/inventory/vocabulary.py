"""What the words of `--device EXPR` and of groups stand for in one fleet."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from edge.inventory.expression import RESERVED, WORD
from profiles.errors import ConfigError
from profiles.load import device_profile, device_profile_names


@dataclass(frozen=True)
class Labels:
    """By what a device is picked beside its name; `profile` is None where nobody has said it yet, `entry` the name of
    the host that the device is one GPU of."""

    tags: tuple[str, ...]
    profile: str | None
    entry: str | None = None

    @property
    def family(self) -> str | None:
        return None if self.profile is None else device_profile(self.profile).family

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.tags, *filter(None, (self.profile, self.family, self.entry)))


@dataclass(frozen=True)
class Vocabulary:
    """The devices of a fleet and its groups' members, both by name; `everything` is what `all` means, `where` the
    fleet's name in messages."""

    devices: Mapping[str, Labels]
    everything: Set[str]
    where: str
    groups: Mapping[str, Set[str]] = field(default_factory=dict)

    def meaning(self, word: str) -> Set[str]:
        """The devices that it stands for. Errors: ConfigError without a place, for a word that stands for none."""
        if word == "all":
            return self.everything
        if word in self.devices:
            return {word}
        if word in self.groups:
            return self.groups[word]
        found = {name for name, labels in self.devices.items() if word in labels.words}
        if not found:
            raise self._nothing(word)
        return found

    @property
    def choices(self) -> str:
        """The words there are, for messages."""
        devices = self.devices.values()
        kinds = {
            "names": self.devices,
            "groups": self.groups,
            "tags": {tag for labels in devices for tag in labels.tags},
            "profiles": {labels.profile for labels in devices if labels.profile},
            "families": {labels.family for labels in devices if labels.family},
        }
        return "; ".join(f"{kind}: {', '.join(sorted(words))}" for kind, words in kinds.items() if words)

    @property
    def named(self) -> str:
        """Every device with its profile, for messages."""
        return ", ".join(f"{name} ({labels.profile or 'no profile'})" for name, labels in self.devices.items())

    def _nothing(self, word: str) -> ConfigError:
        kind = kind_of_profile(word)
        if kind:
            message = f"no device of {kind} {word} in {self.where}; there are: {self.named}"
            return ConfigError(message, fix="add one to fleet.toml (edgebench init)")
        labels = (item for labels in self.devices.values() for item in labels.words)
        close = difflib.get_close_matches(word, [*self.devices, *self.groups, *labels, *RESERVED], n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        odd = "" if WORD.match(word) else ", and none can be called so"
        kinds = "device, group, tag, profile or family"
        return ConfigError(f"no {kinds} {word!r}{hint} in {self.where}{odd}; {self.choices}")


def kind_of_profile(word: str) -> str:
    """`profile` or `family` where edgebench knows one of that name, whoever has it; else an empty text."""
    profiles = device_profile_names()
    if word in profiles:
        return "profile"
    return "family" if word in _families(profiles) else ""


def _families(profiles: Iterable[str]) -> set[str]:
    return {device_profile(name).family for name in profiles}
