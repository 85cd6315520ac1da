"""Resumable uploads that break at every point, in every way: what the offset tells is there, and the file is the bytes that were sent."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fileplane.blobs.base import BlobReader
from fileplane.clock import SystemClock
from fileplane.errors import ClientDisconnected, StorageUnavailable, UploadGone, UploadLocked
from fileplane.files import resumable
from fileplane.files.allowance import Received
from fileplane.files.form import FormField
from fileplane.files.integrity import IntegrityCheck
from fileplane.files.janitor import Janitor
from fileplane.files.resumable import Announced, Appending
from fileplane.files.selection import Selection
from fileplane.model import File, Origin, Span
from fileplane.resumable import MANY_PARTS, MERGED_AT_ONCE, Resumable, full_part_bytes, to_merge
from fileplane.testing.faults import CancelledAt, Fails, Plan
from fileplane.uploads import MOST_PARTS, Part
from support.in_process import InProcess, in_process

FULL = 50_000
WHOLE = random.Random(3).randbytes(180_000)
AWAY = StorageUnavailable("The store does not answer.")
BEFORE_AND_AFTER = pytest.mark.parametrize("after", [False, True], ids=["instead of the call", "after the call"])


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[InProcess]:
    async with in_process(tmp_path / "data", orphan_grace_seconds=0, max_part_bytes=FULL) as opened:
        yield opened


class _ASecondLater(SystemClock):
    """For a janitor, to which what was written just now is old."""

    def now_ms(self) -> int:
        return super().now_ms() + 2_000


async def begin(store: InProcess, length: int | None = len(WHOLE)) -> str:
    announced = Announced(length, "", [FormField("purpose", "user_data")], "data.bin", "")
    return (await store.resumable.create(store.principal, announced)).upload.id


async def body(data: bytes, broken: BaseException | None, size: int = 7_000) -> AsyncIterator[bytes]:
    """The bytes as they come, and then the end of the connection, if it breaks."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
    if broken is not None:
        raise broken


async def append(
    store: InProcess, upload_id: str, offset: int, data: bytes, broken: BaseException | None = None, length: int | None = None
) -> Resumable:
    request = Appending(offset, body(data, broken), None, Received(), length)
    return await store.resumable.append(store.principal, upload_id, request, Origin())


async def resumed(store: InProcess, upload_id: str, whole: bytes = WHOLE) -> File:
    """The rest of an upload, as a client sends it that comes back; and then the file, settled."""
    offset = (await store.resumable.look(store.principal, upload_id)).received
    done = await append(store, upload_id, offset, whole[offset:])
    assert done.upload.file is not None
    await store.settler.run()
    return await store.files.get(store.principal, done.upload.file.id)


async def assert_sound(store: InProcess) -> None:
    check = IntegrityCheck(store.metadata, store.blobs, SystemClock(), orphan_grace_seconds=0)
    assert [finding async for finding in check.findings(Selection()) if finding.severity == "error"] == []
    assert await store.temporaries() == []


async def assert_whole(store: InProcess, file: File, whole: bytes = WHOLE) -> None:
    assert (file.status, file.sha256) == ("processed", hashlib.sha256(whole).hexdigest())
    assert await store.content(file) == whole


@BEFORE_AND_AFTER
async def test_an_append_that_fails_at_any_call_is_gone_on_with(store: InProcess, *, after: bool) -> None:
    for point in count(1):
        upload_id = await begin(store)
        plan = Plan({point: Fails(AWAY, after=after)})
        naughty = store.with_faults(plan)
        try:
            await append(naughty, upload_id, 0, WHOLE[:60_000], ClientDisconnected())
        except (StorageUnavailable, ClientDisconnected):
            await naughty.resumable.settle()
        await store.assert_everything_is_closed()
        await assert_sound(store)
        with patch("fileplane.files.turns.WAIT_SECONDS", 0.0):
            await assert_whole(store, await resumed(store, upload_id))
        if not plan.struck:
            break
    assert point > 15
    await Janitor(store.metadata, store.blobs, _ASecondLater(), store.settings).run("test")
    assert (await store.metadata.usage(store.principal.project_id)).stored_bytes == point * len(WHOLE)


