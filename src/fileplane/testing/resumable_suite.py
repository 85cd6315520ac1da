"""What every MetadataStore promises of resumable uploads, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Final

import pytest

from fileplane.access import NO_LIMITS, Project
from fileplane.errors import (
    FileTooLarge,
    InvalidValue,
    StorageQuotaExceeded,
    UploadGone,
    UploadLocked,
    UploadNotFound,
    UploadOffsetMismatch,
    UploadResumable,
)
from fileplane.ids import new_blob_key
from fileplane.metadata.base import MetadataStore
from fileplane.model import StoredBlob
from fileplane.resumable import Append, NewResumable, Resumable
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY, StoreFixtures
from fileplane.testing.upload_fixtures import add, begin, complete, sweep
from fileplane.uploads import NewPart, NewUpload, Part, manifest_of

LIFETIME: Final = 3_600
LEASE: Final = 60


async def begin_resumable(store: MetadataStore, project: Project, length: int | None = 30) -> Resumable:
    """A resumable upload; without a length, it is deferred."""
    new = NewUpload("user_data", "data.bin", length or 0, "text/plain", "key")
    return await store.create_resumable(project.id, NewResumable(new, "filename ZA==", length is None), LIFETIME)


def part_of(size: int) -> NewPart:
    """A part whose blob could be durable."""
    return NewPart(StoredBlob(new_blob_key(), size, hashlib.sha256(b"").hexdigest()), "key")


async def take(store: MetadataStore, upload: Resumable, offset: int = 0, length: int | None = None) -> Resumable:
    """Takes the turn."""
    return await store.take_turn(upload.upload.project_id, upload.upload.id, offset, length, LEASE)


async def append(
    store: MetadataStore, held: Resumable, size: int | None, *, ends_turn: bool = False, quota_bytes: int = PLENTY
) -> Resumable:
    """Appends a part of so many bytes, or nothing at all."""
    new = None if size is None else part_of(size)
    wanted = Append(new, "key", quota_bytes, NO_LIMITS, LIFETIME, NOBODY, ends_turn, held.length)
    return await store.append_part(held.upload.project_id, held.upload.id, held.turn, wanted)


async def merge(store: MetadataStore, held: Resumable, merged: Sequence[Part], size: int) -> list[str]:
    """Merges parts; the ids of those that are given up."""
    given_up = await store.merge_parts(held.upload.project_id, held.upload.id, held.turn, merged, part_of(size))
    return [entry.file_id for entry in given_up]


class MetadataResumableSuite(StoreFixtures):
    """Subclass it; every method is a promise."""

    async def test_parts_are_appended_in_order_and_the_last_byte_makes_the_file(self, store: MetadataStore, project: Project) -> None:
        upload = await begin_resumable(store, project)
        assert (upload.received, upload.parts, upload.held, upload.length, upload.metadata) == (0, 0, False, 30, "filename ZA==")
        held = await take(store, upload)
        assert (held.held, held.received) == (True, 0)
        for received in (5, 10, 25):
            held = await append(store, held, received - held.received)
            assert (held.received, held.held, held.upload.file) == (received, True, None)
        sizes = [part.bytes for part in await store.resumable_parts(project.id, upload.upload.id)]
        assert sizes == [part.bytes for part in await store.upload_parts(project.id, upload.upload.id)] == [5, 5, 15]
        done = await append(store, held, 5)
        file = done.upload.file
        assert file is not None
        assert (done.received, done.held, done.upload.status, file.bytes, file.status) == (30, False, "completed", 30, "uploaded")
        assert manifest_of(file.blob_key) == upload.upload.id
        assert [part.bytes for part in await store.manifest_parts(project.id, upload.upload.id)] == [5, 5, 15, 5]
        usage = await store.usage(project.id)
        assert (usage.live_files, usage.stored_bytes) == (1, 30)
        with pytest.raises(UploadOffsetMismatch):
            await take(store, upload, 30)

    async def test_an_upload_of_no_bytes_is_completed_without_a_part(self, store: MetadataStore, project: Project) -> None:
        done = await append(store, await take(store, await begin_resumable(store, project, 0)), None)
        assert done.upload.file is not None
        assert (done.upload.file.bytes, await store.manifest_parts(project.id, done.upload.id)) == (0, [])

    async def test_only_one_at_a_time_has_the_turn_until_it_ends_or_runs_out(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        upload = await begin_resumable(store, project)
        taken = await asyncio.gather(*[take(store, upload) for _ in range(5)], return_exceptions=True)
        [first] = [one for one in taken if isinstance(one, Resumable)]
        assert all(isinstance(one, UploadLocked) for one in taken if one is not first)
        first = await append(store, first, 5, ends_turn=True)
        assert not first.held
        second = await take(store, upload, 5)
        clock.advance(LEASE - 1)
        assert await store.keep_turn(project.id, upload.upload.id, second.turn, LEASE)
        clock.advance(LEASE - 1)
        with pytest.raises(UploadLocked):
            await take(store, upload, 5)
        clock.advance(1)
        third = await take(store, upload, 5)
        assert not await store.keep_turn(project.id, upload.upload.id, second.turn, LEASE)
        await store.end_turn(project.id, upload.upload.id, second.turn)
        assert (await store.get_resumable(project.id, upload.upload.id)).held
        await store.end_turn(project.id, upload.upload.id, third.turn)
        assert not (await store.get_resumable(project.id, upload.upload.id)).held

    async def test_whoever_has_lost_the_turn_changes_nothing_any_more(self, store: MetadataStore, project: Project) -> None:
        upload = await begin_resumable(store, project)
        old = await append(store, await append(store, await take(store, upload), 5), 5)
        parts = await store.resumable_parts(project.id, upload.upload.id)
        await store.end_turn(project.id, upload.upload.id, old.turn)
        for _ in range(2):
            with pytest.raises(UploadLocked):
                await append(store, old, 20)
            with pytest.raises(UploadLocked):
                await merge(store, old, parts, 10)
            assert not await store.keep_turn(project.id, upload.upload.id, old.turn, LEASE)
            found = await store.get_resumable(project.id, upload.upload.id)
            assert (found.received, found.parts) == (10, 2)
            new = await take(store, upload, 10) if not found.held else found
        assert (await append(store, new, 20)).upload.file is not None
        with pytest.raises(UploadLocked):
            await append(store, new, 20)

    async def test_whoever_has_the_turn_is_told_that_it_is_asked_to_end(self, store: MetadataStore, project: Project) -> None:
        upload = await begin_resumable(store, project)
        first = await take(store, upload)
        await store.ask_turn(project.id, upload.upload.id, first.turn - 1)
        assert not (await store.get_resumable(project.id, upload.upload.id)).asked
        await store.ask_turn(project.id, upload.upload.id, first.turn)
        assert (await store.get_resumable(project.id, upload.upload.id)).asked
        await append(store, first, 5, ends_turn=True)
        assert not (await take(store, upload, 5)).asked

    async def test_a_wrong_offset_or_a_part_beyond_the_length_changes_nothing(self, store: MetadataStore, project: Project) -> None:
        upload = await begin_resumable(store, project)
        for wrong in (1, 30, -1):
            with pytest.raises(UploadOffsetMismatch):
                await take(store, upload, wrong)
        held = await take(store, upload)
        with pytest.raises(FileTooLarge):
            await append(store, held, 31)
        with pytest.raises(StorageQuotaExceeded):
            await append(store, held, 20, quota_bytes=19)
        found = await store.get_resumable(project.id, upload.upload.id)
        assert (found.received, found.parts, found.turn) == (0, 0, held.turn)
        assert (await store.usage(project.id)).stored_bytes == 0

    async def test_a_deferred_length_is_told_once_and_is_not_less_than_what_has_come(self, store: MetadataStore, project: Project) -> None:
        upload = await begin_resumable(store, project, None)
        assert upload.length is None
        await append(store, await take(store, upload), 10, ends_turn=True)
        for wrong in (9, 0):
            with pytest.raises(InvalidValue):
                await take(store, upload, 10, wrong)
        held = await take(store, upload, 10, 12)
        assert (held.length, held.upload.bytes) == (12, 12)
        await store.end_turn(project.id, upload.upload.id, held.turn)
        with pytest.raises(InvalidValue):
            await take(store, upload, 10, 13)
        assert (await append(store, await take(store, upload, 10, 12), 2)).upload.file is not None

    async def test_a_deferred_length_that_has_come_already_is_recorded_with_the_file(self, store: MetadataStore, project: Project) -> None:
        upload = await begin_resumable(store, project, None)
        await append(store, await take(store, upload), 10, ends_turn=True)
        held = await take(store, upload, 10, 10)
        assert held.length == 10
        assert (await store.get_resumable(project.id, upload.upload.id)).length is None
        done = await append(store, held, None)
        assert done.upload.file is not None
        assert (done.length, done.upload.file.bytes) == (10, 10)

    async def test_parts_that_lie_side_by_side_are_put_into_one(self, store: MetadataStore, project: Project) -> None:
        held = await take(store, await begin_resumable(store, project))
        for size in (1, 2, 3, 4):
            held = await append(store, held, size)
        parts = await store.resumable_parts(project.id, held.upload.id)
        for wrong, size in (([parts[0], parts[2]], 4), ([parts[1], parts[0]], 3), ([parts[1], parts[2]], 4)):
            with pytest.raises(UploadLocked):
                await merge(store, held, wrong, size)
        assert await merge(store, held, parts[1:3], 5) == [parts[1].id, parts[2].id]
        assert [part.bytes for part in await store.resumable_parts(project.id, held.upload.id)] == [1, 5, 4]
        with pytest.raises(UploadLocked):
            await merge(store, held, parts[1:3], 5)
        assert (await store.usage(project.id)).stored_bytes == 15
        assert sorted(await sweep(store)) == sorted([parts[1].id, parts[2].id])
        assert (await store.usage(project.id)).stored_bytes == 10
        done = await append(store, held, 20)
        assert [part.bytes for part in await store.manifest_parts(project.id, held.upload.id)] == [1, 5, 4, 20]
        assert done.parts == 4

    async def test_each_part_puts_the_expiry_off_and_what_has_expired_is_gone(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        upload = await begin_resumable(store, project)
        clock.advance(LIFETIME - 1)
        held = await append(store, await take(store, upload), 10)
        assert held.upload.expires_at == clock.now_ms() // 1000 + LIFETIME
        clock.advance(LIFETIME)
        for late in (append(store, held, 20), take(store, upload, 10)):
            with pytest.raises(UploadGone):
                await late
        assert (await store.get_resumable(project.id, upload.upload.id)).upload.status == "expired"

    async def test_a_cancelled_upload_and_one_whose_file_is_gone_take_nothing(self, store: MetadataStore, project: Project) -> None:
        held = await append(store, await take(store, await begin_resumable(store, project)), 10)
        assert len(await store.cancel_upload(project.id, held.upload.id)) == 1
        done = await append(store, await take(store, await begin_resumable(store, project)), 30)
        assert done.upload.file is not None
        await store.delete_file(project.id, done.upload.file.id, LIFETIME, NOBODY)
        for late in (append(store, held, 20), take(store, held, 10), take(store, done, 30)):
            with pytest.raises(UploadGone):
                await late

    async def test_it_is_of_its_project_and_of_its_kind_alone(self, store: MetadataStore, project: Project, other: Project) -> None:
        upload, in_parts = await begin_resumable(store, project), await begin(store, project)
        held = await take(store, upload)
        with pytest.raises(UploadResumable):
            await add(store, upload.upload)
        held = await append(store, held, 10)
        with pytest.raises(UploadResumable):
            await complete(store, upload.upload, *await store.resumable_parts(project.id, upload.upload.id))
        for project_id, upload_id in ((other.id, upload.upload.id), (project.id, in_parts.id)):
            wanted = Append(part_of(1), "key", PLENTY, NO_LIMITS, LIFETIME, NOBODY)
            for call in (
                store.get_resumable(project_id, upload_id),
                store.take_turn(project_id, upload_id, 10, None, LEASE),
                store.append_part(project_id, upload_id, held.turn, wanted),
                store.merge_parts(project_id, upload_id, held.turn, [], part_of(0)),
            ):
                with pytest.raises(UploadNotFound):
                    await call
            assert not await store.keep_turn(project_id, upload_id, held.turn, LEASE)
            await store.end_turn(project_id, upload_id, held.turn)
        assert (await store.get_resumable(project.id, upload.upload.id)).held
