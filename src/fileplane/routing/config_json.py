"""From text to plain JSON values that are small, shallow and unambiguous enough to look at."""

from __future__ import annotations

import json
import math
from collections import Counter
from contextlib import suppress
from typing import Any, Final, NoReturn

from fileplane.routing.config_problems import WHOLE_DOCUMENT, Problems, inside, refuse

LARGEST_DOCUMENT: Final = 64 * 1024
"""In bytes of UTF-8."""
DEEPEST_JSON: Final = 32
MOST_VALUES: Final = 8_192
MOST_FIELDS: Final = 256
"""Of one object."""

_LARGEST_INTEGER: Final = 2**63 - 1


class _WithDuplicates(dict[str, Any]):
    """An object that had a name twice, of which a dictionary keeps the last only."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.duplicates = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]


def decode_document(document: object) -> dict[str, Any]:
    """The object that a document is, from text, UTF-8 bytes, or values that were decoded already.

    Raises :class:`~fileplane.errors.InvalidValue` for what is no JSON object, too large, or ambiguous: a name twice in one object, NaN
    and infinities, halves of surrogate pairs.
    """
    values = _parse(document) if isinstance(document, str | bytes) else document
    if not isinstance(values, dict):
        raise refuse(WHOLE_DOCUMENT, "A config is a JSON object, such as {'provider': '@slug'}.")
    problems = Problems()
    _Walk(problems).look_at(values, "", 0)
    problems.refuse_if_any()
    return values


def _parse(text: str | bytes) -> object:
    try:
        encoded = text if isinstance(text, bytes) else text.encode("utf-8")
        if len(encoded) > LARGEST_DOCUMENT:
            raise refuse(WHOLE_DOCUMENT, f"The document is larger than {LARGEST_DOCUMENT} bytes. Split it into several configs.")
        return json.loads(encoded.decode("utf-8"), object_pairs_hook=_object)
    except RecursionError as error:
        raise refuse(WHOLE_DOCUMENT, f"The document is nested deeper than {DEEPEST_JSON} levels.") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise refuse(WHOLE_DOCUMENT, f"The document is not valid JSON at {place}.") from error
    except UnicodeError as error:
        raise refuse(WHOLE_DOCUMENT, "The document is not valid UTF-8.") from error
    except ValueError as error:
        # Python's own limit on digits.
        raise refuse(WHOLE_DOCUMENT, "The document has a number that is too large.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    return values if len(values) == len(pairs) else _WithDuplicates(pairs)


class _TooMuch(Exception):
    """Ends the walk: what comes after cannot be of interest."""


class _Walk:
    """Looks at every value once, since what was decoded elsewhere may hold anything, itself included."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._left = MOST_VALUES
        self._characters_left = LARGEST_DOCUMENT

    def look_at(self, value: object, path: str, depth: int) -> None:
        """Notes what is no acceptable JSON."""
        with suppress(_TooMuch):
            self._value(value, path, depth)

    def _stop(self, path: str, message: str) -> NoReturn:
        self._problems.add(path, message)
        raise _TooMuch

    def _value(self, value: object, path: str, depth: int) -> None:
        self._left -= 1
        if self._left < 0:
            self._stop("", f"The document has more than {MOST_VALUES} values. Split it into several configs.")
        if depth > DEEPEST_JSON:
            self._stop("", f"The document is nested deeper than {DEEPEST_JSON} levels.")
        if isinstance(value, dict):
            self._object(value, path, depth)
        elif isinstance(value, list):
            for number, element in enumerate(value):
                self._value(element, inside(path, number), depth + 1)
        elif isinstance(value, str):
            self._text(value, path)
        elif isinstance(value, int | float):
            self._number(value, path)
        elif value is not None:
            self._problems.add(path, "This is no JSON value.")

    def _object(self, values: dict[Any, Any], path: str, depth: int) -> None:
        if len(values) > MOST_FIELDS:
            self._stop(path, f"An object has more than {MOST_FIELDS} fields.")
        for name in getattr(values, "duplicates", ()):
            self._problems.add(inside(path, name), "The field is there twice. Leave one out.")
        for name, value in values.items():
            if not isinstance(name, str):
                self._stop(path, "The names of fields must be text.")
            self._text(name, path)
            self._value(value, inside(path, name), depth + 1)

    def _text(self, text: str, path: str) -> None:
        self._characters_left -= len(text)
        if self._characters_left < 0:
            self._stop("", f"The document has more than {LARGEST_DOCUMENT} characters of text. Split it into several configs.")
        if not text.isascii():
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                self._problems.add(path, "The text has half of a surrogate pair, which no encoding has. Write the whole character.")

    def _number(self, number: int | float, path: str) -> None:  # noqa: PYI041 - the two have different limits
        if isinstance(number, float):
            if not math.isfinite(number):
                self._problems.add(path, "The number must be finite.")
        elif abs(number) > _LARGEST_INTEGER:
            self._problems.add(path, f"The number must be within {_LARGEST_INTEGER} of zero.")
