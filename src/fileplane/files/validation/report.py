"""What validation says of a file: problems with their line numbers, gathered in bounded room, and the verdict made of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_IN_DETAILS: Final = 20
_LONGEST_QUOTE: Final = 60
_LONGEST_REASON: Final = 300
_WORDING: Final = (
    ("JSON is malformed: ", ""),
    ("Input data was truncated", "it ends too early"),
    ("`str", "`string"),
    ("| str", "| string"),
    ("`", ""),
)
"""msgspec's words, and ours."""


class Kind(StrEnum):
    """What the lines of a file are."""

    BATCH = "batch"
    CHAT = "chat"
    PREFERENCE = "preference"
    COMPLETION = "completion"
    REINFORCEMENT = "reinforcement"


class Code(StrEnum):
    """What can be wrong with a line, by a name that does not change."""

    EMPTY_FILE = "empty_file"
    BLANK_LINE = "blank_line"
    LINE_TOO_LONG = "line_too_long"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_JSON = "invalid_json_line"
    NESTED_TOO_DEEPLY = "nested_too_deeply"
    NOT_AN_OBJECT = "not_an_object"

    MISSING_CUSTOM_ID = "missing_custom_id"
    INVALID_CUSTOM_ID = "invalid_custom_id"
    DUPLICATE_CUSTOM_ID = "duplicate_custom_id"
    INVALID_METHOD = "invalid_method"
    INVALID_URL = "invalid_url"
    MISMATCHED_URL = "mismatched_url"
    INVALID_BODY = "invalid_body"
    TOO_MANY_LINES = "too_many_lines"
    MISMATCHED_MODEL = "mismatched_model"

    UNKNOWN_KIND = "unknown_kind"
    MISMATCHED_KIND = "mismatched_kind"
    INVALID_EXAMPLE = "invalid_example"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong, or with warnings only unwise, on a line; lines count from 1.

    ``message`` is one printable line without a full stop. It may quote a little of the file.
    """

    line: int
    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a file turned out to be.

    ``kind`` is None when no line told. ``lines`` counts the lines up to the last that is not blank. ``problems`` are the first ones in
    the order of lines, ``problem_count`` is how many there were. When ``complete`` is False, validation ended early, because of too
    many lines or too many problems, and both counts are of what was read until then.
    """

    kind: Kind | None
    lines: int
    problems: tuple[Problem, ...]
    problem_count: int
    warnings: tuple[Problem, ...]
    complete: bool

    @property
    def valid(self) -> bool:
        """Whether there was no problem; warnings do not count."""
        return self.problem_count == 0

    def details(self) -> str | None:
        """The text for ``status_details``, with the first 20 problems; None for a valid file."""
        if self.valid:
            return None
        least = "" if self.complete else "at least "
        problems = "1 problem" if self.problem_count == 1 else f"{self.problem_count} problems"
        lines = "1 line" if self.lines == 1 else f"{self.lines} lines"
        shown = [f"Line {problem.line}: {problem.message}." for problem in self.problems[:_IN_DETAILS]]
        more = self.problem_count - len(shown)
        return " ".join([f"Not valid: {least}{problems} in {lines}.", *shown, *([f"And {more} more."] if more else [])])


class GaveUp(Exception):
    """Validation need not go on: the file is bad enough."""


class Findings:
    """Problems and warnings as they are found, and how far the file was read.

    ``line`` is the line that was read last. At most ``listed`` problems are kept; at ``counted`` it gives up.
    """

    def __init__(self, *, listed: int, counted: int) -> None:
        self.line = 0
        self._listed = listed
        self._counted = counted
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._count = 0

    def add(self, code: Code, message: str, *, line: int | None = None) -> None:
        """A problem on the line read last, or on ``line``. Raises :class:`GaveUp` when there are too many to go on."""
        self._count += 1
        if len(self._problems) < self._listed:
            self._problems.append(Problem(line or self.line, code, message))
        if self._count >= self._counted:
            raise GaveUp

    def add_last(self, code: Code, message: str) -> None:
        """A problem after which nothing more is of interest: raises :class:`GaveUp`. It is listed even when the list is full."""
        self._count += 1
        self._problems[self._listed - 1 :] = [Problem(self.line, code, message)]
        raise GaveUp

    def warn(self, code: Code, message: str) -> None:
        """A warning about the line read last. Warnings are not bounded here: a caller has only so many to give."""
        self._warnings.append(Problem(self.line, code, message))

    def verdict(self, kind: Kind | None, lines: int, *, complete: bool) -> Verdict:
        """Everything found so far."""
        return Verdict(kind, lines, tuple(self._problems), self._count, tuple(self._warnings), complete)


def quoted(text: str) -> str:
    """The start of a text from a file, in quotes, without any character that could not be printed."""
    return repr(text) if len(text) <= _LONGEST_QUOTE else repr(text[:_LONGEST_QUOTE]) + "…"


def reason_of(error: Exception) -> str:
    """What msgspec objects to, in words for people: ``messages[0].role: expected string, got int``."""
    text = str(error)[:_LONGEST_REASON]
    what, _, where = text.rpartition(" - at `$")
    what, where = (text, "") if not what else (what, where.rstrip("`").lstrip("."))
    for theirs, ours in _WORDING:
        what = what.replace(theirs, ours)
    what = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in what)
    what = what[:1].lower() + what[1:]
    return f"{where}: {what}" if where else what
