"""The local blob store keeps the promises of every blob store, and those of a disk."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from fileplane.blobs import local
from fileplane.blobs.base import BlobMissing
from fileplane.blobs.local import LocalBlobStore
from fileplane.errors import StorageIntegrityError, StorageUnavailable
from fileplane.ids import new_blob_key
from fileplane.model import Span
from fileplane.testing.blob_store_suite import BlobStoreSuite, everything, put, read
from support.limits import own_open_files
from support.polling import eventually_equal_async


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalBlobStore]:
    store = LocalBlobStore(tmp_path / "blobs")
    yield store
    await store.close()


class TestLocalBlobStore(BlobStoreSuite):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[LocalBlobStore]:
        store = LocalBlobStore(tmp_path / "blobs")
        yield store
        await store.close()


async def test_directories_and_blobs_are_the_owners_alone(store: LocalBlobStore, tmp_path: Path) -> None:
    blob = await put(store, b"private")
    root = tmp_path / "blobs"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert stat.S_IMODE((root / blob.key).stat().st_mode) == 0o600


async def test_what_is_handed_over_is_always_the_blob_itself_even_once_it_is_deleted(store: LocalBlobStore) -> None:
    contents = [f"content {number}".encode() for number in range(300)]
    handed_over = []
    for content in contents:
        key = (await put(store, content)).key
        async with store.open(key) as reader:
            handed_over.append(await reader.hand_over())
        await store.delete(key)
    assert [path.read_bytes() for path in handed_over if path is not None] == contents
    assert len(set(handed_over)) == len(contents)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no paths of directories that are open")
async def test_what_is_handed_over_is_found_although_the_directory_is_renamed(store: LocalBlobStore, tmp_path: Path) -> None:
    async with store.open((await put(store, b"content")).key) as reader:
        path = await reader.hand_over()
        assert path is not None
        (tmp_path / "blobs").rename(tmp_path / "elsewhere")
        again = await reader.hand_over()
    assert again is not None
    assert (path.read_bytes(), again.read_bytes()) == (b"content", b"content")


async def test_nothing_is_kept_of_what_was_handed_over(store: LocalBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_SERVED_SECONDS", 0.0)
    key = (await put(store, b"content")).key
    for _ in range(50):
        async with store.open(key) as reader:
            await reader.hand_over()
    await eventually_equal_async(lambda: list((tmp_path / "blobs" / "served").iterdir()), [])
    await eventually_equal_async(lambda: own_open_files(tmp_path / "blobs"), [])
    assert await read(store, key) == b"content"


async def test_a_store_that_closes_takes_back_what_it_handed_over(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs")
    async with store.open((await put(store, b"content")).key) as reader:
        path = await reader.hand_over()
    assert path is not None
    assert path.exists()
    await store.close()
    assert not path.exists()


async def test_where_a_file_system_has_no_second_names_the_bytes_are_read_here(
    store: LocalBlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    async with store.open((await put(store, b"content")).key) as reader:
        assert await reader.hand_over() is None
        assert b"".join([piece async for piece in reader]) == b"content"


async def test_what_a_killed_process_handed_over_is_taken_back_after_an_hour(
    store: LocalBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, foreign = [tmp_path / "blobs" / "served" / name for name in ("0" * 32, "README")]
    left.write_text("content")
    foreign.write_text("mine")
    assert [info async for info in store.walk(uncommitted_only=True)] == []
    assert left.exists()
    monkeypatch.setattr(local, "_LEFT_BEHIND_SECONDS", -1.0)
    assert [info async for info in store.walk(uncommitted_only=True)] == []
    assert not left.exists()
    assert foreign.exists()


async def test_what_is_taken_back_while_another_looks_for_what_was_left_is_no_error(
    store: LocalBlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "blobs" / "served" / ("0" * 32)
    left.write_text("content")

    scandir = os.scandir

    def taken_back(directory: int) -> AbstractContextManager[list[os.DirEntry[str]]]:
        found = list(scandir(directory))
        left.unlink(missing_ok=True)
        return nullcontext(found)

    monkeypatch.setattr(os, "scandir", taken_back)
    assert [info async for info in store.walk(uncommitted_only=True)] == []


async def test_a_symbolic_link_in_place_of_a_blob_is_not_followed(store: LocalBlobStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    key = new_blob_key()
    (tmp_path / "blobs" / key).symlink_to(secret)
    with pytest.raises(BlobMissing):
        await read(store, key)


async def test_a_symbolic_link_in_place_of_a_directory_is_not_followed(store: LocalBlobStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    shard = tmp_path / "blobs" / "aa"
    shard.rmdir()
    shard.symlink_to(outside)
    with pytest.raises(StorageUnavailable):
        async with store.writer("aa/" + "0" * 30) as writer:
            await writer.write(b"x")
            await writer.commit()
    assert list(outside.iterdir()) == []


async def test_a_directory_in_place_of_a_blob_is_a_missing_blob(store: LocalBlobStore, tmp_path: Path) -> None:
    key = new_blob_key()
    (tmp_path / "blobs" / key).mkdir()
    with pytest.raises(BlobMissing):
        await read(store, key)


async def test_a_blob_cut_short_while_it_is_read_is_an_integrity_error(store: LocalBlobStore, tmp_path: Path) -> None:
    blob = await put(store, b"x" * (3 << 20))
    async with store.open(blob.key) as reader:
        os.truncate(tmp_path / "blobs" / blob.key, 1 << 20)
        with pytest.raises(StorageIntegrityError):
            async for _ in reader:
                continue


async def test_a_full_disk_is_unavailable_and_leaves_nothing(tmp_path: Path) -> None:
    store = LocalBlobStore(tmp_path / "blobs", min_free_bytes=1 << 62)
    with pytest.raises(StorageUnavailable) as refused:
        await put(store, b"x")
    assert refused.value.headers == {"retry-after": "60"}
    with pytest.raises(StorageUnavailable):
        await store.check()
    assert await everything(store) == []
    await store.close()


async def test_foreign_files_in_the_directories_are_left_alone(store: LocalBlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "aa" / "README").write_text("mine")
    (tmp_path / "blobs" / "tmp" / ".keep").write_text("mine")
    assert await everything(store) == []


async def test_no_descriptor_stays_open(store: LocalBlobStore, tmp_path: Path) -> None:
    blob = await put(store, b"x" * (2 << 20))
    await everything(store)
    for _ in range(20):
        await put(store, b"x" * (2 << 20))
        await read(store, blob.key, Span(1, 2))
        await everything(store)
        await store.check()
        with pytest.raises(BlobMissing):
            await read(store, new_blob_key())
    await eventually_equal_async(lambda: own_open_files(tmp_path / "blobs"), [])


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
async def test_whichever_call_to_the_disk_fails_the_write_fails_and_leaves_nothing(
    store: LocalBlobStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    for failing in itertools.count(1):
        fault = FailingCall(getattr(os, step), failing)
        with monkeypatch.context() as patched:
            patched.setattr(os, step, fault)
            try:
                blob = await put(store, b"x" * (2 << 20), b"y")
            except StorageUnavailable:
                assert fault.reached
        if not fault.reached:
            break
        assert await everything(store) == []
    assert failing > 1
    await store.delete(blob.key)


class FailingCall:
    """Fails the n-th time it is called, and says whether that time came."""

    def __init__(self, real: Callable[..., object], failing: int) -> None:
        self._real = real
        self._calls_left = failing
        self.reached = False

    def __call__(self, *arguments: object, **options: object) -> object:
        self._calls_left -= 1
        if self._calls_left == 0:
            self.reached = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return self._real(*arguments, **options)
