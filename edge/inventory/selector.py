"""The one language that picks devices: `--device EXPR`.

    EXPR   names, groups, tags, profiles and families, and `all`; joined by `and`, `or`, `not` and parentheses
    a,b    one of these; binds tighter than `not`, which binds tighter than `and`, then `or`

    orin                     every device whose profile is of the family orin
    lab and not t4-16gb      the tag lab, without one profile
    orin-1,orin-2            two names
    a100-1                   every GPU of that host, where the fleet file names them (`gpus =`)
    a100-1:0                 one of them
    orin-7=t4-16gb           a host that the fleet file lacks: edge.inventory.unlisted

A device's own name stands for that device alone. `all` and `not` speak of the devices that the fleet file names, and of
`local` only where the file names it or nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from edge.inventory import ssh_hosts
from edge.inventory.devices import Device, Fleet
from edge.inventory.expression import evaluate
from edge.inventory.unlisted import unlisted
from edge.inventory.vocabulary import Labels, Vocabulary
from profiles.errors import ConfigError

ARGUMENT = "EXPR"
"""What the expression is called where a command takes it without an option."""


def any_of(exprs: Sequence[str]) -> str:
    """One expression of several `--device`. One stays as it was typed, which is how an error quotes it."""
    return exprs[0] if len(exprs) == 1 else " or ".join(f"({expr})" for expr in exprs)


def select(fleet: Fleet, expr: str, where: str = "--device", *, least: int = 1) -> tuple[Device, ...]:
    """The devices that `expr` picks, in the order of the fleet file, then those that it lacks; at least one, or none
    with `least` at 0.

    Errors: ConfigError at `where` for a word that stands for nothing, an expression that cannot be read, or one that
    picks none.
    """
    vocabulary = _vocabulary(fleet)
    devices = dict(fleet.devices)

    def meaning(word: str) -> Set[str]:
        if "=" not in word:
            host = _uncounted(word, fleet)
            return _known(word, vocabulary) if host is None else {host}
        device = unlisted(word, fleet)
        if devices.setdefault(device.name, device) != device:
            raise ConfigError(f"{device.name} is given two profiles or hosts", fix="name it once")
        return {device.name}

    try:
        if not expr.strip():
            raise ConfigError(f"the expression is empty; {vocabulary.choices}")
        chosen = evaluate(expr, meaning, vocabulary.everything)
        if len(chosen) < least:
            raise ConfigError(f"no device in {fleet.where} matches {expr!r}; there are: {vocabulary.named}")
    except ConfigError as error:
        error.where = where
        raise
    return tuple(device for name, device in devices.items() if name in chosen)


def _known(word: str, vocabulary: Vocabulary) -> Set[str]:
    try:
        return vocabulary.meaning(word)
    except ConfigError as error:
        if word in ssh_hosts.aliases():
            error.message = f"{word} is a host of ~/.ssh/config and not of {vocabulary.where}"
            error.fix = f"say what it is: {word}=PROFILE, one of `edgebench profiles list`"
        raise


def _vocabulary(fleet: Fleet) -> Vocabulary:
    labels = {
        name: Labels(device.tags, device.profile.name, device.entry if device.entry != name else None)
        for name, device in fleet.devices.items()
    }
    groups = {
        group: frozenset(name for name, device in fleet.devices.items() if device.entry in entries)
        for group, entries in fleet.groups.items()
    }
    return Vocabulary(labels, frozenset(device.name for device in fleet.declared), fleet.where, groups)


def _uncounted(word: str, fleet: Fleet) -> str | None:
    """The device that a word such as `a100-1:3` may name a GPU of, as nobody has counted its GPUs yet."""
    name = word.partition(":")[0]
    device = fleet.devices.get(name)
    return name if device is not None and device.all_gpus and word != name else None
