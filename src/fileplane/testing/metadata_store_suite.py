"""What every MetadataStore promises, as tests.

An implementation's own test file subclasses :class:`MetadataStoreSuite` and gives it fixtures ``clock`` (a ManualClock) and ``store``
(an empty store on that clock).
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from fileplane.access import NewApiKey, NewProject, Project
from fileplane.errors import FileNotFound, StorageQuotaExceeded
from fileplane.ids import new_blob_key, uuid7
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.metadata.control import SlugTaken
from fileplane.model import File, FileQuery, NewFile, Origin, StoredBlob, Usage
from fileplane.testing.clock import ManualClock

PLENTY = 10**15
RETENTION = 604_800
NOBODY = Origin()


def new_file(*, size: int = 10, purpose: str = "user_data", expires_after: int | None = None, verdict: str | None = None) -> NewFile:
    """A file that could have been uploaded."""
    blob = StoredBlob(new_blob_key(), size, hashlib.sha256(b"").hexdigest())
    return NewFile(blob, purpose, "data.bin", "application/octet-stream", "key", expires_after, verdict=verdict)


async def record(store: MetadataStore, project_id: str, new: NewFile, quota_bytes: int = PLENTY) -> File:
    """Records a file, which is not the repetition of another."""
    created = await store.create_file(project_id, new, quota_bytes, NOBODY)
    assert not created.repeated
    return created.file


async def record_file(store: MetadataStore, project_id: str, **values: Any) -> File:
    """Records a file that could have been uploaded."""
    return await record(store, project_id, new_file(**values))


async def make_project(store: MetadataStore, slug: str) -> Project:
    """Makes a project without limits."""
    return await store.create_project(NewProject(slug, slug), NOBODY)


async def ids(store: MetadataStore, project: Project, **query: Any) -> list[str]:
    """The ids of one page, in its order."""
    return [file.id for file in (await store.list_files(project.id, FileQuery(**{"limit": 100, **query}))).files]


class StoreFixtures:
    """What the suites of a metadata store have in common."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The time that the store goes by."""
        return ManualClock()

    @pytest.fixture
    async def store(self, clock: ManualClock) -> Any:
        """To be overridden: yields an empty store."""
        raise NotImplementedError

    @pytest.fixture
    async def project(self, store: MetadataStore) -> Project:
        """A project without files."""
        return await make_project(store, "first")

    @pytest.fixture
    async def other(self, store: MetadataStore) -> Project:
        """Another project without files."""
        return await make_project(store, "second")

    @pytest.fixture
    async def deleted(self, store: MetadataStore, project: Project) -> File:
        """A file that was just deleted."""
        file = await record_file(store, project.id)
        await store.delete_file(project.id, file.id, RETENTION, NOBODY)
        return file


