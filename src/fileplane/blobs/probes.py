"""Whether a blob store does what it says: each promise that files rest on is tried, in order, before any file depends on it.

Many servers speak a store's language and keep only some of its promises: a range that is not the one asked for, a listing without the
newest blob, a deletion that is not one. Files would be damaged or lost long after the server has started.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from fileplane.blobs.base import BlobMissing, BlobStore
from fileplane.errors import FileplaneError
from fileplane.ids import new_blob_key
from fileplane.model import Span

_MIB: Final = 1 << 20
_SMALL: Final = bytes(range(256)) * 16
_CLOCKS_APART: Final = 900.0
_ABANDONED_SECONDS: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One promise that was tried and kept."""

    name: str
    seconds: float


class ProbeFailed(Exception):
    """A store does not keep a promise. ``probe`` names it; the message says what was seen instead."""

    def __init__(self, probe: str, message: str) -> None:
        super().__init__(f"{probe}: {message}")
        self.probe = probe
        self.seen = message


class _Lie(Exception):
    """What a store did instead of what it should have."""


class Examination:
    """Tries one store, which holds nothing but what examinations left, and leaves nothing in it.

    ``part_bytes`` is where an upload becomes one of several parts.
    """

    def __init__(self, blobs: BlobStore, *, part_bytes: int, shows_unfinished: bool) -> None:
        self._blobs = blobs
        self._part_bytes = part_bytes
        self._shows_unfinished = shows_unfinished
        self._written: list[str] = []

    async def run(self) -> AsyncIterator[Probe]:
        """Every probe as it is passed; raises :class:`ProbeFailed` for the first that is not."""
        probes: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("missing", self._missing),
            ("write", self._write),
            ("range", self._range),
            ("empty", self._empty),
            ("abandon", self._abandon),
            ("multipart", self._multipart),
            ("list", self._list),
            ("delete", self._delete),
        ]
        await _tried("list", self._clear)
        try:
            for name, probe in probes:
                began = time.perf_counter()
                await _tried(name, probe)
                yield Probe(name, time.perf_counter() - began)
        finally:
            for key in self._written:
                with suppress(FileplaneError):
                    await self._blobs.delete(key)

    async def close(self) -> None:
        """Lets go of the store."""
        await self._blobs.close()

    async def _clear(self) -> None:
        """Removes what an examination that was killed has left; another one may be running now."""
        async for info in self._blobs.walk():
            if info.modified_at < time.time() - _ABANDONED_SECONDS:
                await self._blobs.delete(info.key)

    async def _missing(self) -> None:
        if await self._exists(new_blob_key()):
            raise _Lie("a blob that was never written can be read")

    async def _write(self) -> None:
        key = await self._put(_SMALL)
        _require_same(await self._read(key), _SMALL, "a blob of 4 KiB")

    async def _range(self) -> None:
        key = self._written[0]
        for start, length in ((0, 1), (1, 255), (len(_SMALL) - 1, 1), (0, len(_SMALL))):
            wanted = _SMALL[start : start + length]
            _require_same(await self._read(key, Span(start, length)), wanted, f"the {length} bytes from {start}")

    async def _empty(self) -> None:
        _require_same(await self._read(await self._put(b"")), b"", "an empty blob")

    async def _abandon(self) -> None:
        key = new_blob_key()
        async with self._blobs.writer(key) as writer:
            for _ in range(self._part_bytes // _MIB + 1):
                await writer.write(bytes(_MIB))
            if await self._exists(key):
                raise _Lie("an upload that is not complete can be read")
            if self._shows_unfinished and not await self._lists_unfinished(key):
                raise _Lie("an unfinished upload is not listed, so that one of a killed server would be kept, and paid for, for ever")
        if await self._exists(key):
            raise _Lie("an upload that was aborted can be read")
        if self._shows_unfinished and await self._lists_unfinished(key):
            raise _Lie("an upload that was aborted is still listed")

    async def _lists_unfinished(self, key: str) -> bool:
        return any([info.key.startswith(key) async for info in self._blobs.walk(uncommitted_only=True)])

    async def _multipart(self) -> None:
        pieces = [hashlib.sha256(bytes([number])).digest() * (_MIB // 32) for number in range(self._part_bytes // _MIB)]
        key = await self._put(*pieces, b"the second part")
        whole = hashlib.sha256()
        size = 0
        async with self._blobs.open(key) as reader:
            async for piece in reader:
                whole.update(piece)
                size += len(piece)
        if whole.digest() != hashlib.sha256(b"".join([*pieces, b"the second part"])).digest():
            raise _Lie(f"a blob of two parts, {self._part_bytes + 15} bytes, came back as {size} bytes that are not the same")
        across = await self._read(key, Span(self._part_bytes - 4, 8))
        _require_same(across, pieces[-1][-4:] + b"the ", "8 bytes from both parts")

    async def _list(self) -> None:
        fresh = await self._put(_SMALL)
        now = time.time()
        found = {info.key: info async for info in self._blobs.walk() if info.committed}
        for key in self._written:
            if key not in found:
                raise _Lie("a blob that was written a moment ago is not listed")
        if found[fresh].size != len(_SMALL):
            raise _Lie(f"a blob of {len(_SMALL)} bytes is listed with {found[fresh].size}")
        if abs(found[fresh].modified_at - now) > _CLOCKS_APART:
            raise _Lie(
                f"a blob that was written now is listed as changed {now - found[fresh].modified_at:.0f} s ago. The clocks of server and "
                "store must agree within minutes"
            )

    async def _delete(self) -> None:
        key = self._written[-1]
        await self._blobs.delete(key)
        if await self._exists(key):
            raise _Lie("a deleted blob can still be read")
        if any([info.key == key async for info in self._blobs.walk()]):
            raise _Lie("a deleted blob is still listed")
        await self._blobs.delete(key)  # a second time is no error
        _require_same(await self._read(self._written[0]), _SMALL, "another blob, after one was deleted,")

    async def _put(self, *pieces: bytes) -> str:
        key = new_blob_key()
        self._written.append(key)
        async with self._blobs.writer(key) as writer:
            for piece in pieces:
                await writer.write(piece)
            await writer.commit()
        return key

    async def _read(self, key: str, span: Span | None = None) -> bytes:
        async with self._blobs.open(key, span) as reader:
            return b"".join([piece async for piece in reader])

    async def _exists(self, key: str) -> bool:
        try:
            async with self._blobs.open(key):
                return True
        except BlobMissing:
            return False


async def _tried(name: str, probe: Callable[[], Awaitable[None]]) -> None:
    try:
        await probe()
    except _Lie as error:
        raise ProbeFailed(name, f"{error}.") from error
    except BlobMissing as error:
        raise ProbeFailed(name, "a blob that was written a moment ago cannot be found.") from error
    except FileplaneError as error:
        raise ProbeFailed(name, str(error.__cause__ or error)) from error


def _require_same(read: bytes, expected: bytes, what: str) -> None:
    if read != expected:
        raise _Lie(f"{what} came back as {len(read)} bytes that are not the same")
