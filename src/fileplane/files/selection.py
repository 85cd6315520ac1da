"""Which of the files a check reads to the end: none, all, one part of several, or a random sample."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

_PART: Final = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")
_SAMPLE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")
_DIGEST_BYTES: Final = 8
_ALL: Final = 2 ** (8 * _DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class Selection:
    """A share of all files, decided for each by its id alone, so that it needs no memory and comes out the same every time.

    Of the part ``part`` of ``parts``; or, with ``percent``, of a sample that the seed decides.
    """

    part: int = 1
    parts: int = 1
    percent: float | None = None
    seed: int | None = None

    def takes(self, file_id: str) -> bool:
        """Whether this file is to be read."""
        if self.percent is None:
            return _number(file_id) % self.parts == self.part - 1
        return _number(f"{self.seed}:{file_id}") < self.percent / 100 * _ALL

    def __str__(self) -> str:
        if self.percent is None:
            return f"{self.part}/{self.parts}"
        return f"{self.percent:g}%"


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest())


def parse_selection(text: str, seed: int | None = None) -> Selection:
    """From ``n/t`` or ``x%``. ``seed`` repeats a sample; without it there is a new one. Raises ValueError, saying what would do."""
    if match := _PART.fullmatch(text):
        part, parts = int(match[1]), int(match[2])
        if 1 <= part <= parts:
            return Selection(part, parts)
    elif match := _SAMPLE.fullmatch(text):
        percent = float(match[1])
        if 0 < percent <= 100:  # noqa: PLR2004 - per cent
            return Selection(percent=percent, seed=secrets.randbits(32) if seed is None else seed)
    raise ValueError(f"'{text}' is neither a part such as 2/7 nor a sample such as 5%.")
