"""What every BlobStore promises, as tests.

An implementation's own test file subclasses :class:`BlobStoreSuite` and gives it a fixture ``store`` that yields an empty store.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from fileplane.blobs.base import BlobInfo, BlobKeyInvalid, BlobMissing, BlobStore
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.ids import new_blob_key
from fileplane.model import Span, StoredBlob

_MIB = 1 << 20


async def put(store: BlobStore, *pieces: bytes) -> StoredBlob:
    """A committed blob made of ``pieces``."""
    async with store.writer(new_blob_key()) as writer:
        for piece in pieces:
            await writer.write(piece)
        return await writer.commit()


async def read(store: BlobStore, key: str, span: Span | None = None) -> bytes:
    """The bytes of a blob or of a part of it."""
    async with store.open(key, span) as reader:
        return b"".join([piece async for piece in reader])


async def everything(store: BlobStore) -> list[BlobInfo]:
    """Whatever the store keeps."""
    return [info async for info in store.walk()]


class BlobStoreSuite:
    """Subclass it; every method is a promise.

    A store whose reader of a deleted blob may fail, instead of reading it to its end, says so by ``reads_on_after_deletion``.
    ``unfinished_bytes`` are enough for an unfinished write to be shown by ``walk``, if ``shows_unfinished``.
    """

    reads_on_after_deletion = True
    shows_unfinished = True
    unfinished_bytes = 4 * _MIB

    @pytest.fixture
    async def store(self) -> Any:
        """To be overridden: yields an empty store."""
        raise NotImplementedError

    @pytest.mark.parametrize("size", [0, 1, _MIB - 1, _MIB, _MIB + 1, 5 * _MIB + 3])
    async def test_a_committed_blob_reads_back_as_it_was_written(self, store: BlobStore, size: int) -> None:
        body = bytes(range(251)) * (size // 251 + 1)
        blob = await put(store, *[body[:size][at : at + 100_000] for at in range(0, size, 100_000)])
        assert (blob.size, blob.sha256) == (size, hashlib.sha256(body[:size]).hexdigest())
        assert await read(store, blob.key) == body[:size]

    async def test_pieces_of_any_size_are_kept_in_order(self, store: BlobStore) -> None:
        pieces = [b"a", b"", b"b" * (3 * _MIB), b"c", b"d" * 17]
        blob = await put(store, *pieces)
        assert await read(store, blob.key) == b"".join(pieces)

    async def test_a_blob_is_not_visible_before_its_commit(self, store: BlobStore) -> None:
        key = new_blob_key()
        async with store.writer(key) as writer:
            await writer.write(b"x" * (2 * _MIB))
            with pytest.raises(BlobMissing):
                await read(store, key)
            assert not [info for info in await everything(store) if info.committed]
            await writer.commit()
            assert await read(store, key) == b"x" * (2 * _MIB)

    async def test_leaving_without_a_commit_leaves_nothing(self, store: BlobStore) -> None:
        key = new_blob_key()
        async with store.writer(key) as writer:
            await writer.write(b"x" * (2 * _MIB))
        assert await everything(store) == []

    async def test_an_error_inside_leaves_nothing(self, store: BlobStore) -> None:
        async def interrupted() -> None:
            async with store.writer(new_blob_key()) as writer:
                await writer.write(b"x" * (2 * _MIB))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await interrupted()
        assert await everything(store) == []

    async def test_a_cancelled_writer_leaves_nothing(self, store: BlobStore) -> None:
        waiting = asyncio.Event()

        async def stuck() -> None:
            async with store.writer(new_blob_key()) as writer:
                await writer.write(b"x" * (2 * _MIB))
                waiting.set()
                await asyncio.Event().wait()

        task = asyncio.ensure_future(stuck())
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await everything(store) == []

    async def test_a_span_yields_just_its_bytes(self, store: BlobStore) -> None:
        body = bytes(range(256)) * 12_000
        blob = await put(store, body)
        for start, length in [(0, 1), (0, len(body)), (len(body) - 1, 1), (_MIB - 1, 2), (5, 2 * _MIB)]:
            assert await read(store, blob.key, Span(start, length)) == body[start : start + length]

    async def test_a_reader_knows_the_size_of_the_whole_blob(self, store: BlobStore) -> None:
        blob = await put(store, b"0123456789")
        async with store.open(blob.key) as whole, store.open(blob.key, Span(2, 3)) as part:
            assert (whole.size, part.size) == (10, 10)
            assert await part.hand_over() is None

    async def test_a_deleted_blob_is_gone_and_may_be_deleted_again(self, store: BlobStore) -> None:
        blob, other = await put(store, b"one"), await put(store, b"two")
        await store.delete(blob.key)
        await store.delete(blob.key)
        with pytest.raises(BlobMissing):
            await read(store, blob.key)
        assert await read(store, other.key) == b"two"

    async def test_a_blob_deleted_while_it_is_read_is_read_to_its_end(self, store: BlobStore) -> None:
        body = b"x" * (3 * _MIB)
        blob = await put(store, body)
        async with store.open(blob.key) as reader:
            pieces = aiter(reader)
            received = [await anext(pieces)]
            await store.delete(blob.key)
            try:
                received += [piece async for piece in pieces]
            except (StorageIntegrityError, StorageUnavailable):
                assert not self.reads_on_after_deletion
                return
        assert b"".join(received) == body

    async def test_walk_shows_every_committed_blob_once_with_its_size(self, store: BlobStore) -> None:
        blobs = [await put(store, b"x" * size) for size in (0, 1, 10, 100)]
        found = await everything(store)
        assert sorted((info.key, info.size) for info in found) == sorted((blob.key, blob.size) for blob in blobs)
        assert all(info.committed for info in found)

    async def test_walk_shows_unfinished_writes_which_can_be_deleted(self, store: BlobStore) -> None:
        async with store.writer(new_blob_key()) as writer:
            for _ in range(self.unfinished_bytes // _MIB):
                await writer.write(b"x" * _MIB)
            unfinished = [info async for info in store.walk(uncommitted_only=True)]
            assert all(not info.committed for info in unfinished)
            assert bool(unfinished) == self.shows_unfinished
            for info in unfinished:
                await store.delete(info.key)
        assert await everything(store) == []

    @pytest.mark.parametrize(
        "key",
        ["", ".", "..", "/", "../../etc/passwd", "/etc/passwd", "aa", "aa/", "aa/..", "tmp/x", "aa/\x00" + "0" * 29, "AA/" + "0" * 30],
    )
    async def test_a_key_of_another_grammar_is_refused(self, store: BlobStore, key: str) -> None:
        with pytest.raises(BlobKeyInvalid):
            await read(store, key)
        with pytest.raises(BlobKeyInvalid):
            await store.delete(key)
        with pytest.raises(BlobKeyInvalid):
            async with store.writer(key):
                pass

    async def test_an_unknown_key_is_missing(self, store: BlobStore) -> None:
        with pytest.raises(BlobMissing):
            await read(store, new_blob_key())

    async def test_a_key_is_never_used_twice(self, store: BlobStore) -> None:
        blob = await put(store, b"first")
        with pytest.raises(Exception, match=r".+"):
            async with store.writer(blob.key) as writer:
                await writer.write(b"second")
                await writer.commit()
        assert await read(store, blob.key) == b"first"
        assert len(await everything(store)) == 1

    async def test_many_writers_at_once_do_not_mix(self, store: BlobStore) -> None:
        bodies = [bytes([number]) * (200_000 + number) for number in range(32)]
        blobs = await asyncio.gather(*[put(store, body[:100_000], body[100_000:]) for body in bodies])
        assert [await read(store, blob.key) for blob in blobs] == bodies

    async def test_an_idle_store_passes_its_check(self, store: BlobStore) -> None:
        await store.check()
        assert await everything(store) == []
