"""Reading the one language that picks devices; what its words stand for is the caller's to say.

EXPR   names, groups, tags, profiles and families, and `all`; joined by `and`, `or`, `not` and parentheses
a,b    one of these; binds tighter than `not`, which binds tighter than `and`, then `or`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set

from profiles.errors import ConfigError

RESERVED = ("all", "and", "or", "not")

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
"""What a device, a group or a tag may be called: a word of this language, and safe in a path."""

WORD_RULE = f"letters, digits, '.', '_' and '-', starting with a letter or digit, and none of {', '.join(RESERVED)}"

Meaning = Callable[[str], Set[str]]
"""The names of the devices that a word stands for. Errors: ConfigError for a word that stands for nothing."""

_OPERATORS = ("and", "or", "not")
_MARKS = ("(", ")", ",")
_TOKEN = re.compile(r"\s*([(),]|[^\s(),]+)")
_MAX_LENGTH = 4096
_MAX_DEPTH = 40


def evaluate(expr: str, meaning: Meaning, everything: Set[str]) -> Set[str]:
    """The names of the devices that `expr` picks; `not` picks from `everything`.

    Errors: ConfigError without a place.
    """
    return _Reader(_tokens(expr), meaning, everything).whole()


def words(expr: str) -> list[str]:
    """What stands for devices in `expr`, in order. Errors: ConfigError for one that is too long."""
    return [token for token in _tokens(expr) if token not in _MARKS and token not in _OPERATORS]


def _tokens(expr: str) -> list[str]:
    if len(expr) > _MAX_LENGTH:
        raise ConfigError(f"an expression of {len(expr):,} characters; at most {_MAX_LENGTH:,} are read")
    return _TOKEN.findall(expr)


class _Reader:
    """Recursive descent; every method returns the names of the devices that its part picks."""

    def __init__(self, tokens: list[str], meaning: Meaning, everything: Set[str]) -> None:
        self._tokens = tokens
        self._meaning = meaning
        self._everything = everything
        self._at = 0
        self._depth = 0

    def whole(self) -> Set[str]:
        if not self._tokens:
            raise ConfigError("the expression is empty")
        chosen = self._any_of()
        if self._at < len(self._tokens):
            raise self._unexpected("expected `and`, `or` or the end")
        return chosen

    def _any_of(self) -> Set[str]:
        chosen = self._all_of()
        while self._take("or"):
            chosen = chosen | self._all_of()
        return chosen

    def _all_of(self) -> Set[str]:
        chosen = self._maybe_not()
        while self._take("and"):
            chosen = chosen & self._maybe_not()
        return chosen

    def _maybe_not(self) -> Set[str]:
        negate = False
        while self._take("not"):
            negate = not negate
        chosen = self._list()
        return self._everything - chosen if negate else chosen

    def _list(self) -> Set[str]:
        chosen = self._term()
        while self._take(","):
            chosen = chosen | self._term()
        return chosen

    def _term(self) -> Set[str]:
        if self._take("("):
            return self._parenthesis()
        word = self._peek()
        if word is None or word in _MARKS or word in _OPERATORS:
            raise self._unexpected("expected a name, group, tag, profile or family")
        self._at += 1
        return self._meaning(word)

    def _parenthesis(self) -> Set[str]:
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
