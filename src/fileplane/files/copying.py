"""Blobs copied from one store to another, a few at once, each checked against its row before it becomes visible."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import Final

from fileplane.blobs.base import BlobKeyInvalid, BlobMissing, BlobReader, BlobStore
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.files import durable
from fileplane.files.backup_directory import BackupFailed
from fileplane.files.janitor import discard_damaged_copy
from fileplane.metadata.base import MetadataStore
from fileplane.model import KeptFile

PAGE: Final = 500
_AT_ONCE: Final = 8


class Outcome(StrEnum):
    """What became of one file's blob. The last three are problems: the target does not have it."""

    REUSED = "reused"
    LINKED = "linked"
    COPIED = "copied"
    MISSING = "missing"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"


PROBLEMS: Final = frozenset({Outcome.MISSING, Outcome.DAMAGED, Outcome.UNREADABLE})


class _SourceFailed(Exception):
    """The source did not give all bytes."""


class Copier:
    """Brings the blobs of rows from ``source`` to ``target``. What is there already, with the right size, stays.

    Bytes that are copied are hashed on the way; with ``verify``, those that are there already or are linked, too. With ``link_into``, the
    root of a target on the local disk, a blob that is a file on the same file system gets a second name instead of a copy.
    """

    def __init__(self, source: BlobStore, target: BlobStore, *, verify: bool = False, link_into: Path | None = None) -> None:
        self._source = source
        self._target = target
        self._verify = verify
        self._link_into = link_into

    async def pages(self, rows: MetadataStore) -> AsyncIterator[list[tuple[KeptFile, Outcome]]]:
        """Brings everything that the rows name, page by page. Raises :class:`BackupFailed` when the target fails."""
        after = ("", "")
        while page := await rows.kept_files(after, PAGE):
            after = page[-1].place
            yield list(zip(page, await several(self.bring, page), strict=True))

    async def bring(self, file: KeptFile) -> Outcome:
        """Brings one file's blob. Raises :class:`BackupFailed` when the target fails; a failing source is an outcome."""
        try:
            return await self._bring(file)
        except (StorageUnavailable, OSError) as error:
            cause = error.__cause__ or error
            raise BackupFailed(f"The copies cannot be written: {cause}. What was copied is kept, and the next run goes on.") from error

    async def _bring(self, file: KeptFile) -> Outcome:
        async with AsyncExitStack() as stack:
            try:
                if await self._has(file):
                    return Outcome.REUSED
                reader = await self._opened(file.blob_key, stack)
                if reader.size != file.bytes:
                    return Outcome.DAMAGED
                return await self._link_or_copy(file, reader)
            except (BlobMissing, BlobKeyInvalid):
                return Outcome.MISSING
            except _SourceFailed:
                return Outcome.UNREADABLE

    async def _has(self, file: KeptFile) -> bool:
        try:
            async with self._target.open(file.blob_key) as reader:
                if reader.size == file.bytes and not (self._verify and await _sha256(reader) != file.sha256):
                    return True
        except BlobMissing:
            return False
        except StorageIntegrityError:
            pass
        await discard_damaged_copy(self._target, file.blob_key)
        return False

    async def _opened(self, key: str, stack: AsyncExitStack) -> BlobReader:
        try:
            return await stack.enter_async_context(self._source.open(key))
        except (StorageUnavailable, OSError) as error:
            raise _SourceFailed from error

    async def _link_or_copy(self, file: KeptFile, reader: BlobReader) -> Outcome:
        path = await reader.hand_over() if self._link_into is not None else None
        if self._link_into is not None and path is not None:
            if self._verify and await _sha256(_Watched(reader)) != file.sha256:
                return Outcome.DAMAGED
            if await asyncio.to_thread(_linked, path, self._link_into / file.blob_key):
                return Outcome.LINKED
        digest = hashlib.sha256()
        async with self._target.writer(file.blob_key) as writer:
            async for piece in _Watched(reader):
                digest.update(piece)
                await writer.write(piece)
            if digest.hexdigest() != file.sha256:
                return Outcome.DAMAGED
            await writer.commit()
        return Outcome.COPIED


class _Watched:
    """The bytes of a source, whose failures are told apart from those of the target."""

    def __init__(self, reader: BlobReader) -> None:
        self._reader = reader

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._reader)
        while True:
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except (StorageUnavailable, StorageIntegrityError, OSError) as error:
                raise _SourceFailed from error
            yield piece


async def several(bring: Callable[[KeptFile], Awaitable[Outcome]], files: Sequence[KeptFile]) -> list[Outcome]:
    """Brings each of the files, a few at once. When one fails, none is under way any more."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(file: KeptFile) -> Outcome:
        async with gate:
            return await bring(file)

    tasks = [asyncio.create_task(one(file)) for file in files]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


async def _sha256(reader: BlobReader | _Watched) -> str:
    digest = hashlib.sha256()
    async for piece in reader:
        digest.update(piece)
    return digest.hexdigest()


def _linked(source: Path, target: Path) -> bool:
    """Whether it could be linked: not to another file system, nor where the system admits no links."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        return False
    durable.sync(target.parent)
    return True
