"""What every MetadataStore promises about limits and usage, as tests.

To be subclassed like :class:`~fileplane.testing.metadata_store_suite.MetadataStoreSuite`, with the same fixtures.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fileplane.access import ApiKey, CallerLimits, Limits, NewApiKey, Project, Whose
from fileplane.errors import FileQuotaExceeded, RateLimited, StorageQuotaExceeded
from fileplane.metadata.base import MetadataStore
from fileplane.model import CreatedFile, DayUsage, File, Idempotency, Kept, KeyUsage, PurposeUsage, RequestLease, Spent
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY, RETENTION, StoreFixtures, new_file

DAY = 86_400
LEASE = 60
REFUSALS = (StorageQuotaExceeded, FileQuotaExceeded, RateLimited)


async def make_key(store: MetadataStore, project: Project, name: str, limits: Limits = Limits()) -> ApiKey:  # noqa: B008 - frozen
    """Makes a key with these limits."""
    return await store.create_api_key(NewApiKey(project.id, name, name.encode(), "hint", frozenset(), limits=limits), NOBODY)


async def create(
    store: MetadataStore, project: Project, *, key: str = "key", received: int = 0, limits: CallerLimits | None = None, **values: Any
) -> File:
    """Records a file that was uploaded with a key, within limits."""
    new = replace(new_file(**values), created_by=key, received_bytes=received)
    return (await store.create_file(project.id, new, PLENTY, NOBODY, limits=limits or CallerLimits())).file


async def race(store: MetadataStore, project: Project, times: int, **options: Any) -> int:
    """How many of that many files, created at once, were admitted; the others were refused."""
    outcomes = await asyncio.gather(*[create(store, project, **options) for _ in range(times)], return_exceptions=True)
    assert all(isinstance(outcome, (File, *REFUSALS)) for outcome in outcomes), outcomes
    return len([outcome for outcome in outcomes if isinstance(outcome, File)])


class MetadataLimitsSuite(StoreFixtures):
    """Subclass it; every method is a promise."""

    @pytest.mark.parametrize(
        "limits",
        [
            CallerLimits(project=Limits(files=10)),
            CallerLimits(key=Limits(files=10)),
            CallerLimits(key=Limits(storage_bytes=109)),
            CallerLimits(project=Limits(upload_bytes_per_day=209)),
            CallerLimits(key=Limits(upload_bytes_per_day=209)),
        ],
        ids=["files of a project", "files of a key", "bytes of a key", "bytes a day of a project", "bytes a day of a key"],
    )
    async def test_of_racing_files_exactly_as_many_are_admitted_as_there_is_room_for(
        self, store: MetadataStore, project: Project, limits: CallerLimits
    ) -> None:
        assert await race(store, project, 100, limits=limits, received=20) == 10
        assert (await store.usage(project.id)).live_files == 10
        assert await store.counter_drifts() == []

    async def test_a_limit_of_one_key_is_not_that_of_another(self, store: MetadataStore, project: Project) -> None:
        limits = CallerLimits(key=Limits(files=1, storage_bytes=10, upload_bytes_per_day=10))
        await create(store, project, key="one", received=10, limits=limits)
        with pytest.raises(RateLimited):
            await create(store, project, key="one", received=10, limits=limits)
        await create(store, project, key="two", received=10, limits=limits)

    @pytest.mark.parametrize("whose", list(Whose), ids=str)
    async def test_a_refusal_says_the_limit_and_whose_it_is(self, store: MetadataStore, project: Project, whose: Whose) -> None:
        def limits(**values: int) -> CallerLimits:
            return CallerLimits(project=Limits(**values)) if whose is Whose.PROJECT else CallerLimits(key=Limits(**values))

        with pytest.raises(FileQuotaExceeded, match=rf"this {whose} may have 0 files"):
            await create(store, project, limits=limits(files=0))
        with pytest.raises(RateLimited, match=rf"This {whose} may send 5 bytes .* ends at 00:00 UTC, in 16 h 0 min"):
            await create(store, project, limits=limits(upload_bytes_per_day=5), received=6)
        if whose is Whose.KEY:
            with pytest.raises(StorageQuotaExceeded, match="this API key may keep 9 bytes") as refusal:
                await create(store, project, limits=limits(storage_bytes=9))
            assert refusal.value.whose is whose

    async def test_a_deleted_file_leaves_room_for_its_key_at_once_and_takes_it_back_when_it_is_restored(
        self, store: MetadataStore, project: Project
    ) -> None:
        key = await make_key(store, project, "limited", Limits(files=1, storage_bytes=10))
        limits = CallerLimits(key=key.limits)
        first = await create(store, project, key=key.id, limits=limits)
        await store.delete_file(project.id, first.id, RETENTION, NOBODY)
        second = await create(store, project, key=key.id, limits=limits)
        with pytest.raises(FileQuotaExceeded):
            await store.restore_file(project.id, first.id, PLENTY, NOBODY)
        await store.update_api_key(replace(key, limits=Limits(storage_bytes=10)), NOBODY)
        with pytest.raises(StorageQuotaExceeded):
            await store.restore_file(project.id, first.id, PLENTY, NOBODY)
        await store.delete_file(project.id, second.id, RETENTION, NOBODY)
        assert await store.restore_file(project.id, first.id, PLENTY, NOBODY) == first
        with pytest.raises(FileQuotaExceeded):
            await store.restore_file(project.id, second.id, PLENTY, NOBODY, Limits(files=1))
        assert await store.counter_drifts() == []

    async def test_a_revoked_key_keeps_nothing_from_being_restored(self, store: MetadataStore, project: Project) -> None:
        key = await make_key(store, project, "limited", Limits(files=0))
        file = await create(store, project, key=key.id)
        await store.delete_file(project.id, file.id, RETENTION, NOBODY)
        with pytest.raises(FileQuotaExceeded):
            await store.restore_file(project.id, file.id, PLENTY, NOBODY)
        await store.revoke_api_key(key.id, NOBODY)
        await store.restore_file(project.id, file.id, PLENTY, NOBODY)

    async def test_a_limit_below_what_is_used_refuses_only_what_is_new(self, store: MetadataStore, project: Project) -> None:
        files = [await create(store, project) for _ in range(3)]
        lowered = CallerLimits(Limits(files=2), Limits(files=2, storage_bytes=20))
        with pytest.raises(FileQuotaExceeded):
            await create(store, project, limits=lowered)
        assert await store.get_file(project.id, files[0].id) == files[0]
        await store.delete_file(project.id, files[0].id, RETENTION, NOBODY)
        await store.delete_file(project.id, files[1].id, RETENTION, NOBODY)
        await create(store, project, limits=lowered)

    async def test_a_file_past_its_end_takes_nobody_s_room_before_anybody_has_marked_it(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        limits = CallerLimits(Limits(files=1), Limits(files=1, storage_bytes=10))
        await create(store, project, limits=limits, expires_after=3_600)
        clock.advance(3_600)
        await create(store, project, limits=limits)
        assert await store.kept(project.id, "key") == Kept(20, 1, 1, 10, 0, 0)
        await store.mark_ended(await store.ended_files(None, 10))
        assert await store.kept(project.id, "key") == Kept(20, 1, 1, 10, 0, 0)
        assert await store.counter_drifts() == []

    async def test_a_repetition_counts_what_it_has_sent_and_is_refused_nothing(self, store: MetadataStore, project: Project) -> None:
        limits = CallerLimits(Limits(files=1, upload_bytes_per_day=30), Limits(storage_bytes=10))
        new = replace(new_file(), received_bytes=30)

        async def attempt() -> CreatedFile:
            return await store.create_file(project.id, new, PLENTY, NOBODY, Idempotency(b"one", b"same"), limits)

        first, again = await attempt(), await attempt()
        assert again == CreatedFile(first.file, repeated=True)
        assert (await store.kept(project.id, "key")).received_bytes == 60

    async def test_every_body_counts_on_its_day(self, store: MetadataStore, project: Project, other: Project, clock: ManualClock) -> None:
        today = clock.now_ms() // 1000 // DAY
        await create(store, project, key="one", received=15)
        await store.end_upload(project.id, "one", 7)
        await create(store, project, key="two", received=20, size=12)
        await create(store, other, key="three", received=99)
        kept = await store.kept(project.id, "one")
        assert (kept.received_bytes, kept.key_received_bytes) == (42, 22)
        clock.advance(DAY)
        assert (await store.kept(project.id, "one")).received_bytes == 0
        await store.end_upload(project.id, "one", 5)
        report = await store.usage_report(project.id, today, today + 1)
        assert report.by_day == (DayUsage(today, 2, 42, 22), DayUsage(today + 1, 0, 5, 0))
        assert (await store.usage_report(project.id, today + 1, today + 1)).by_day == report.by_day[1:]

    async def test_old_days_are_forgotten(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        today = clock.now_ms() // 1000 // DAY
        for _ in range(3):
            await store.end_upload(project.id, "key", 5)
            clock.advance(DAY)
        assert not await store.forget_old_entries(None, today + 1)
        assert [entry.day for entry in (await store.usage_report(project.id, 0, today + 9)).by_day] == [today + 1, today + 2]

    async def test_the_report_is_what_the_files_add_up_to(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        kept, deleted, ended = [
            await create(store, project, key=key, received=15, **options)
            for key, options in (("one", {}), ("one", {"size": 4}), ("two", {"purpose": "batch", "size": 3, "expires_after": 3_600}))
        ]
        await store.delete_file(project.id, deleted.id, RETENTION, NOBODY)
        today = clock.now_ms() // 1000 // DAY
        report = await store.usage_report(project.id, today, today, "one")
        assert report.project == Spent(2, 17, 45, 0, 0)
        assert report.key == Spent(1, 10, 30, 0, 0)
        assert await store.usage_by_key(project.id) == [KeyUsage("one", 1, 10), KeyUsage("two", 1, 3)]
        clock.advance(3_600)
        report = await store.usage_report(project.id, today, today)
        assert report.by_purpose == (PurposeUsage("batch", 0, 3, 1, 3), PurposeUsage("user_data", 1, 14, 1, 4))
        assert (report.project.files, report.key) == (1, None)
        assert await store.usage_by_key(project.id) == [KeyUsage("one", 1, 10)]
        for file in (ended, deleted):
            await store.mark_ended(await store.ended_files(None, 10))
            if file is deleted:
                await store.purge_file(project.id, file.id, NOBODY)
            claimed = await store.claim_collectable(await store.collectable_files(None, 10))
            await store.mark_collected(claimed)
            assert await store.counter_drifts() == []
        assert (await store.usage_report(project.id, today, today)).by_purpose == (PurposeUsage("user_data", 1, 10, 0, 0),)
        assert await store.get_file(project.id, kept.id) == kept

    async def test_racing_uploads_get_as_many_places_as_there_are(self, store: MetadataStore, project: Project) -> None:
        for number, limits in enumerate(
            [CallerLimits(project=Limits(concurrent_uploads=10)), CallerLimits(key=Limits(concurrent_uploads=3))]
        ):
            names = [f"{number}-{name}" for name in range(100)]
            begun = [store.begin_upload(name, project.id, f"key {number}", limits, LEASE) for name in names]
            outcomes = await asyncio.gather(*begun, return_exceptions=True)
            assert len([outcome for outcome in outcomes if outcome is None]) == (10, 3)[number]
            assert all(outcome is None or isinstance(outcome, RateLimited) for outcome in outcomes)

    async def test_a_place_is_free_once_it_is_given_back_or_not_renewed(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        limits = CallerLimits(Limits(concurrent_uploads=1))

        async def begin(name: str) -> bool:
            try:
                await store.begin_upload(name, project.id, "key", limits, LEASE)
            except RateLimited:
                return False
            return True

        assert await begin("one")
        assert not await begin("two")
        await store.end_upload(project.id, "key", 0, "one")
        assert await begin("two")
        clock.advance(LEASE - 1)
        await store.renew_upload("two", LEASE)
        clock.advance(LEASE - 1)
        assert not await begin("three")
        assert (await store.usage_report(project.id, 0, 0)).project.uploads_in_progress == 1
        clock.advance(1)
        assert (await store.usage_report(project.id, 0, 0)).project.uploads_in_progress == 0
        assert await begin("three")
        await store.renew_upload("two", LEASE)
        await store.end_upload(project.id, "key", 0, "three")
        assert await begin("four")
        clock.advance(-10 * LEASE)
        assert await begin("five")

    async def test_a_limit_of_no_uploads_at_all_admits_none(self, store: MetadataStore, project: Project) -> None:
        with pytest.raises(RateLimited, match="This project may have 0 uploads in progress"):
            await store.begin_upload("one", project.id, "key", CallerLimits(Limits(concurrent_uploads=0)), LEASE)

    async def test_all_that_is_granted_for_a_minute_is_never_more_than_the_limit(self, store: MetadataStore, clock: ManualClock) -> None:
        minute = clock.now_ms() // 60_000
        leases = await asyncio.gather(*[store.take_requests("project x", 100, 7) for _ in range(30)])
        assert sum(lease.granted for lease in leases) == 100
        assert {lease.minute for lease in leases} == {minute}
        assert await store.take_requests("key x", 100, 7) == RequestLease(minute, 7, 93)
        assert await store.take_requests("project x", 110, 7) == RequestLease(minute, 7, 3)
        assert await store.take_requests("project x", 50, 7) == RequestLease(minute, 0, 0)
        clock.advance(60)
        assert await store.take_requests("project x", 50, 7) == RequestLease(minute + 1, 7, 43)

    async def test_a_clock_that_is_set_back_locks_nobody_out_for_long(self, store: MetadataStore, clock: ManualClock) -> None:
        minute = clock.now_ms() // 60_000
        await store.take_requests("project x", 10, 10)
        clock.advance(-60)
        assert await store.take_requests("project x", 10, 10) == RequestLease(minute, 0, 0)
        clock.advance(-60)
        assert await store.take_requests("project x", 10, 10) == RequestLease(minute - 2, 10, 0)

    async def test_what_leases_have_left_is_forgotten(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        await store.take_requests(Whose.PROJECT.subject(project.id), 10, 10)
        await store.begin_upload("one", project.id, "key", CallerLimits(), LEASE)
        assert (await store.usage_report(project.id, 0, 0)).project.requests == 10
        clock.advance(2 * DAY)
        assert not await store.forget_old_entries(None)
        clock.advance(-2 * DAY)
        assert (await store.usage_report(project.id, 0, 0)).project == Spent(0, 0, 0, 0, 0)
