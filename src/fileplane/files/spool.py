"""Uploads kept on disk while they are sent to a provider, perhaps more than once. Nothing of them outlives the process."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

from fileplane.errors import StorageUnavailable

_PIECE: Final = 1 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Spool:
    """One upload: written once, then read as often as needed. The file has no name, and mode 0600."""

    def __init__(self, file: IO[bytes], min_free_bytes: int) -> None:
        self._file = file
        self._lock = threading.Lock()  # a thread goes on when whoever waits for it is cancelled, and must not meet a reused descriptor
        self._min_free_bytes = min_free_bytes
        self._held = bytearray()
        self._line_breaks = 0
        self._ends_a_line = True
        self.size = 0

    async def write(self, piece: bytes) -> None:
        """Adds to the end. Raises :class:`~fileplane.errors.StorageUnavailable` for a disk that is, or would be, too full."""
        self._held += piece
        self.size += len(piece)
        self._line_breaks += piece.count(b"\n")
        self._ends_a_line = piece.endswith(b"\n") if piece else self._ends_a_line
        if len(self._held) >= _PIECE:
            await self.flush()

    @property
    def lines(self) -> int:
        """How many lines there are so far; a last one without a line break counts."""
        return self._line_breaks + (not self._ends_a_line)

    async def flush(self) -> None:
        """To be called after the last :meth:`write`."""
        held, self._held = bytes(self._held), bytearray()
        if held:
            await asyncio.to_thread(self._append, held)

    async def read(self) -> AsyncIterator[bytes]:
        """The bytes from the beginning, in pieces of at most 1 MiB."""
        at = 0
        while at < self.size:
            piece = await asyncio.to_thread(self._piece, at)
            if not piece:
                raise StorageUnavailable("The temporary copy of this upload cannot be read. Try again.")
            at += len(piece)
            yield piece

    def close(self) -> None:
        """Gives the room free."""
        with self._lock:
            self._file.close()

    def _piece(self, at: int) -> bytes:
        with self._lock:
            return b"" if self._file.closed else os.pread(self._file.fileno(), _PIECE, at)

    def _append(self, held: bytes) -> None:
        with self._lock:
            if self._file.closed:
                return
            try:
                descriptor = self._file.fileno()
                room = os.fstatvfs(descriptor)
                if room.f_bavail * room.f_frsize - len(held) < self._min_free_bytes:
                    raise _full()
                view = memoryview(held)
                while view:
                    view = view[os.write(descriptor, view) :]
            except OSError as error:
                if error.errno in _FULL:
                    raise _full() from error
                raise StorageUnavailable("The temporary copy of this upload cannot be written. Try again.", nothing_changed=True) from error


@asynccontextmanager
async def spooled(directory: Path, min_free_bytes: int) -> AsyncIterator[Spool]:
    """A spool in a directory, which is made if it is missing; gone when the block is left, and when the process ends."""
    opening = asyncio.ensure_future(asyncio.to_thread(_opened, directory))
    try:
        file = await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unused)
        raise
    except OSError as error:
        raise StorageUnavailable("No temporary copy of this upload can be made. Try again.", nothing_changed=True) from error
    spool = Spool(file, min_free_bytes)
    try:
        yield spool
    finally:
        await asyncio.shield(asyncio.to_thread(spool.close))


def _close_unused(opening: asyncio.Future[IO[bytes]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _opened(directory: Path) -> IO[bytes]:
    directory.mkdir(mode=0o700, exist_ok=True)
    return tempfile.TemporaryFile(dir=directory, buffering=0)


def _full() -> StorageUnavailable:
    return StorageUnavailable(
        "There is not enough room for a temporary copy of this upload. Free some, or lower min_free_disk_bytes.", nothing_changed=True
    )
