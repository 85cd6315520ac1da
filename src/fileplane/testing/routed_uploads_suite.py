"""What every MetadataStore promises of uploads in parts that become files at providers, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

import pytest

from fileplane.access import Project
from fileplane.catalog import UploadedFile
from fileplane.credentials import VirtualKey
from fileplane.errors import InvalidValue, TooManyParts, UploadNotFound, UploadNotPending, UploadUnresolved
from fileplane.ids import new_blob_key, uuid7
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.transactions import routed_uploads as transactions
from fileplane.model import StoredBlob
from fileplane.testing.catalog_fixtures import SOMEBODY, CatalogFixtures, reserve
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import PLENTY
from fileplane.uploads import BegunCompletion, NewPart, NewUpload, Part, RoutedUpload, UploadQuery, UploadStatus, key_target

LIFETIME: Final = 3_600
DIGEST: Final = b"d" * 32
SHA256: Final = hashlib.sha256(b"").hexdigest()


async def announce(store: MetadataStore, project: Project, shared: VirtualKey, provider_upload_id: str | None = "upload_1") -> RoutedUpload:
    """An upload of thirty bytes."""
    new = NewUpload("user_data", "data.bin", 30, "text/plain", "key", target=key_target(shared.id))
    return await store.create_routed_upload(project.id, new, provider_upload_id, LIFETIME)


async def pass_on(store: MetadataStore, one: RoutedUpload, size: int = 10) -> Part:
    """A part that the provider has."""
    return await store.add_routed_part(one.upload.project_id, one.upload.id, f"part_{uuid7(0)}", size, SHA256)


async def begin(store: MetadataStore, one: RoutedUpload, intent_id: str | None, *parts: Part, replacing: str | None = None) -> None:
    """A completion with these parts."""
    begun = BegunCompletion(DIGEST, intent_id, tuple(part.id for part in parts), replacing)
    await store.begin_completion(one.upload.project_id, one.upload.id, begun)


async def look(store: MetadataStore, one: RoutedUpload) -> tuple[str, bool]:
    """Its status, and whether the end of a completion is not known."""
    found = await store.get_routed_upload(one.upload.project_id, one.upload.id)
    return found.upload.status, found.unresolved


class MetadataRoutedUploadsSuite(CatalogFixtures):
    """Subclass it; every method is a promise."""

    async def test_a_routed_upload_is_in_the_lists_of_its_target_alone(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey
    ) -> None:
        one = await announce(store, project, shared)
        assert (await store.list_uploads(project.id, UploadQuery(10))).uploads == ()
        assert (await store.list_uploads(other.id, UploadQuery(10, targets=(key_target(shared.id),)))).uploads == ()
        for targets in ((key_target(shared.id),), ("", "own x ", key_target(shared.id))):
            assert (await store.list_uploads(project.id, UploadQuery(10, targets=targets))).uploads == (one.upload,)
        with pytest.raises(UploadNotFound):
            await store.get_routed_upload(other.id, one.upload.id)
        native = await store.create_upload(project.id, NewUpload("user_data", "data.bin", 30, "text/plain", "key"), LIFETIME)
        with pytest.raises(UploadNotFound):
            await store.get_routed_upload(project.id, native.id)

    async def test_parts_that_were_passed_on_are_listed_only_whole_and_of_their_own_upload(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        one, another = await announce(store, project, shared), await announce(store, project, shared)
        parts = [await pass_on(store, one) for _ in range(3)]
        foreign = await pass_on(store, another)
        ids = [part.id for part in parts]
        assert sorted(found.part.id for found in await store.routed_parts(project.id, one.upload.id)) == sorted(ids)
        listed = await store.listed_routed_parts(project.id, one.upload.id, ids[::-1])
        assert [found.part for found in listed] == parts[::-1]
        for wrong in (ids[:2], [*ids[:2], ids[1]], [*ids[:2], foreign.id]):
            with pytest.raises(InvalidValue):
                await store.listed_routed_parts(project.id, one.upload.id, wrong)

    async def test_whether_another_part_can_be_taken_is_told_before_it_is_passed_on(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(transactions, "MOST_PARTS", 2)
        one = await announce(store, project, shared)
        for _ in range(2):
            await store.require_room_for_part(project.id, one.upload.id)
            await pass_on(store, one)
        with pytest.raises(TooManyParts):
            await store.require_room_for_part(project.id, one.upload.id)
        with pytest.raises(UploadNotFound):
            await store.require_room_for_part(other.id, one.upload.id)

    async def test_what_becomes_of_the_intent_decides_what_has_become_of_the_upload(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        one = await announce(store, project, shared)
        parts = [await pass_on(store, one) for _ in range(3)]
        failed = await reserve(store, project, shared)
        await begin(store, one, failed.id, *parts)
        assert await look(store, one) == (UploadStatus.PENDING, True)
        await store.mark_upload_unknown(project.id, failed.id, SOMEBODY)
        assert await look(store, one) == (UploadStatus.PENDING, True)
        with pytest.raises(UploadUnresolved):
            await begin(store, one, (await reserve(store, project, shared)).id, *parts)
        for refused in (store.cancel_routed_upload(project.id, one.upload.id), pass_on(store, one)):
            with pytest.raises(UploadUnresolved):
                await refused
        await store.fail_upload(project.id, failed.id, SOMEBODY)
        assert await look(store, one) == (UploadStatus.PENDING, False)
        made = await reserve(store, project, shared)
        await begin(store, one, made.id, *parts[::-1])
        assert await store.completion_parts(project.id, made.id) == [(10, SHA256)] * 3
        assert await store.completion_parts(project.id, failed.id) == []
        await store.bind_upload(project.id, made.id, UploadedFile("file-1", 30, "processed"), SOMEBODY)
        assert await look(store, one) == (UploadStatus.COMPLETED, False)
        with pytest.raises(UploadNotPending):
            await begin(store, one, None)
        clock.advance(LIFETIME)
        await store.expire_uploads(await store.ended_uploads(None, 10))
        assert await look(store, one) == (UploadStatus.COMPLETED, False)

    async def test_the_same_request_may_go_on_to_another_target(self, store: MetadataStore, project: Project, shared: VirtualKey) -> None:
        one = await announce(store, project, shared, None)
        first, second = await reserve(store, project, shared), await reserve(store, project, shared)
        await begin(store, one, first.id)
        await store.mark_upload_unknown(project.id, first.id, SOMEBODY)
        await begin(store, one, second.id, replacing=first.id)
        with pytest.raises(UploadUnresolved):
            await begin(store, one, first.id, replacing=first.id)

    async def test_an_upload_whose_end_is_not_known_does_not_expire(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        one, other = await announce(store, project, shared), await announce(store, project, shared)
        intent = await reserve(store, project, shared)
        await begin(store, one, intent.id)
        clock.advance(LIFETIME)
        ended = await store.ended_uploads(None, 10)
        assert [entry.file_id for entry in ended] == [other.upload.id]
        await store.expire_uploads(ended)
        await store.fail_upload(project.id, intent.id, SOMEBODY)
        await store.expire_uploads(await store.ended_uploads(None, 10))
        assert [await look(store, entry) for entry in (one, other)] == [(UploadStatus.EXPIRED, False)] * 2

    async def test_parts_that_are_kept_here_count_until_the_file_is_at_the_provider(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        one = await announce(store, project, shared, None)
        blob = StoredBlob(new_blob_key(), 30, SHA256)
        part = await store.add_part(project.id, one.upload.id, NewPart(blob, "key"), PLENTY)
        intent = await reserve(store, project, shared)
        await begin(store, one, intent.id)
        await store.bind_upload(project.id, intent.id, UploadedFile("file-1", 30, "processed"), SOMEBODY)
        given_up = await store.finish_completion(project.id, one.upload.id, "file-1")
        assert [entry.file_id for entry in given_up] == [part.id]
        assert (await store.usage(project.id)).stored_bytes == 30
        await store.forget_parts(given_up)
        assert (await store.usage(project.id)).stored_bytes == 0
        clock.advance(30 * 86_400)
        while await store.forget_old_entries(None, None):
            pass
        with pytest.raises(UploadNotFound):
            await store.get_routed_upload(project.id, one.upload.id)

    async def test_a_completion_is_abandoned_only_by_the_request_that_has_begun_it(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        one = await announce(store, project, shared, None)
        await store.begin_completion(project.id, one.upload.id, BegunCompletion(DIGEST, None, number=2**62))
        await store.abandon_completion(project.id, one.upload.id, 2**62 - 1)
        assert await look(store, one) == (UploadStatus.PENDING, True)
        await store.abandon_completion(project.id, one.upload.id, 2**62)
        assert await look(store, one) == (UploadStatus.PENDING, False)

    async def test_without_a_catalog_a_completion_is_unresolved_until_it_is_finished_or_abandoned(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        one = await announce(store, project, shared, None)
        await begin(store, one, None)
        assert await look(store, one) == (UploadStatus.PENDING, True)
        await store.abandon_completion(project.id, one.upload.id, 1)
        assert await look(store, one) == (UploadStatus.PENDING, False)
        racing = await asyncio.gather(*[begin(store, one, None) for _ in range(4)], return_exceptions=True)
        assert sorted(type(result).__name__ for result in racing) == ["NoneType"] + ["UploadUnresolved"] * 3
        await store.finish_completion(project.id, one.upload.id, "file-1")
        found = await store.get_routed_upload(project.id, one.upload.id)
        assert (found.upload.status, found.unresolved, found.provider_file_id) == (UploadStatus.COMPLETED, False, "file-1")