class MetadataStoreSuite(StoreFixtures):
    """Subclass it; every method is a promise."""

    async def create(self, store: MetadataStore, project: Project, count: int, clock: ManualClock, **values: Any) -> list[File]:
        """Files one second apart, oldest first."""
        files = []
        for _ in range(count):
            files.append(await record(store, project.id, new_file(**values)))
            clock.advance(1)
        return files

    async def test_a_created_file_is_returned_as_it_was_recorded(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        new = new_file(expires_after=3_600)
        file = await record(store, project.id, new)
        assert await store.get_file(project.id, file.id) == file
        assert (file.bytes, file.purpose, file.blob_key, file.sha256) == (10, "user_data", new.blob.key, new.blob.sha256)
        assert file.created_at == clock.now_ms() // 1000
        assert file.expires_at == file.created_at + 3_600

    async def test_another_project_does_not_have_the_file(self, store: MetadataStore, project: Project, other: Project) -> None:
        file = await record_file(store, project.id)
        with pytest.raises(FileNotFound):
            await store.get_file(other.id, file.id)
        with pytest.raises(FileNotFound):
            await store.delete_file(other.id, file.id, RETENTION, NOBODY)
        assert await ids(store, other) == []
        assert await store.usage(other.id) == Usage(0, 0)
        assert await store.get_file(project.id, file.id) == file

    async def test_a_deleted_file_is_gone_but_counts_until_collected(self, store: MetadataStore, project: Project) -> None:
        kept, deleted = [await record(store, project.id, new_file(size=size)) for size in (1, 2)]
        await store.delete_file(project.id, deleted.id, RETENTION, NOBODY)
        with pytest.raises(FileNotFound):
            await store.get_file(project.id, deleted.id)
        with pytest.raises(FileNotFound):
            await store.delete_file(project.id, deleted.id, RETENTION, NOBODY)
        assert await ids(store, project) == [kept.id]
        assert await store.usage(project.id) == Usage(live_files=1, stored_bytes=3)

    async def test_an_expired_file_does_not_exist(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        file = await record(store, project.id, new_file(expires_after=3_600))
        forever = await record_file(store, project.id)
        clock.advance(3_599)
        assert (await store.list_files(project.id, FileQuery(10))).total == 2
        clock.advance(1)
        with pytest.raises(FileNotFound):
            await store.get_file(project.id, file.id)
        with pytest.raises(FileNotFound):
            await store.delete_file(project.id, file.id, RETENTION, NOBODY)
        for newest_first in (True, False):
            for purpose in (None, "user_data"):
                page = await store.list_files(project.id, FileQuery(10, purpose, newest_first))
                assert ([entry.id for entry in page.files], page.total) == ([forever.id], 1)

    async def test_the_quota_admits_exactly_what_fits(self, store: MetadataStore, project: Project) -> None:
        await record(store, project.id, new_file(size=60), 100)
        with pytest.raises(StorageQuotaExceeded):
            await record(store, project.id, new_file(size=41), 100)
        await record(store, project.id, new_file(size=40), 100)
        assert await store.usage(project.id) == Usage(2, 100)

    async def test_racing_files_do_not_exceed_the_quota_together(self, store: MetadataStore, project: Project) -> None:
        outcomes = await asyncio.gather(*[record(store, project.id, new_file(), 55) for _ in range(20)], return_exceptions=True)
        assert len([outcome for outcome in outcomes if isinstance(outcome, File)]) == 5
        assert all(isinstance(outcome, File | StorageQuotaExceeded) for outcome in outcomes)
        assert await store.usage(project.id) == Usage(5, 50)

    async def test_a_refused_file_leaves_the_others_of_its_group_alone(self, store: MetadataStore, project: Project) -> None:
        outcomes = await asyncio.gather(
            *[record(store, project.id, new_file(), 0 if number % 2 else PLENTY) for number in range(20)], return_exceptions=True
        )
        assert [isinstance(outcome, File) for outcome in outcomes] == [True, False] * 10
        assert len(await ids(store, project)) == 10

    @pytest.mark.parametrize("newest_first", [True, False])
    @pytest.mark.parametrize("purpose", [None, "user_data"])
    async def test_pages_follow_each_other_without_gap_or_repeat(
        self, store: MetadataStore, project: Project, clock: ManualClock, newest_first: bool, purpose: str | None
    ) -> None:
        expected = [file.id for file in await self.create(store, project, 25, clock)]
        await self.create(store, project, 3, clock, purpose="vision") if purpose else None
        expected = expected[::-1] if newest_first else expected
        seen: list[str] = []
        more = True
        while more:
            query = FileQuery(4, purpose, newest_first, seen[-1] if seen else None)
            page = await store.list_files(project.id, query)
            assert page.total == 25
            seen += [file.id for file in page.files]
            more = page.has_more
        assert seen == expected

    @pytest.mark.parametrize("newest_first", [True, False])
    async def test_files_of_one_instant_have_one_order_too(self, store: MetadataStore, project: Project, newest_first: bool) -> None:
        created = [await record_file(store, project.id) for _ in range(30)]
        expected = sorted([file.id for file in created], reverse=newest_first)
        seen: list[str] = []
        for _ in range(30):
            seen += await ids(store, project, limit=1, newest_first=newest_first, after=seen[-1] if seen else None)
        assert seen == expected

    async def test_an_offset_passes_over_as_many_files(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        newest = [file.id for file in await self.create(store, project, 10, clock)][::-1]
        for offset in (0, 1, 9, 10, 1_000_000):
            page = await store.list_files(project.id, FileQuery(3, offset=offset))
            assert [file.id for file in page.files] == newest[offset : offset + 3]
            assert page.has_more is (offset + 3 < 10)
            assert page.total == 10

    async def test_files_created_and_deleted_meanwhile_disturb_no_page(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        staying = await self.create(store, project, 12, clock)
        seen: list[str] = []
        while page := await ids(store, project, limit=2, after=seen[-1] if seen else None):
            seen += page
            await record_file(store, project.id)
            await store.delete_file(project.id, (await record_file(store, project.id)).id, RETENTION, NOBODY)
            clock.advance(1)
        assert seen == [file.id for file in staying][::-1]

    async def test_a_cursor_works_after_its_file_is_deleted_or_expired(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        oldest, middle, newest = await self.create(store, project, 3, clock)
        await store.delete_file(project.id, middle.id, RETENTION, NOBODY)
        assert await ids(store, project, after=middle.id) == [oldest.id]
        assert await ids(store, project, after=middle.id, newest_first=False) == [newest.id]

    async def test_a_foreign_cursor_is_an_unknown_one(self, store: MetadataStore, project: Project, other: Project) -> None:
        foreign = await record(store, other.id, new_file())
        for cursor in (foreign.id, uuid7(0)):
            with pytest.raises(CursorNotFound):
                await ids(store, project, after=cursor)

    async def test_an_unknown_purpose_has_no_files(self, store: MetadataStore, project: Project) -> None:
        await record_file(store, project.id)
        page = await store.list_files(project.id, FileQuery(10, "nothing"))
        assert (page.files, page.has_more, page.total) == ((), False, 0)

    async def test_the_slug_of_a_project_is_taken_once(self, store: MetadataStore, project: Project) -> None:
        with pytest.raises(SlugTaken):
            await make_project(store, project.slug)
        assert [entry.name for entry in await store.list_projects()] == [project.name]

    async def test_an_api_key_is_found_by_its_hash_alone(
        self, store: MetadataStore, project: Project, other: Project, clock: ManualClock
    ) -> None:
        hashes = [hashlib.sha256(bytes([number])).digest() for number in range(3)]
        for owner, key_hash in zip((project, other), hashes, strict=False):
            await store.create_api_key(NewApiKey(owner.id, owner.name, key_hash, "abcd", frozenset({"files.read"}), expires_at=5), NOBODY)
            clock.advance(1)
        found = await store.find_api_key(hashes[1])
        assert found is not None
        assert (found.project, found.works_until) == (other, None)
        assert (found.key.project_id, found.key.project_slug, found.key.expires_at) == (other.id, "second", 5)
        assert found.key.scopes == frozenset({"files.read"})
        assert await store.find_api_key(hashes[2]) is None
        assert [key.project_id for key in await store.list_api_keys()] == [project.id, other.id]
        assert [key.project_id for key in await store.list_api_keys(other.id)] == [other.id]

    async def test_a_revocation_keeps_its_first_time(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        key = await store.create_api_key(NewApiKey(project.id, "name", b"hash", "abcd", frozenset()), NOBODY)
        assert key.works_at(clock.now_ms() // 1000)
        for _ in range(2):
            assert await store.revoke_api_key(key.id, NOBODY)
            clock.advance(60)
        revoked = await store.find_api_key(b"hash")
        assert revoked is not None
        assert revoked.key.revoked_at == clock.now_ms() // 1000 - 120
        assert [one.id for one in await store.list_api_keys()] == [key.id]
        assert await store.list_api_keys(with_revoked=False) == []
        assert not await store.revoke_api_key(uuid7(0), NOBODY)

    async def test_only_the_first_of_racing_first_starts_makes_a_key(self, store: MetadataStore) -> None:
        outcomes = await asyncio.gather(*[store.bootstrap(bytes([number]), "abcd", frozenset({"files.read"})) for number in range(8)])
        assert sorted(outcomes) == [False] * 7 + [True]
        (key,) = await store.list_api_keys()
        assert (key.project_slug, key.organisation) == ("default", True)

    async def test_an_idle_store_passes_its_check(self, store: MetadataStore) -> None:
        await store.check()

    async def test_files_that_were_given_up_are_told_from_those_whose_bytes_must_be_there(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        live, deleted, purged, collected, forgotten = await self.create(store, project, 5, clock)
        files = await store.kept_files(("", ""), 10)
        await store.delete_file(project.id, deleted.id, RETENTION, NOBODY)
        await store.purge_file(project.id, purged.id, NOBODY)
        await store.mark_collected([await store.purge_file(project.id, forgotten.id, NOBODY)])
        await store.forget_files(await store.tombstones(clock.now_ms() // 1000, None, 10))
        await store.mark_collected([await store.purge_file(project.id, collected.id, NOBODY)])
        given_up = {file.file_id for file in await store.given_up_files(files)}
        assert given_up == {purged.id, collected.id, forgotten.id}
        assert live.id not in given_up

    async def test_a_dropped_file_is_gone_whatever_its_state_and_counts_no_longer(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        live, deleted, held, stays = await self.create(store, project, 4, clock)
        await store.delete_file(project.id, deleted.id, RETENTION, NOBODY)
        await store.hold_file(project.id, held.id, "a batch", None, NOBODY)
        dropped = [file for file in await store.kept_files(("", ""), 10) if file.file_id != stays.id]
        await store.drop_files(dropped)
        await store.drop_files(dropped)
        assert [file.file_id for file in await store.kept_files(("", ""), 10)] == [stays.id]
        assert await store.unowned_blobs([live.blob_key, stays.blob_key]) == [live.blob_key]
        assert await store.counter_drifts() == []
        assert await store.structural_problems() == []
        assert (await store.usage(project.id)).live_files == 1