@BEFORE_AND_AFTER
async def test_an_upload_whose_length_is_told_last_never_seems_complete_without_its_file(store: InProcess, *, after: bool) -> None:
    """Clients take an offset that is the length for the end of it all, and would never ask again."""
    for point in count(1):
        upload_id = await begin(store, None)
        await append(store, upload_id, 0, WHOLE[:60])
        plan = Plan({point: Fails(AWAY, after=after)})
        naughty = store.with_faults(plan)
        with suppress(StorageUnavailable):
            await append(naughty, upload_id, 60, b"", length=60)
        await naughty.resumable.settle()
        with patch("fileplane.files.turns.WAIT_SECONDS", 0.0):
            looked = await store.resumable.look(store.principal, upload_id)
            assert (looked.length is None) == (looked.upload.file is None)
            done = await append(store, upload_id, 60, b"", length=60)
        assert done.upload.file is not None
        if not plan.struck:
            break
    assert point > 4


@pytest.mark.parametrize("late", [False, True], ids=["as the wait begins", "as the wait ends"])
async def test_an_append_that_is_cancelled_at_any_wait_is_gone_on_with(store: InProcess, *, late: bool) -> None:
    for point in count(1):
        upload_id = await begin(store)
        cancelled = CancelledAt(point, late=late)
        task = asyncio.create_task(cancelled.run(append(store, upload_id, 0, WHOLE[:60_000], ClientDisconnected())))
        await asyncio.wait([task])
        await store.resumable.settle()
        await store.assert_everything_is_closed()
        with patch("fileplane.files.turns.WAIT_SECONDS", 0.0):
            await assert_whole(store, await resumed(store, upload_id))
        if not cancelled.struck:
            break
    assert point > 8
    await assert_sound(store)


async def test_a_connection_that_is_cut_behind_every_so_many_bytes_loses_none_of_them(store: InProcess) -> None:
    upload_id, whole, cuts = await begin(store, 40_000), WHOLE[:40_000], 0
    for end in range(1_234, 40_000, 1_234):
        offset = (await store.resumable.look(store.principal, upload_id)).received
        with pytest.raises(ClientDisconnected):
            await append(store, upload_id, offset, whole[offset:end], ClientDisconnected())
        assert (await store.resumable.look(store.principal, upload_id)).received == end
        cuts += 1
    assert cuts > 30
    await assert_whole(store, await resumed(store, upload_id, whole), whole)


SEEDS = [*range(6), *(pytest.param(seed, marks=pytest.mark.full) for seed in range(6, 60))]


