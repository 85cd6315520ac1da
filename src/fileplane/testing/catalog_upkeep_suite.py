"""What every MetadataStore promises to those who look after the catalog of files at providers, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio

import pytest

from fileplane.access import Project
from fileplane.catalog import CatalogQuery, Claim, FileReport, ProviderFile
from fileplane.credentials import VirtualKey
from fileplane.errors import FileNotFound
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import AlreadyBound
from fileplane.metadata.control import StillInUse
from fileplane.testing.catalog_fixtures import (
    CLAIM,
    RECONCILER,
    SOMEBODY,
    CatalogFixtures,
    changes,
    listed,
    put,
    reserve,
)
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY


class MetadataCatalogUpkeepSuite(CatalogFixtures):
    """Subclass it; every method is a promise."""

    async def test_a_file_past_its_end_is_gone_and_its_deletion_can_be_begun(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        file, kept = await put(store, project, shared, expires_after=3_600), await put(store, project, shared)
        name = file.provider_file_id or ""
        clock.advance(3_599)
        assert await store.get_catalog_file(project.id, shared.id, name) == file
        clock.advance(1)
        assert await listed(store, project, shared) == [kept.provider_file_id]
        assert (await store.list_catalog_files(project.id, CatalogQuery((shared.id,), 10))).total == 1
        for call in (
            store.get_catalog_file(project.id, shared.id, name),
            store.refresh_catalog_file(project.id, shared.id, name, FileReport("error")),
            store.begin_catalog_delete(project.id, shared.id, name, CLAIM, NOBODY),
        ):
            with pytest.raises(FileNotFound):
                await call
        assert [expired.id for expired in await store.expire_catalog_files(CLAIM, 10)] == [file.id]
        assert await store.expire_catalog_files(CLAIM, 10) == []
        assert [unresolved.id for unresolved in await store.unresolved_files(None, 10)] == [file.id]
        assert await store.finish_catalog_delete(project.id, file.id, NOBODY)
        assert (await changes(store, name))[-2:] == ["files.expire", "files.confirm_delete"]

    async def test_what_the_provider_has_forgotten_is_closed_once(self, store: MetadataStore, project: Project, shared: VirtualKey) -> None:
        await put(store, project, shared, "file-1")
        assert [await store.close_catalog_file(project.id, shared.id, "file-1", NOBODY) for _ in range(2)] == [True, False]
        assert await listed(store, project, shared) == []
        assert await changes(store, "file-1") == ["files.create", "files.vanish"]
        again = await put(store, project, shared, "file-1")
        assert await store.get_catalog_file(project.id, shared.id, "file-1") == again

    async def test_an_adopted_file_is_the_projects_in_the_place_of_its_age(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        await put(store, project, shared, "file-2")
        born = clock.now_ms() // 1000 - 1_000
        found = ProviderFile("file-1", "fine-tune", "f", 7, "text/plain", "error", born, born + 10**6)
        file = await store.adopt_catalog_file(project.id, shared.id, found, SOMEBODY)
        assert (file.created_at, file.expires_at, file.status, file.bytes, file.purpose) == (born, born + 10**6, "error", 7, "fine-tune")
        assert await store.adopt_catalog_file(project.id, shared.id, found, SOMEBODY) == file
        ahead = await store.adopt_catalog_file(project.id, shared.id, ProviderFile("file-3", "batch", created_at=2**40), SOMEBODY)
        assert ahead.created_at == clock.now_ms() // 1000
        assert (await listed(store, project, shared))[-1] == "file-1"
        assert await store.catalogued_ids(shared.id, ["file-1", "file-2", "unknown"]) == {"file-1", "file-2"}
        assert await changes(store, "file-1") == ["files.adopt"]

    async def test_a_file_is_taken_from_another_project_only_when_that_is_said(
        self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey, twin: VirtualKey
    ) -> None:
        file = await put(store, other, shared, "file-1")
        for key in (shared, twin):
            with pytest.raises(AlreadyBound) as refusal:
                await store.adopt_catalog_file(project.id, key.id, ProviderFile("file-1", "batch"), SOMEBODY)
            assert refusal.value.project_id == other.id
            assert await store.catalogued_ids(key.id, ["file-1"]) == {"file-1"}
        await store.begin_catalog_delete(other.id, shared.id, "file-1", CLAIM, SOMEBODY)
        with pytest.raises(AlreadyBound):
            await store.adopt_catalog_file(project.id, twin.id, ProviderFile("file-1", "batch"), SOMEBODY, move=True)
        await store.cancel_catalog_delete(other.id, file.id, SOMEBODY)
        await store.adopt_catalog_file(project.id, twin.id, ProviderFile("file-1", "batch"), SOMEBODY, move=True)
        assert (await listed(store, other, shared), await listed(store, project, twin)) == ([], ["file-1"])
        assert (await changes(store, "file-1"))[-2:] == ["files.give_away", "files.adopt"]

    async def test_unresolved_files_are_claimed_by_one_at_a_time_and_shown_in_order(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        intents = []
        for _ in range(6):
            intents.append((await reserve(store, project, shared)).id)
            clock.advance(1)
        clock.advance(CLAIM.seconds)
        shown = await store.unresolved_files(None, 4)
        shown += await store.unresolved_files(shown[-1], 4)
        assert [file.id for file in shown] == intents
        taken = await asyncio.gather(*[store.claim_unresolved_files(Claim(f"node {number}", 60), 2) for number in range(4)])
        assert sorted(file.id for files in taken for file in files) == sorted(intents)
        assert not await store.renew_claim(project.id, intents[0], CLAIM)
        (mine,) = [file for files in taken for file in files if file.id == intents[0]]
        clock.advance(50)
        assert await store.renew_claim(project.id, intents[0], Claim(mine.claimed_by or "", 60))
        clock.advance(10)
        assert {file.id for file in await store.claim_unresolved_files(RECONCILER, 10)} == set(intents[1:])

    async def test_a_clock_that_leapt_ahead_and_back_keeps_nothing_from_being_resolved(
        self, store: MetadataStore, project: Project, shared: VirtualKey, clock: ManualClock
    ) -> None:
        clock.advance(10**8)
        intent = await reserve(store, project, shared)
        clock.advance(-(10**8))
        assert [file.id for file in await store.claim_unresolved_files(RECONCILER, 10)] == [intent.id]

    async def test_project_and_virtual_key_stay_while_something_is_at_the_provider(
        self, store: MetadataStore, project: Project, shared: VirtualKey
    ) -> None:
        file, pending = await put(store, project, shared), await reserve(store, project, shared)

        async def users() -> list[tuple[str, ...]]:
            found = []
            for call in (store.delete_virtual_key(shared.slug, NOBODY), store.delete_project(project.id, NOBODY, force=True)):
                with pytest.raises(StillInUse) as refusal:
                    await call
                found.append(tuple(user for user in refusal.value.users if "provider" in user))
            return found

        assert await users() == [("2 files at providers",)] * 2
        await store.begin_catalog_delete(project.id, shared.id, file.provider_file_id or "", CLAIM, NOBODY)
        assert await users() == [("2 files at providers",)] * 2
        await store.finish_catalog_delete(project.id, file.id, NOBODY)
        assert await users() == [("1 file at a provider",)] * 2
        await store.fail_upload(project.id, pending.id, NOBODY)
        await store.delete_virtual_key(shared.slug, NOBODY)
        await store.delete_project(project.id, NOBODY)
