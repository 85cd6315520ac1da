"""Rows on their way from one engine to another, and whether the same ones have arrived."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

_SUMS: Final = 1 << 256


@dataclass(slots=True)
class RowSum:
    """The number of rows, and the sum of their hashes: the same for the same rows in whatever order."""

    count: int = 0
    hashes: int = 0

    def add(self, row: tuple[Any, ...]) -> None:
        """Counts one row, of None, whole numbers, texts and bytes."""
        self.count += 1
        self.hashes = (self.hashes + int.from_bytes(hashlib.sha256(repr(row).encode("utf-8", "backslashreplace")).digest())) % _SUMS


def adapted(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """As PostgreSQL keeps it: its texts have no null characters, in place of which there is U+FFFD, as wherever it is given texts."""
    return tuple(value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value for value in row)
