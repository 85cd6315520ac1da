"""What is wrong with a line, before its number is known to whoever found it."""

from __future__ import annotations

from typing import Final

from fileplane.errors import InvalidValue

_LONGEST_QUOTE: Final = 60


class Unusable(Exception):
    """A line that cannot be carried over. The message is a sentence that says why, without the line's number."""


def refusal_of_line(number: int, problem: Unusable) -> InvalidValue:
    """The error that the caller is told: it names the line, counted from 1."""
    return InvalidValue(f"Line {number} of the file cannot be used: {problem}", param="file")


def quoted(text: str) -> str:
    """Something of the caller's in quotation marks, cut to a length that a message can bear."""
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…")
