"""What is wrong with a config document: each problem at its path, and the refusal that is made of them.

No message holds a value of the document, so that a secret in the wrong field is not repeated in answers and logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fileplane.errors import InvalidValue

MOST_PROBLEMS: Final = 20
"""How many problems of one document are told of; the others are only counted."""
WHOLE_DOCUMENT: Final = "config"
"""The ``param`` of a problem that lies in no field of its own."""

_LONGEST_FIELD_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Problem:
    """``path`` is such as ``targets[1].weight``, empty for the whole document; ``message`` says what would do."""

    path: str
    message: str


class Problems:
    """Collects problems in the order in which they are found, and drops what comes after the first twenty."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.count = 0

    def add(self, path: str, message: str) -> None:
        """Notes a problem."""
        self.count += 1
        if len(self.found) < MOST_PROBLEMS:
            self.found.append(Problem(path, message))

    def refuse_if_any(self) -> None:
        """Raises :class:`~fileplane.errors.InvalidValue` that tells of all of them; its ``param`` is the first one's path."""
        if self.found:
            told = [f"Invalid '{problem.path or WHOLE_DOCUMENT}': {problem.message}" for problem in self.found]
            if self.count > len(told):
                told.append(f"There are {self.count - len(told)} more problems.")
            raise InvalidValue(" ".join(told), param=self.found[0].path or WHOLE_DOCUMENT)


def refuse(path: str, message: str) -> InvalidValue:
    """The refusal for a single problem, to be raised."""
    return InvalidValue(f"Invalid '{path}': {message}", param=path)


def inside(path: str, part: str | int) -> str:
    """The path of a field or, for a number, of an element."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    name = part if len(part) <= _LONGEST_FIELD_NAME else f"{part[:_LONGEST_FIELD_NAME]}…"
    return f"{path}.{name}" if path else name