@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_is_cut_repeated_interrupted_or_merged_the_bytes_are_the_same(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    whole, full, many = WHOLE[: chance.randint(0, 400)], chance.randint(1, 120), chance.randint(2, 6)
    async with in_process(tmp_path / "data", max_part_bytes=full) as store:
        with patch.object(resumable, "MANY_PARTS", many), patch("fileplane.files.turns.WAIT_SECONDS", 0.0):
            upload_id, offset = await begin(store, len(whole)), 0
            for _ in range(chance.randint(0, 12)):
                end = chance.randint(offset, len(whole))
                if offset == len(whole):
                    break
                offset = await _stepped(store, upload_id, whole, offset, end, chance.choice(["whole", "cut", "taken over"]))
            parts = await store.metadata.resumable_parts(store.principal.project_id, upload_id)
            assert len(parts) <= max(many, 2 * len(whole) // full + 2)
            await assert_whole(store, await resumed(store, upload_id, whole), whole)


async def _stepped(store: InProcess, upload_id: str, whole: bytes, offset: int, end: int, how: str) -> int:
    """One request more; what the upload has come to then."""
    if how == "taken over":
        await _taken_over(store, upload_id, offset, whole[offset:end])
    elif how == "cut" and end < len(whole):
        with pytest.raises(ClientDisconnected):
            await append(store, upload_id, offset, whole[offset:end], ClientDisconnected())
    else:
        await append(store, upload_id, offset, whole[offset:end])
    now = (await store.resumable.look(store.principal, upload_id)).received
    assert offset <= now <= end
    assert now == end or how == "taken over"
    return now


async def _taken_over(store: InProcess, upload_id: str, offset: int, data: bytes) -> None:
    """A client that stands still, and whose upload somebody else asks for."""
    still = asyncio.Event()

    async def standing() -> AsyncIterator[bytes]:
        if data:
            yield data
        still.set()
        await asyncio.Event().wait()

    request = Appending(offset, standing(), None, Received())
    task = asyncio.create_task(store.resumable.append(store.principal, upload_id, request, Origin()))
    waiting = asyncio.create_task(still.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await store.resumable.look(store.principal, upload_id)
    await asyncio.wait([task])
    assert isinstance(task.exception(), UploadLocked)


def parts_of(sizes: Iterable[int]) -> list[Part]:
    return [Part("upload", str(number), "", size, "", 0) for number, size in enumerate(sizes)]


@given(length=st.integers(1, 10**15), largest=st.integers(1, 10**9), seed=st.integers(0, 2**32))
def test_there_is_always_something_to_merge_before_an_upload_has_too_many_parts(length: int, largest: int, seed: int) -> None:
    full = full_part_bytes(largest, length)
    most = max(MANY_PARTS, 2 * -(-length // full) + 1)
    assert most < MOST_PARTS
    shuffled = random.Random(seed)
    sizes = [shuffled.choice([1, full // 2 + 1, shuffled.randint(1, full)]) for _ in range(most + 1)]
    if sum(sizes) <= length:
        chosen = to_merge(parts_of(sizes), full)
        assert len(chosen) >= 2
        assert sum(part.bytes for part in chosen) <= full


@given(sizes=st.lists(st.integers(1, 20), max_size=30), most=st.integers(1, 60), count=st.integers(1, 8))
def test_what_is_merged_lies_side_by_side_and_is_the_most_that_fits_with_the_fewest_bytes(sizes: list[int], most: int, count: int) -> None:
    chosen = to_merge(parts_of(sizes), most, count)
    spans = [sizes[first:end] for first in range(len(sizes)) for end in range(first, min(len(sizes), first + count) + 1)]
    fitting = [(len(span), -sum(span)) for span in spans if sum(span) <= most]
    assert (len(chosen), -sum(part.bytes for part in chosen)) == max(fitting, default=(0, 0))
    numbers = [int(part.id) for part in chosen]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    assert sum(part.bytes for part in chosen) <= most


async def test_a_client_that_sends_a_byte_at_a_time_comes_to_no_more_parts_than_that(store: InProcess) -> None:
    with patch.object(resumable, "MANY_PARTS", 10):
        upload_id, whole = await begin(store, 60), WHOLE[:60]
        for offset in range(59):
            assert (await append(store, upload_id, offset, whole[offset : offset + 1])).parts <= 10
        await assert_whole(store, await resumed(store, upload_id, whole), whole)
    await assert_sound(store)
    assert (await store.metadata.usage(store.principal.project_id)).stored_bytes == 60


def test_a_merge_reads_few_parts_however_many_there_are() -> None:
    assert len(to_merge(parts_of([1] * MOST_PARTS), 1 << 26)) == MERGED_AT_ONCE


async def test_parts_that_are_damaged_are_not_merged_into_one_that_seems_whole(store: InProcess) -> None:
    with patch.object(resumable, "MANY_PARTS", 2):
        upload_id = await begin(store, 60)
        for offset in range(2):
            await append(store, upload_id, offset * 10, WHOLE[offset * 10 : offset * 10 + 10])
        [first, _] = await store.metadata.resumable_parts(store.principal.project_id, upload_id)
        (store.settings.data_dir / "blobs" / first.blob_key).write_bytes(b"0123456789")
        with pytest.raises(Exception, match="damaged"):
            await append(store, upload_id, 20, WHOLE[20:60])
        assert (await store.resumable.look(store.principal, upload_id)).parts == 2


@pytest.mark.parametrize("opened", [0, 1], ids=["none of them is open", "the first is open"])
@pytest.mark.parametrize("how", ["taken", "terminated"])
async def test_a_merge_whose_parts_are_merged_or_given_up_meanwhile_finds_no_damage(store: InProcess, opened: int, how: str) -> None:
    upload_id = await begin(store, 60)
    for offset in range(3):
        await append(store, upload_id, offset * 10, WHOLE[offset * 10 : offset * 10 + 10])
    opens, original = count(), store.blobs.open

    @asynccontextmanager
    async def late(key: str, span: Span | None = None, expected: int | None = None) -> AsyncIterator[BlobReader]:
        if next(opens) == opened:
            if how == "terminated":
                await store.resumable.terminate(store.principal, upload_id)
            else:
                looked = await store.resumable.look(store.principal, upload_id)
                await append(store, upload_id, looked.received, WHOLE[30:40])
        async with original(key, span, expected) as reader:
            yield reader

    with (
        patch.object(resumable, "MANY_PARTS", 3),
        patch("fileplane.files.turns.WAIT_SECONDS", 0.0),
        patch.object(store.blobs, "open", late),
        pytest.raises(UploadGone if how == "terminated" else UploadLocked),
    ):
        await append(store, upload_id, 30, WHOLE[30:60])
    if how == "taken":
        await assert_whole(store, await resumed(store, upload_id, WHOLE[:60]), WHOLE[:60])
    await assert_sound(store)
