"""How many values a line has: what it takes in memory follows from that, and not from its bytes, once it is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fileplane.providers.jsonl.problems import Unusable

MOST_VALUES: Final = 100_000
"""Of a line that is uploaded: elements of lists, fields of objects, and the lists and objects themselves. Measured at 500 bytes each, and
at 30 ms during which the interpreter does nothing else."""

MOST_RESULT_VALUES: Final = 5 * MOST_VALUES
"""Of a line of results, which may have the probabilities of tokens."""

_STEP: Final = 256 << 10
"""Bytes looked at in one go, during which the interpreter does nothing else."""
_SEPARATORS: Final = (b",", b"[", b"{")


def may_exceed(line: bytes, most: int) -> bool:
    """Whether the line may have more than ``most`` values. Commas and brackets in texts look like some."""
    found = 1
    for start in range(0, len(line), _STEP):
        found += _separators(line, start, start + _STEP)
        if found > most:
            return True
    return False


def require_few(line: bytes, most: int = MOST_VALUES) -> None:
    """Raises :class:`Unusable` for a line of more than ``most`` values. What is no JSON is for the decoder to refuse.

    Takes no more memory than two steps, and in Python no more turns than there are steps and values.
    """
    if not may_exceed(line, most):
        return
    found, texts, inside = 1, 0, False
    for part in _parts(line):
        plain = part.replace(b"\\\\", b"").replace(b'\\"', b"")  # what still is a quotation mark begins or ends a text
        start = 0
        while True:
            stop = plain.find(b'"', start)
            if not inside:
                found += _separators(plain, start, len(plain) if stop < 0 else stop)
            if found > most or texts > 2 * most + 2:  # texts have separators between them, wherever it is JSON
                raise Unusable(f"it has more than {most} values, or is nested too deeply.")
            if stop < 0:
                break
            texts, inside, start = texts + inside, not inside, stop + 1


def _parts(line: bytes) -> Iterator[bytes]:
    """The line in steps, none of which ends with a backslash: what it takes away the meaning of would be in the next one."""
    start = 0
    while start < len(line):
        stop = start + _STEP
        while line[stop - 1 : stop] == b"\\":
            stop += 1
        yield line[start:stop]
        start = stop


def _separators(text: bytes, start: int, stop: int) -> int:
    return sum(text.count(separator, start, stop) for separator in _SEPARATORS)
