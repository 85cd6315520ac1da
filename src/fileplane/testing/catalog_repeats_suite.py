"""What every MetadataStore promises of idempotency keys on uploads to providers, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio

import pytest

from fileplane.access import Project
from fileplane.catalog import FileState, Reservation, UploadedFile
from fileplane.credentials import VirtualKey
from fileplane.errors import IdempotencyConflict
from fileplane.metadata.base import MetadataStore
from fileplane.model import Idempotency
from fileplane.testing.catalog_fixtures import CLAIM, SOMEBODY, CatalogFixtures, delete, new_upload
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY, new_file

KEY = Idempotency(b"key", b"fingerprint")


class MetadataCatalogRepeatsSuite(CatalogFixtures):
    """Subclass it; every method is a promise."""

    async def reserve(
        self, store: MetadataStore, project: Project, key: VirtualKey, idempotency: Idempotency = KEY, **values: int
    ) -> Reservation:
        """A reservation with an idempotency key."""
        return await store.reserve_upload(project.id, new_upload(key, **values), CLAIM, SOMEBODY, idempotency)

    async def bind(self, store: MetadataStore, made: Reservation, name: str = "file-1") -> None:
        """Ends it well."""
        await store.bind_upload(made.file.project_id, made.file.id, UploadedFile(name, 1, "processed"), SOMEBODY)

    async def test_a_repeated_upload_is_answered_with_the_first_file_at_whatever_target(
        self, store: MetadataStore, project: Project, shared: VirtualKey, second: VirtualKey, clock: ManualClock
    ) -> None:
        first = await self.reserve(store, project, shared)
        clock.advance(86_399)
        running = await self.reserve(store, project, second)
        assert (running.repeated, running.file.id, running.file.state) == (True, first.file.id, FileState.RESERVED)
        await self.bind(store, first)
        repeated = await self.reserve(store, project, second)
        assert (repeated.repeated, repeated.file.provider_file_id, repeated.file.state) == (True, "file-1", FileState.BOUND)
        assert len(await store.unresolved_files(None, 10)) == 0
        clock.advance(1)
        assert not (await self.reserve(store, project, shared)).repeated

    async def test_of_racing_uploads_with_one_key_one_is_made(self, store: MetadataStore, project: Project, shared: VirtualKey) -> None:
        made = await asyncio.gather(*[self.reserve(store, project, shared) for _ in range(8)])
        assert sorted(reservation.repeated for reservation in made) == [False] + [True] * 7
        assert len({reservation.file.id for reservation in made}) == 1
        assert len(await store.unresolved_files(None, 10)) == 1

    async def test_a_key_is_not_used_for_anything_else(self, store: MetadataStore, project: Project, shared: VirtualKey) -> None:
        await self.bind(store, await self.reserve(store, project, shared))
        with pytest.raises(IdempotencyConflict):
            await self.reserve(store, project, shared, Idempotency(b"key", b"another"))

    async def test_a_key_means_nothing_to_another_project(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey
    ) -> None:
        await self.bind(store, await self.reserve(store, project, shared))
        assert not (await self.reserve(store, other, shared, Idempotency(b"key", b"another"))).repeated

    async def test_native_files_and_files_at_providers_share_their_keys(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        native = Idempotency(b"native", b"fingerprint")
        await store.create_file(project.id, new_file(), PLENTY, NOBODY, native)
        with pytest.raises(IdempotencyConflict):
            await self.reserve(store, project, shared, native)
        await self.bind(store, await self.reserve(store, project, shared))
        with pytest.raises(IdempotencyConflict):
            await store.create_file(project.id, new_file(), PLENTY, NOBODY, KEY)

    @pytest.mark.parametrize("end", ["deleted", "deleting", "forgotten", "expired"])
    async def test_a_key_whose_file_is_gone_is_a_conflict(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock, end: str
    ) -> None:
        made = await self.reserve(store, project, shared, expires_after=3_600)
        await self.bind(store, made)
        file = await store.get_catalog_file(project.id, shared.id, "file-1")
        if end == "deleted":
            await delete(store, file)
        elif end == "deleting":
            await store.begin_catalog_delete(project.id, shared.id, "file-1", CLAIM, NOBODY)
        elif end == "forgotten":
            await store.close_catalog_file(project.id, shared.id, "file-1", NOBODY)
        else:
            clock.advance(3_600)
        with pytest.raises(IdempotencyConflict):
            await self.reserve(store, project, shared)

    async def test_an_upload_that_failed_gives_its_key_back(self, store: MetadataStore, project: Project, shared: VirtualKey) -> None:
        failed = await self.reserve(store, project, shared)
        await store.fail_upload(project.id, failed.file.id, NOBODY)
        again = await self.reserve(store, project, shared, Idempotency(b"key", b"another"))
        assert not again.repeated
        await store.fail_upload(project.id, failed.file.id, NOBODY)
        assert (await self.reserve(store, project, shared, Idempotency(b"key", b"another"))).file.id == again.file.id

    async def test_an_unknown_outcome_keeps_its_key_unless_another_target_is_tried(
        self, store: MetadataStore, project: Project, shared: VirtualKey, second: VirtualKey
    ) -> None:
        first = await self.reserve(store, project, shared)
        await store.mark_upload_unknown(project.id, first.file.id, NOBODY)
        repeated = await self.reserve(store, project, second)
        assert (repeated.repeated, repeated.file.state) == (True, FileState.UNKNOWN)
        await store.mark_upload_unknown(project.id, first.file.id, NOBODY, release_key=True)
        moved = await self.reserve(store, project, second)
        assert not moved.repeated
        await self.bind(store, first)
        await self.bind(store, moved, "file-2")
        assert (await self.reserve(store, project, shared)).file.provider_file_id == "file-2"

    async def test_a_key_goes_with_an_upload_to_the_file_that_the_provider_had_already(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        first, again = Idempotency(b"first", b"1"), Idempotency(b"again", b"2")
        for key in (first, again):
            await self.bind(store, await self.reserve(store, project, shared, key))
        answers = [await self.reserve(store, project, shared, key) for key in (first, again)]
        assert [(answer.repeated, answer.file.provider_file_id) for answer in answers] == [(True, "file-1")] * 2
