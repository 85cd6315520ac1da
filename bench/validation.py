"""What validating a JSONL file costs beside hashing it: hash alone, both in turn in one thread, and both at once in two threads.

Usage: validation.py [--mib 200] [--rounds 7] [--piece-kib 64] [--first 7]

Makes the files in memory, in pieces as a server hands them over. Prints, for each file and arrangement, the median over rounds that
take turns: MB a second, seconds, CPU seconds of all threads, and both as multiples of hashing alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fileplane.files.validation import ValidationRules, Validator, new_validator

MIB = 1 << 20
RULES = ValidationRules()
NO_LIMIT = ValidationRules(max_batch_lines=1 << 40)
_TEXTS = 64
_WORDS = ["the", "of", "and", "in", "you", "that", "was", "for", "are", "with", "this", "have", "from", "one", "had", "word", "but", "not"]


class WrongVerdict(Exception):
    """A file that was made to be valid was not found to be."""


@dataclass(frozen=True)
class Case:
    """One file to measure with. ``limited`` says that it has more lines than the rules allow, so that validation ends early."""

    name: str
    line_bytes: int
    purpose: str = "batch"
    chinese: bool = False
    rules: ValidationRules = RULES
    limited: bool = False


@dataclass(frozen=True)
class Cost:
    """Of one run over one file."""

    seconds: float
    cpu_seconds: float


CASES = (
    Case("batch, 4.2 KiB lines", 4_300),
    Case("batch, 4.2 KiB lines, Chinese", 4_300, chinese=True),
    Case("batch, 1 KiB lines", 1_024, limited=True),
    Case("batch, 200 byte lines", 200, limited=True),
    Case("batch, 1 KiB lines, any number", 1_024, rules=NO_LIMIT),
    Case("batch, 200 byte lines, any number", 200, rules=NO_LIMIT),
    Case("fine-tune chat, 1 KiB lines", 1_024, purpose="fine-tune"),
)


def text(size: int, source: random.Random, *, chinese: bool) -> str:
    if chinese:
        return "".join(chr(source.randrange(0x4E00, 0x9000)) for _ in range(size // 3))
    words = (source.choice(_WORDS) + ("\n" if source.random() < 0.02 else "") for _ in range(size // 2))
    return " ".join(words)[:size]


def lines(case: Case, size: int) -> Iterator[bytes]:
    """About ``size`` bytes of good lines."""
    source = random.Random(case.line_bytes)
    texts = [text(max(20, case.line_bytes - 180), source, chinese=case.chinese) for _ in range(_TEXTS)]
    made = number = 0
    while made < size:
        question = texts[number % _TEXTS]
        messages = [{"role": "system", "content": "Be terse."}, {"role": "user", "content": question}]
        if case.purpose == "batch":
            body = {"model": "gpt-4o-mini", "messages": messages, "max_tokens": 1000}
            example: object = {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        else:
            example = {"messages": [*messages, {"role": "assistant", "content": "Yes."}]}
        line = json.dumps(example, ensure_ascii=not case.chinese).encode() + b"\n"
        yield line
        made += len(line)
        number += 1


def pieces_of(case: Case, size: int, piece_bytes: int) -> list[bytes]:
    """The file as it arrives."""
    pieces, held = [], bytearray()
    for line in lines(case, size):
        held += line
        while len(held) >= piece_bytes:
            pieces.append(bytes(held[:piece_bytes]))
            del held[:piece_bytes]
    return [*pieces, bytes(held)]


def hash_alone(case: Case, pieces: list[bytes]) -> None:  # noqa: ARG001 - measured as the others are
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)


def in_turn(case: Case, pieces: list[bytes]) -> None:
    validator, digest = _validator(case), hashlib.sha256()
    for piece in pieces:
        validator.feed(piece, alongside=digest.update)
    _check(case, validator)


def in_two_threads(case: Case, pieces: list[bytes]) -> None:
    """The hash takes a whole MiB in one call, and first: it needs Python's lock only to begin and to end, validation all the time."""
    validator, digest = _validator(case), hashlib.sha256()
    together = max(1, MIB // len(pieces[0]))
    with ThreadPoolExecutor(1) as pool:
        for start in range(0, len(pieces), together):
            chunk = b"".join(pieces[start : start + together])
            validating = pool.submit(validator.feed, chunk)
            digest.update(chunk)
            validating.result()
    _check(case, validator)


ARRANGEMENTS: dict[str, Callable[[Case, list[bytes]], None]] = {
    "hash alone": hash_alone,
    "both in turn": in_turn,
    "both in two threads": in_two_threads,
}


def _validator(case: Case) -> Validator:
    validator = new_validator(case.purpose, case.rules)
    assert validator is not None
    return validator


def _check(case: Case, validator: Validator) -> None:
    verdict = validator.finish()
    if verdict.complete == case.limited or (verdict.complete and not verdict.valid):
        raise WrongVerdict(verdict.details())


def measure(run: Callable[[Case, list[bytes]], None], case: Case, pieces: list[bytes]) -> Cost:
    cpu, began = time.process_time(), time.perf_counter()
    run(case, pieces)
    return Cost(time.perf_counter() - began, time.process_time() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=200, help="size of each file")
    parser.add_argument("--first", type=int, default=len(CASES), help="how many of the files to measure with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--piece-kib", type=int, default=64, help="size of the pieces that the file arrives in")
    options = parser.parse_args()
    print("| file | arrangement | MB/s | seconds | CPU seconds | x seconds | x CPU |\n|---|---|---|---|---|---|---|")
    for case in CASES[: options.first]:
        pieces = pieces_of(case, options.mib * MIB, options.piece_kib * 1024)
        size = sum(map(len, pieces))
        costs: dict[str, list[Cost]] = {name: [] for name in ARRANGEMENTS}
        for _ in range(options.rounds):
            for name, run in ARRANGEMENTS.items():
                costs[name].append(measure(run, case, pieces))
        alone = Cost(0, 0)
        for name, runs in costs.items():
            median = Cost(statistics.median(run.seconds for run in runs), statistics.median(run.cpu_seconds for run in runs))
            alone = alone if alone.seconds else median
            ratios = f"{median.seconds / alone.seconds:.2f} | {median.cpu_seconds / alone.cpu_seconds:.2f}"
            print(
                f"| {case.name} | {name} | {size / median.seconds / 1e6:.0f} | {median.seconds:.3f} | {median.cpu_seconds:.3f} | {ratios} |"
            )


if __name__ == "__main__":
    main()
