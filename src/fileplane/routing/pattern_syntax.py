"""The syntax of :mod:`fileplane.routing.patterns`: from the text of a pattern to its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

LONGEST_PATTERN: Final = 256
MOST_REPETITIONS: Final = 128
DEEPEST_GROUP: Final = 16

_QUANTIFIER: Final = re.compile(r"[*+?]|\{(\d{1,4})(,(\d{1,4})?)?\}", re.ASCII)
_CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
_CODE: Final = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})")


class PatternError(ValueError):
    """A pattern that cannot be used; the text says what would do and quotes nothing of the pattern."""


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """One character out of ranges, or with ``negated`` one outside of all of them."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def holds(self, character: str) -> bool:
        """Whether ``character``, a single one, is in the set."""
        return any(low <= character <= high for low, high in self.ranges) is not self.negated


class Edge(Enum):
    """An end of the text, which is matched without reading anything."""

    START = "^"
    END = "$"


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts one after another; none at all matches the empty text."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternatives:
    """One of several."""

    choices: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """A part ``least`` to ``most`` times, without an end when ``most`` is None."""

    part: Node
    least: int
    most: int | None


Node: TypeAlias = CharacterSet | Edge | Sequence | Alternatives | Repeat

_DIGITS: Final = (("0", "9"),)
_WORD: Final = (("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))
_SPACE: Final = (
    ("\t", "\r"),
    (" ", " "),
    ("\xa0", "\xa0"),
    ("\u1680", "\u1680"),
    ("\u2000", "\u200a"),
    ("\u2028", "\u2029"),
    ("\u202f", "\u202f"),
    ("\u205f", "\u205f"),
    ("\u3000", "\u3000"),
    ("\ufeff", "\ufeff"),
)
_LINE_ENDS: Final = (("\n", "\n"), ("\r", "\r"), ("\u2028", "\u2029"))
_CLASSES: Final = {"d": _DIGITS, "w": _WORD, "s": _SPACE}


def parse_pattern(source: str) -> Node:
    """The parts of a pattern; raises :class:`PatternError`."""
    if len(source) > LONGEST_PATTERN:
        raise PatternError(f"The pattern is longer than {LONGEST_PATTERN} characters. Shorten it.")
    parser = _Parser(source)
    node = parser.alternatives(0)
    if not parser.at_end():
        raise PatternError("A ')' has no '('. Write '\\)' for the character itself.")
    return node


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0

    def at_end(self) -> bool:
        return self._at >= len(self._source)

    def _next(self) -> str:
        return self._source[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        found = self._source.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def alternatives(self, depth: int) -> Node:
        choices = [self._sequence(depth)]
        while self._take("|"):
            choices.append(self._sequence(depth))
        return choices[0] if len(choices) == 1 else Alternatives(tuple(choices))

    def _sequence(self, depth: int) -> Sequence:
        parts: list[Node] = []
        while not self.at_end() and self._next() not in "|)":
            parts.append(self._repeated(self._atom(depth)))
        return Sequence(tuple(parts))

    def _repeated(self, part: Node) -> Node:
        match = _QUANTIFIER.match(self._source, self._at)
        if match is None:
            return part
        if isinstance(part, Edge):
            raise PatternError("'^' and '$' cannot be repeated.")
        self._at = match.end()
        self._take("?")  # a lazy repetition finds the same texts
        if _QUANTIFIER.match(self._source, self._at):
            raise PatternError("A repetition follows a repetition. Put the first into a group.")
        return Repeat(part, *_bounds(match))

    def _atom(self, depth: int) -> Node:
        character = self._next()
        self._at += 1
        if character == "(":
            return self._group(depth + 1)
        if character == "[":
            return self._set()
        if character == "\\":
            return self._escape()
        if character == ".":
            return CharacterSet(_LINE_ENDS, negated=True)
        if character in "^$":
            return Edge(character)
        if character in "*+?{":
            raise PatternError("A repetition has nothing before it. Write a backslash before the character itself.")
        return CharacterSet(((character, character),))

    def _group(self, depth: int) -> Node:
        if depth > DEEPEST_GROUP:
            raise PatternError(f"Groups are nested deeper than {DEEPEST_GROUP}.")
        if not self._take("?:") and self._next() == "?":
            raise PatternError("Look-around, named groups and flags are not supported. Use plain groups.")
        node = self.alternatives(depth)
        if not self._take(")"):
            raise PatternError("A '(' has no ')'. Write '\\(' for the character itself.")
        return node

    def _escape(self) -> CharacterSet:
        character = self._next()
        lowered = character.lower()
        if lowered in _CLASSES:
            self._at += 1
            return CharacterSet(_CLASSES[lowered], negated=character != lowered)
        single = self._escaped_character()
        return CharacterSet(((single, single),))

    def _escaped_character(self) -> str:
        if code := _CODE.match(self._source, self._at):
            self._at = code.end()
            return chr(int(code[1] or code[2], 16))
        character = self._next()
        self._at += 1
        if character in _CONTROLS:
            return _CONTROLS[character]
        if not character or character.isalnum():
            raise PatternError("An escape is not supported: there are \\d \\w \\s \\D \\W \\S \\t \\n \\r \\f \\v \\xhh \\uhhhh and signs.")
        return character

    def _set(self) -> CharacterSet:
        negated = self._take("^")
        ranges: list[tuple[str, str]] = []
        while not self._take("]"):
            if self.at_end():
                raise PatternError("A '[' has no ']'. Write '\\[' for the character itself.")
            ranges += self._member()
        return CharacterSet(tuple(ranges), negated)

    def _member(self) -> list[tuple[str, str]]:
        low = self._member_end()
        if isinstance(low, CharacterSet):
            return _all_ranges(low)
        if self._next() != "-" or self._source[self._at + 1 : self._at + 2] in {"]", ""}:
            return [(low, low)]
        self._at += 1
        high = self._member_end()
        if isinstance(high, CharacterSet) or high < low:
            raise PatternError("A range in '[…]' must go from a character to a later one. Write '\\-' for the character itself.")
        return [(low, high)]

    def _member_end(self) -> str | CharacterSet:
        character = self._next()
        self._at += 1
        if character != "\\":
            return character
        return self._escape() if self._next().lower() in _CLASSES else self._escaped_character()


def _bounds(match: re.Match[str]) -> tuple[int, int | None]:
    if match[1] is None:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[match[0]]
    least = int(match[1])
    most = None if match[2] and not match[3] else int(match[3] or match[1])
    if max(least, most or 0) > MOST_REPETITIONS or (most is not None and most < least):
        raise PatternError(f"A repetition {{m,n}} must have m at most n, and n at most {MOST_REPETITIONS}.")
    return least, most


def _all_ranges(characters: CharacterSet) -> list[tuple[str, str]]:
    """The ranges of a set, or of what is outside of them, since a set within a set is not negated by itself."""
    if not characters.negated:
        return list(characters.ranges)
    gaps, low = [], 0
    for start, end in characters.ranges:
        gaps.append((chr(low), chr(ord(start) - 1)))
        low = ord(end) + 1
    return [*gaps, (chr(low), chr(0x10FFFF))]
