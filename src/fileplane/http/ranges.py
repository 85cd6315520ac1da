"""The ``Range`` header (RFC 9110, section 14)."""

from __future__ import annotations

import re
from typing import Final

from fileplane.errors import InvalidValue
from fileplane.providers.base import ByteRange

_RANGE: Final = re.compile(r"([0-9]{0,40})-([0-9]{0,40})")
_BEYOND_EVERY_FILE: Final = 10**18
"""What is larger means the same, and would not fit where providers keep it."""


def one_range(header: str) -> ByteRange | None:
    """The one range that is asked for; None where there are several, which may be answered with the whole file.

    Raises :class:`~fileplane.errors.InvalidValue` for a unit or form that is not understood.
    """
    unit, _, ranges = header.partition("=")
    if unit.strip().lower() != "bytes":
        raise InvalidValue("Invalid 'Range': the only unit is bytes, as in 'bytes=0-1023'.", param="range")
    if "," in ranges:
        return None
    match = _RANGE.fullmatch(ranges.strip())
    if match is None or match[0] == "-" or (match[1] and match[2] and int(match[2]) < int(match[1])):
        raise InvalidValue("Invalid 'Range': expected a form such as 'bytes=0-1023', 'bytes=1024-' or 'bytes=-1024'.", param="range")
    first, last = (min(int(number), _BEYOND_EVERY_FILE) if number else None for number in match.groups())
    return ByteRange(first, last)
