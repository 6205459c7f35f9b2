"""The groups of a fleet file: who is in each, and what each gives to its members.

Who is in a group is decided by what the devices and [defaults] say, before any group gives anything. So a tag or a
profile that a group gives picks nobody into a group; the group's own name does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from edge.inventory.expression import RESERVED, WORD, WORD_RULE, evaluate, words
from edge.inventory.vocabulary import Vocabulary, kind_of_profile
from profiles.errors import ConfigError


def group_table(value: Any) -> Any:
    """A group as a table: an expression, or a list of them, is the `devices` of one that gives nothing."""
    table = {"devices": value} if isinstance(value, (str, list)) else value
    if isinstance(table, dict) and isinstance(table.get("devices"), str):
        return {**table, "devices": [table["devices"]]}
    return table


def members(
    expressions: Mapping[str, Sequence[str]], vocabulary: Vocabulary, tags: Collection[str]
) -> dict[str, Set[str]]:
    """The devices of every group, by their names. `tags` are all that there are, those that groups give included.

    Errors: ConfigError for a name that is taken, an expression that cannot be read, and for a circle.
    """
    for name in expressions:
        _check_name(name, vocabulary, tags)
    finder = _Finder(expressions, vocabulary, tags)
    return {name: finder.find(name, ()) for name in expressions}


def given(
    name: str,
    own: Collection[str],
    settings: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Set[str]],
    where: str,
) -> dict[str, Any]:
    """What its groups give to the device `name`, which says the keys `own` itself.

    Errors: ConfigError when two of them give different values of one key.
    """
    found: dict[str, Any] = {}
    giver: dict[str, str] = {}
    for group, values in settings.items():
        for key, value in values.items():
            if name not in groups[group] or key in own:
                continue
            if found.setdefault(key, value) != value:
                message = f"the groups {giver[key]} and {group} give {name} different values of {key!r}"
                fix = f"say {key} at the device, or take it out of one of the groups"
                raise ConfigError(message, where=f"{where}, key {f'devices.{name}'!r}", fix=fix)
            giver.setdefault(key, group)
    return found


class _Finder:
    """Finds the members of groups, those of the groups that a group uses first."""

    def __init__(self, expressions: Mapping[str, Sequence[str]], vocabulary: Vocabulary, tags: Collection[str]) -> None:
        self._expressions = expressions
        self._tags = tags
        self._found: dict[str, Set[str]] = {}
        self._vocabulary = replace(vocabulary, groups=self._found)

    def find(self, name: str, users: tuple[str, ...]) -> Set[str]:
        if name in users:
            circle = " uses ".join((*users[users.index(name) :], name))
            raise ConfigError(f"groups go in a circle: {circle}", where=self._where(name), fix="take one of them out")
        if name not in self._found:
            try:
                self._found[name] = frozenset().union(
                    *(self._read(expr, (*users, name)) for expr in self._expressions[name])
                )
            except ConfigError as error:
                error.where = error.where or self._where(name)
                raise
        return self._found[name]

    def _read(self, expr: str, users: tuple[str, ...]) -> Set[str]:
        for word in words(expr):
            if word in self._expressions:
                self.find(word, users)
        return evaluate(expr, self._meaning, self._vocabulary.everything)

    def _meaning(self, word: str) -> Set[str]:
        """As on the command line, but a profile or family that no device has yet is one that may come."""
        try:
            return self._vocabulary.meaning(word)
        except ConfigError as error:
            if kind_of_profile(word):
                return frozenset()
            if word in self._tags:
                error.message = f"the tag {word!r} is given by a group alone, and groups do not see it"
                error.fix = "name that group instead"
            raise

    def _where(self, name: str) -> str:
        return f"{self._vocabulary.where}, key {f'groups.{name}'!r}"


def _check_name(name: str, vocabulary: Vocabulary, tags: Collection[str]) -> None:
    """A group that is called like something else would take its place in `--device`, or be hidden by it."""
    where = f"{vocabulary.where}, key {f'groups.{name}'!r}"
    if not WORD.match(name) or name in RESERVED:
        raise ConfigError(f"{name!r} cannot name a group; use {WORD_RULE}", where=where)
    kind = "device" if name in vocabulary.devices else "tag" if name in tags else kind_of_profile(name)
    if kind:
        raise ConfigError(f"the group name {name!r} is that of a {kind}", where=where, fix="call it otherwise")
