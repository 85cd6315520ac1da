"""The corpus of every target: inputs that once did harm or come close to it, replayed as they are and grown to a size that hurts."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
ENTRIES = [(name, path.name) for name in TARGETS for path in sorted((CORPUS / name).iterdir())]
# What strangers send is read in pieces of at most a mebibyte. An operator's own settings are never long.
GROWN = dict.fromkeys(TARGETS, 256 << 10) | {"settings_sources": 32 << 10}
# Twice what the costliest input takes: one that is refused later than it could be is no defect, one that is gone through again is.
CALLS_PER_BYTE = 8
# A hundred times what the slowest input takes, since it only has to tell a parser that goes back from one that does not.
CPU_SECONDS = 3.0


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Fails what takes longer, in time that this process alone has used; a parser that hangs ends as well."""

    def expired(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"more than {seconds} s of CPU")

    before = signal.signal(signal.SIGVTALRM, expired)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """How many functions were called, Python's own included: work that is the same on every machine."""
    count = [0]

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        count[0] += event in {"call", "c_call"}

    sys.setprofile(profile)
    try:
        yield count
    finally:
        sys.setprofile(None)


def grown(data: bytes, size: int) -> Iterator[bytes]:
    """The whole over and over; a byte of its middle so often that everything before and after it must wait; its end over and over."""
    middle = len(data) * 2 // 3
    yield (data or b"x") * (size // max(1, len(data)))
    yield data[:middle] + (data[middle : middle + 1] or b"x") * size + data[middle + 1 :]
    yield data[:middle] + (data[middle:] or b"x") * (size // max(1, len(data) - middle))


def test_every_target_has_a_corpus_and_every_corpus_a_target():
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert {name for name, _ in ENTRIES} == set(TARGETS)


@pytest.mark.parametrize(("target", "entry"), ENTRIES, ids=map("/".join, ENTRIES))
def test_an_input_of_the_corpus_is_understood_or_refused(target: str, entry: str):
    with cpu_limit(CPU_SECONDS):
        TARGETS[target]((CORPUS / target / entry).read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_the_work_for_an_input_grows_no_faster_than_the_input(target: str):
    size = GROWN[target]
    for _, entry in (pair for pair in ENTRIES if pair[0] == target):
        for number, data in enumerate(grown((CORPUS / target / entry).read_bytes(), size)):
            calls = calls_for(target, data, f"{entry}, grown in way {number}")
            assert calls <= CALLS_PER_BYTE * (size + 10_000), f"{entry}, grown in way {number}"


def calls_for(target: str, data: bytes, shown: str) -> int:
    try:
        with cpu_limit(CPU_SECONDS), counted_calls() as count:
            TARGETS[target](data)
    except TimeoutError as error:
        raise AssertionError(f"{shown}: {error}") from error
    return count[0]
