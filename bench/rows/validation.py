"""What validating a JSONL file costs beside hashing it."""

from __future__ import annotations

import hashlib
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fileplane.files.validation import Validator, new_validator
from plan import Plan
from report import Bar, Row, Section

BAR = Bar("≤", 1.5)
_MIB = 1 << 20
_FILE_BYTES = 200 * _MIB
_TEXTS = 64
_WORDS = ("the", "of", "and", "in", "you", "that", "was", "for", "are", "with", "this", "have", "from", "one", "had", "word", "but", "not")

METHOD = """\
A file is made in memory and handed over in slices of 1 MiB, as the blob store does it, on one thread: once to the hash alone, and once to
the validator with the hash alongside. The figure is the time of the second over the time of the first. The batch has lines of 4.2 KiB,
since 50,000 of them are what a batch may have; the Chinese one has text that is not ASCII throughout."""


class WrongVerdict(Exception):
    """A file that was made to be valid was not found to be."""


@dataclass(frozen=True)
class _Case:
    name: str
    purpose: str
    line_bytes: int
    chinese: bool = False
    bar: Bar | None = None


_CASES = (
    _Case("batch of 200 MiB", "batch", 4_300, bar=BAR),
    _Case("batch of 200 MiB, Chinese", "batch", 4_300, chinese=True),
    _Case("fine-tuning chats of 200 MiB, 1 KiB lines", "fine-tune", 1_024),
)


def measure(plan: Plan) -> Section:
    """Hashing and validating over hashing alone."""
    section = Section("Validation", METHOD)
    for case in _CASES:
        slices = _slices(case, _FILE_BYTES)
        alone, both = [], []
        for _ in range(plan.rounds):
            alone.append(_seconds(_hash, case, slices))
            both.append(_seconds(_hash_and_validate, case, slices))
        size = sum(map(len, slices)) / _MIB
        ours, reference = statistics.median(both), statistics.median(alone)
        section.rows.append(
            Row(
                f"validation of a {case.name}" if case.purpose == "batch" else f"validation of {case.name}",
                f"{size / ours:,.0f} MiB/s",
                f"hash alone: {size / reference:,.0f} MiB/s",
                ours / reference,
                bar=case.bar,
            )
        )
    return section


def _seconds(run: Callable[[_Case, list[bytes]], None], case: _Case, slices: list[bytes]) -> float:
    began = time.perf_counter()
    run(case, slices)
    return time.perf_counter() - began


def _hash(_: _Case, slices: list[bytes]) -> None:
    digest = hashlib.sha256()
    for piece in slices:
        digest.update(piece)


def _hash_and_validate(case: _Case, slices: list[bytes]) -> None:
    validator, digest = new_validator(case.purpose), hashlib.sha256()
    assert isinstance(validator, Validator)
    for piece in slices:
        validator.feed(piece, alongside=digest.update)
    verdict = validator.finish()
    if not (verdict.valid and verdict.complete):
        raise WrongVerdict(verdict.details())


def _slices(case: _Case, size: int) -> list[bytes]:
    whole = b"".join(_lines(case, size))
    return [whole[start : start + _MIB] for start in range(0, len(whole), _MIB)]


def _lines(case: _Case, size: int) -> Iterator[bytes]:
    """About ``size`` bytes of good lines."""
    source = random.Random(case.line_bytes)
    texts = [_text(max(20, case.line_bytes - 180), source, chinese=case.chinese) for _ in range(_TEXTS)]
    made = number = 0
    while made < size:
        messages = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": texts[number % _TEXTS]}]
        if case.purpose == "batch":
            body = {"model": "gpt-5-mini", "messages": messages, "max_tokens": 1000}
            example: object = {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        else:
            example = {"messages": [*messages, {"role": "assistant", "content": "Yes."}]}
        line = json.dumps(example, ensure_ascii=not case.chinese).encode() + b"\n"
        yield line
        made += len(line)
        number += 1


def _text(size: int, source: random.Random, *, chinese: bool) -> str:
    if chinese:
        return "".join(chr(source.randrange(0x4E00, 0x9000)) for _ in range(size // 3))
    return " ".join(source.choice(_WORDS) + ("\n" if source.random() < 0.02 else "") for _ in range(size // 2))[:size]
