"""Single values that callers send for records: texts, times, flags, each with an error that names it and never repeats it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from fileplane.errors import InvalidValue, MissingParameter

LONGEST_NAME: Final = 255
LONGEST_NOTE: Final = 2_000
_BREAKING: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What ends a line or turns its direction, which would show a name as another, and halves of surrogate pairs, which cannot be stored."""
_LATEST: Final = 253_402_300_799  # the last second of the year 9999


def name_of(value: object, param: str) -> str:
    """A name for people: 1 to 255 characters in one line. Raises :class:`MissingParameter` or :class:`InvalidValue`."""
    if value is None:
        raise MissingParameter(f"Missing required parameter: '{param}'.", param=param)
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not _is_one_line(value):
        raise InvalidValue(f"'{param}' must be a text of 1 to {LONGEST_NAME} characters in one line, not all spaces.", param=param)
    return value


def require_one_line(name: str) -> None:
    """Of a name whose length has been looked at. Raises :class:`InvalidValue` for one that no table could show, or no database keep."""
    if not _is_one_line(name):
        raise InvalidValue("'name' must be in one line, without control characters, and not all spaces.", param="name")


def note_of(value: object, param: str) -> str | None:
    """A text of up to 2,000 characters, or None; an empty one is none. Raises :class:`InvalidValue`."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_NOTE or not _can_be_stored(value):
        raise InvalidValue(f"'{param}' must be a text of at most {LONGEST_NOTE} characters.", param=param)
    return value


def end_of(value: object, param: str, now: int) -> int | None:
    """A time to come, in seconds since the epoch, from an ISO 8601 text; None is never. Raises :class:`InvalidValue`."""
    if value is None:
        return None
    wrong = InvalidValue(f"'{param}' must be a time to come, such as 2030-01-31T00:00:00Z.", param=param)
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise wrong
    try:
        moment = datetime.fromisoformat(value)
        seconds = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise wrong from None
    if not now < seconds <= _LATEST:
        raise wrong
    return seconds


def optional_text(value: object, param: str) -> str | None:
    """A text, where null and the empty text are as good as absent. Raises :class:`InvalidValue`."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > LONGEST_NAME or not _can_be_stored(value):
        raise InvalidValue(f"'{param}' must be a text of at most {LONGEST_NAME} characters.", param=param)
    return value


def _is_one_line(name: str) -> bool:
    return bool(name.strip()) and _BREAKING.search(name) is None


def _can_be_stored(text: str) -> bool:
    """Half of a surrogate pair cannot, and what ends a text in other programs should not."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
