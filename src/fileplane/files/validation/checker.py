"""What is asked of a line once it is known to be one: the protocol, and what the kinds of lines have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeVar

import msgspec
from msgspec import Struct

from fileplane.files.validation.report import Code, Findings, Kind, reason_of

T = TypeVar("T")

_JSON: Final = msgspec.json.Decoder(msgspec.Raw)
"""Checks the whole of a line, where other decoders stop at the first thing that is not of their type."""


class AnyObject(Struct, gc=False):
    """A JSON object whose fields are checked to be JSON and skipped."""


class LineChecker(Protocol):
    """Judges the lines of one file, in order, and tells its findings."""

    @property
    def purpose(self) -> str:
        """The purpose whose files have such lines."""
        ...

    @property
    def kind(self) -> Kind | None:
        """What the lines are, once that is known."""
        ...

    @property
    def decode(self) -> Callable[[bytes], Any]:
        """Makes a record of a good line, quickly. It raises msgspec's errors or RecursionError for others; it may refuse too much."""
        ...

    def accept(self, records: Iterable[Any]) -> None:
        """Takes what :attr:`decode` makes of the lines that follow, and moves ``findings.line`` along.

        When a record cannot be had, what was raised for it goes to the caller, and ``findings.line`` is that of the record before.
        Raises :class:`~fileplane.files.validation.report.GaveUp`.
        """
        ...

    def refuse(self, text: memoryview, error: Exception) -> None:
        """Takes a line, that of ``findings.line``, for which :attr:`decode` raised ``error``, and says what is wrong, if anything is.

        Raises :class:`~fileplane.files.validation.report.GaveUp`.
        """
        ...


def read_envelope(decoder: msgspec.json.Decoder[T], text: memoryview, findings: Findings) -> T | None:
    """The object on a line, by a decoder that takes any object; or None, after saying why it is no JSON object."""
    try:
        _JSON.decode(text)
        return decoder.decode(text)
    except msgspec.ValidationError:
        findings.add(Code.NOT_AN_OBJECT, "the line must be a JSON object")
    except msgspec.DecodeError as error:
        findings.add(Code.INVALID_JSON, f"the line is not valid JSON: {reason_of(error)}")
    except RecursionError:
        findings.add(Code.NESTED_TOO_DEEPLY, "the line's JSON is nested too deeply")
    return None


def decoded(decoder: msgspec.json.Decoder[T], value: msgspec.Raw) -> T | None:
    """A field of an envelope, or None when it is missing or of another type."""
    try:
        return decoder.decode(value) if value else None
    except msgspec.ValidationError:
        return None
