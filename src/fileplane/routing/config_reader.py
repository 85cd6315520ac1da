"""Reads the fields of one object of a config document, noting what is wrong with each at its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from fileplane.routing.config_fields import meant_by
from fileplane.routing.config_problems import Problems, inside

LONGEST_TEXT: Final = 2_048
MOST_UNKNOWN: Final = 50
"""Fields of one document that nobody here knows; more are no newer version of Portkey's schema but another kind of document."""

_Number = TypeVar("_Number", int, float)


class Notes:
    """What reading a whole document brings to light: problems, the paths of ignored fields, how much was seen so far."""

    def __init__(self) -> None:
        self.problems = Problems()
        self.ignored: list[str] = []
        self.unknown = 0
        self.targets = 0
        self.pattern_steps = 0


class ObjectReader:
    """One object. A field that is null counts as absent; a field with a wrong value is noted and then counts as absent too."""

    def __init__(self, values: Mapping[str, Any], path: str, notes: Notes) -> None:
        self.values = values
        self.path = path
        self.notes = notes

    def at(self, name: str) -> str:
        """The path of a field."""
        return inside(self.path, name)

    def problem(self, name: str, message: str) -> None:
        """Notes a problem with a field."""
        self.notes.problems.add(self.at(name), message)

    def has(self, name: str) -> bool:
        """Whether the field is there with any value but null."""
        return self.values.get(name) is not None

    def _of(self, name: str, kind: type | tuple[type, ...], wanted: str) -> Any:
        value = self.values.get(name)
        if value is None or (isinstance(value, kind) and not (isinstance(value, bool) and kind is not bool)):
            return value
        self.problem(name, f"This must be {wanted}.")
        return None

    def text(self, name: str, *, longest: int = LONGEST_TEXT) -> str | None:
        """A text of 1 to ``longest`` printable characters."""
        value: str | None = self._of(name, str, "a text")
        if value is None:
            return None
        if not value or len(value) > longest or not value.isprintable():
            self.problem(name, f"This must be a text of 1 to {longest} printable characters.")
            return None
        return value

    def integer(self, name: str, lowest: int, highest: int) -> int | None:
        """A whole number within bounds."""
        value: int | None = self._of(name, int, "a whole number")
        return self._within(name, value, lowest, highest)

    def number(self, name: str, lowest: float, highest: float) -> float | None:
        """A number within bounds."""
        value: float | None = self._of(name, (int, float), "a number")
        return self._within(name, value, lowest, highest)

    def _within(self, name: str, value: _Number | None, lowest: _Number, highest: _Number) -> _Number | None:
        if value is not None and not lowest <= value <= highest:
            self.problem(name, f"This must be from {lowest} to {highest}.")
            return None
        return value

    def flag(self, name: str) -> bool | None:
        """True or false."""
        value: bool | None = self._of(name, bool, "true or false")
        return value

    def array(self, name: str, *, most: int) -> list[Any] | None:
        """An array of 1 to ``most`` elements."""
        value: list[Any] | None = self._of(name, list, "an array")
        if value is not None and not 1 <= len(value) <= most:
            self.problem(name, f"This must be an array of 1 to {most} elements.")
            return None
        return value

    def object(self, name: str) -> ObjectReader | None:
        """An object, for reading."""
        value: dict[str, Any] | None = self._of(name, dict, "an object")
        return None if value is None else ObjectReader(value, self.at(name), self.notes)

    def status_codes(self, name: str) -> tuple[int, ...] | None:
        """HTTP statuses of failures and others, each once, in the order given."""
        codes = self.array(name, most=500)
        if codes is None:
            return None
        for number, code in enumerate(codes):
            if type(code) is not int or not 100 <= code <= 599:  # noqa: PLR2004 - HTTP's own bounds
                self.notes.problems.add(inside(self.at(name), number), "This must be an HTTP status, a whole number from 100 to 599.")
                return None
        return tuple(dict.fromkeys(codes))

    def unused(self, used: frozenset[str], tolerated: frozenset[str]) -> Iterator[str]:
        """The fields without effect, noted as ignored; a field whose name is a slip of one that is known is a problem."""
        for name in self.values:
            if name in used:
                continue
            if name not in tolerated and not self._bearable(name, used | tolerated):
                continue
            self.notes.ignored.append(self.at(name))
            yield name

    def refuse_unknown(self, known: frozenset[str]) -> None:
        """Notes every field that such an object does not have."""
        for name in self.values:
            if name not in known:
                meant = meant_by(name, known)
                hint = f"Did you mean '{meant}'?" if meant else "Leave it out."
                self.problem(name, f"There is no such field. {hint}")

    def _bearable(self, name: str, known: frozenset[str]) -> bool:
        self.notes.unknown += 1
        if self.notes.unknown > MOST_UNKNOWN:
            if self.notes.unknown == MOST_UNKNOWN + 1:
                self.problem(name, f"The document has more than {MOST_UNKNOWN} unknown fields. Leave them out.")
            return False
        meant = meant_by(name, known)
        if meant is not None:
            self.problem(name, f"There is no such field. Did you mean '{meant}'?")
        return meant is None
