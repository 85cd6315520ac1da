"""Reading a file for a caller: what is damaged is counted, and with ``verify_reads`` never sent to the end."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from fileplane.blobs.base import BlobReader
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.files.findings import Kind, is_unreadable
from fileplane.metadata.base import MetadataStore
from fileplane.metrics import INTEGRITY_FAILURES
from fileplane.model import File, KeptFile

READ: Final = "read"
VERIFY: Final = "verify"
SCRUB: Final = "scrub"
_DAMAGE: Final = (Kind.MISSING_BLOB, Kind.WRONG_SIZE, Kind.WRONG_CONTENT, Kind.UNREADABLE_BLOB, Kind.INVALID_KEY)


def begin_counting_damage() -> None:
    """From 0, so that the first damage is seen as growth: a monitoring system takes a number that was not there for no change."""
    for kind in _DAMAGE:
        for source in (READ, VERIFY, SCRUB):
            INTEGRITY_FAILURES.add(0, kind, source)


def damaged(file: File, kind: Kind, source: str = READ) -> StorageIntegrityError:
    """The error for a file whose bytes are missing or damaged, which is counted by this."""
    INTEGRITY_FAILURES.add(1, kind, source)
    return StorageIntegrityError(
        f"The stored bytes of file {file.id} are missing or damaged ({kind}). The operator must restore them from a backup."
    )


async def is_given_up(metadata: MetadataStore, file: File) -> bool:
    """Whether a file's bytes may have been removed by now, so that it is no damage if they are not there."""
    kept = KeptFile(file.project_id, file.id, file.blob_key, file.bytes, file.sha256, due=False)
    return bool(await metadata.given_up_files([kept]))


def count_unreadable(error: StorageUnavailable) -> None:
    """Counts a blob that the system could not read, as opposed to a store that is slow."""
    if is_unreadable(error):
        INTEGRITY_FAILURES.add(1, Kind.UNREADABLE_BLOB, READ)


class CountingReader:
    """A :class:`~fileplane.blobs.base.BlobReader` around another one that counts bytes which end too early."""

    def __init__(self, inner: BlobReader, file: File) -> None:
        self._inner = inner
        self._file = file
        self.size = inner.size

    async def hand_over(self) -> Path | None:
        """See :meth:`BlobReader.hand_over`."""
        return await self._inner.hand_over()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._inner:
                yield piece
        except StorageIntegrityError as error:
            raise damaged(self._file, Kind.WRONG_SIZE) from error


class VerifyingReader(CountingReader):
    """The bytes of a whole file, hashed on the way.

    The last piece is held back until the hash is known to be right: it is never yielded when the hash is wrong, and
    :class:`~fileplane.errors.StorageIntegrityError` is raised instead. Holds one piece besides the one that is read.
    """

    async def hand_over(self) -> Path | None:
        """See :meth:`BlobReader.hand_over`. There is no path: a server that sends the file by itself would send all of it."""
        return None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        digest, held = hashlib.sha256(), None
        async for piece in super().__aiter__():
            if held is not None:
                yield held
            await asyncio.to_thread(digest.update, piece)
            held = piece
        if digest.hexdigest() != self._file.sha256:
            raise damaged(self._file, Kind.WRONG_CONTENT, VERIFY)
        if held is not None:
            yield held
