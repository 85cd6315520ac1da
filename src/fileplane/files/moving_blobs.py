"""The blobs of a store that is being served, brought to another place: each read back from there before it counts.

What was brought is written down, so that a move which was interrupted goes on from there, and so that the last pass, during which nothing
can be changed, looks only at what has come since.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from fileplane.blobs.base import BlobInfo, BlobStore
from fileplane.files.copying import PAGE, PROBLEMS, Copier, Outcome, several
from fileplane.metadata.base import MetadataStore
from fileplane.model import KeptFile

_MOST_PASSES: Final = 10
_NAMED_PROBLEMS: Final = 1_000


class MoveStopped(Exception):
    """A move cannot go on; the message says why and what to do."""


class Journal(Protocol):
    """See :class:`fileplane.metadata.move_journal.MoveJournal`."""

    def count(self) -> int: ...  # noqa: D102 - see there
    def missing(self, keys: Sequence[str]) -> set[str]: ...  # noqa: D102 - see there
    def add(self, keys: Sequence[str]) -> None: ...  # noqa: D102 - see there
    def begin_listing(self) -> None: ...  # noqa: D102 - see there
    def listed(self, keys: Sequence[str]) -> None: ...  # noqa: D102 - see there
    def end_listing(self) -> None: ...  # noqa: D102 - see there


@dataclass(slots=True)
class Brought:
    """What one pass has brought; of files without their bytes, only the first are named. ``looked_at`` counts all."""

    looked_at: int = 0
    files: int = 0
    bytes: int = 0
    problem_count: int = 0
    problems: list[tuple[KeptFile, Outcome]] = field(default_factory=list)


class BlobMove:
    """From ``source`` to ``target``, whatever ``rows`` name. Raises MoveStopped, BackupFailed, StorageUnavailable or OSError."""

    def __init__(
        self, rows: MetadataStore, source: BlobStore, target: BlobStore, journal: Journal, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._rows = rows
        self._target = target
        self._journal = journal
        self._tell = tell
        self._copier = Copier(source, target, verify=True)

    async def look(self) -> None:
        """Forgets what is written down as brought and is not there any more."""
        if not await asyncio.to_thread(self._journal.count):
            return
        await asyncio.to_thread(self._journal.begin_listing)
        page: list[str] = []
        async with aclosing(cast("AsyncGenerator[BlobInfo, None]", self._target.walk())) as found:
            async for info in found:
                if info.committed:
                    page.append(info.key)
                if len(page) == PAGE:
                    await asyncio.to_thread(self._journal.listed, page)
                    page = []
        await asyncio.to_thread(self._journal.listed, page)
        await asyncio.to_thread(self._journal.end_listing)

    async def catch_up(self) -> Brought:
        """Passes until one has next to nothing left to bring. What it returns is the sum, with the problems of the last."""
        total = Brought()
        for _ in range(_MOST_PASSES):
            brought = await self.one_pass()
            total = _sum(total, brought)
            if brought.files <= PAGE:
                break
        return total

    async def one_pass(self) -> Brought:
        """Brings everything that is not there yet."""
        brought, after = Brought(), ("", "")
        while page := await self._rows.kept_files(after, PAGE):
            after = page[-1].place
            missing = await asyncio.to_thread(self._journal.missing, [file.blob_key for file in page])
            await self._bring([file for file in page if file.blob_key in missing], brought)
            brought.looked_at += len(page)
            self._tell(f"blobs: looked at {brought.looked_at}, brought {brought.files} ({brought.bytes} bytes)")
        return brought

    async def _bring(self, files: Sequence[KeptFile], brought: Brought) -> None:
        outcomes = list(zip(files, await several(self._brought, files), strict=True))
        there = [file for file, outcome in outcomes if outcome not in PROBLEMS]
        await asyncio.to_thread(self._journal.add, [file.blob_key for file in there])
        brought.files += len(there)
        brought.bytes += sum(file.bytes for file in there)
        troubled = [file for file, outcome in outcomes if outcome in PROBLEMS]
        gone = await self._rows.given_up_files(troubled) if troubled else []
        problems = [(file, outcome) for file, outcome in outcomes if outcome in PROBLEMS and file not in gone]
        brought.problem_count += len(problems)
        brought.problems += problems[: _NAMED_PROBLEMS - len(brought.problems)]

    async def _brought(self, file: KeptFile) -> Outcome:
        outcome = await self._copier.bring(file)
        # Once it is there, to bring it again is to read it back.
        if outcome is Outcome.COPIED and await self._copier.bring(file) is not Outcome.REUSED:
            raise MoveStopped(
                f"The new blob store does not give back what it was given (blob {file.blob_key}). `fileplane doctor` tries such a store."
            )
        return outcome


def _sum(one: Brought, other: Brought) -> Brought:
    return Brought(other.looked_at, one.files + other.files, one.bytes + other.bytes, other.problem_count, other.problems)
