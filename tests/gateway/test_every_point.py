"""An upload to a provider that fails, is answered wrongly or is cancelled anywhere leaves every file accounted for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from fileplane.access import ALL_SCOPES, Principal, Project
from fileplane.catalog import CatalogQuery, Claim, FileState, NewUpload
from fileplane.clock import SystemClock
from fileplane.credentials import VirtualKey
from fileplane.errors import (
    FileplaneError,
    InvalidValue,
    ProviderRefused,
    StorageUnavailable,
    UnsupportedProviderOperation,
    UpstreamOutcomeUnknown,
)
from fileplane.files import reconciling
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.files.reconciling import CLAIM_SECONDS, SURE_AFTER_SECONDS, Reconciler
from fileplane.files.remote import RemoteFiles
from fileplane.files.remote_route import RemoteRoute, RemoteTarget, Repeats, Trace
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.metadata.transactions.catalog_upkeep import LONGEST_REST_SECONDS
from fileplane.model import Origin
from fileplane.providers.base import RemotePage, RemoteQuery, Target
from fileplane.settings import Settings
from fileplane.testing.clock import ManualClock
from fileplane.testing.fake_provider import Fault
from fileplane.testing.faults import CancelledAt, Fails, NaughtyMetadataStore, Plan
from fileplane.testing.metadata_store_suite import NOBODY, make_project
from fileplane.testing.provider_world import SECRET, World, new_world, pattern
from fileplane.testing.secrets_suite import new_virtual_key

CONTENT = pattern(700_000)
LARGE_FORM = 1 << 20
ORIGIN = Origin("key")


@dataclass
class Place:
    """A project with a virtual key at a fake provider, and the real use cases over a store that may fail."""

    world: World
    store: SqliteMetadataStore
    project: Project
    key: VirtualKey
    settings: Settings

    def files(self, plan: Plan) -> RemoteFiles:
        return RemoteFiles(cast("MetadataStore", NaughtyMetadataStore(self.store, plan)), self.settings)

    def route(self, repeats: Repeats = Repeats()) -> RemoteRoute:  # noqa: B008 - frozen
        target = RemoteTarget("config", self.world.provider, self.world.target, self.key.id, repeats)
        return RemoteRoute((target,), lambda _number, _status: None, (target,), Trace())

    @property
    def principal(self) -> Principal:
        return Principal(self.project.id, "key", ALL_SCOPES)

    async def upload(self, files: RemoteFiles, repeats: Repeats = Repeats(), key: str | None = None) -> str:  # noqa: B008 - frozen
        created = await files.create(self.route(repeats), self.principal, ORIGIN, form(), LARGE_FORM, key)
        return created.file.id

    async def check(self, returned: str | None) -> None:
        """Whatever the provider has is the project's, or is what an unresolved intent is about; and nothing is bound that it has not."""
        there = set(self.world.fake.accounts.of(SECRET).files)
        page = await self.store.list_catalog_files(self.project.id, CatalogQuery((self.key.id,), 100))
        bound = {file.provider_file_id for file in page.files}
        unresolved = await self.store.unresolved_files(None, 100)
        assert bound <= there
        assert returned is None or returned in bound
        assert len(there - bound) <= len([one for one in unresolved if one.state in {FileState.RESERVED, FileState.UNKNOWN}])
        assert page.total == len(bound)


async def form() -> AsyncIterator[UploadEvent]:
    yield FormField("purpose", "user_data")
    yield FileBegins("some.bin", "application/octet-stream")
    for start in range(0, len(CONTENT), 1 << 16):
        yield CONTENT[start : start + (1 << 16)]


@asynccontextmanager
async def new_place(directory: Path) -> AsyncIterator[Place]:
    settings = Settings(data_dir=directory, min_free_disk_bytes=0)
    directory.mkdir(exist_ok=True)
    prepare_database(directory / "catalog.db")
    store = SqliteMetadataStore(directory / "catalog.db", SystemClock())
    try:
        project = await make_project(store, "remote")
        key = await store.create_virtual_key(new_virtual_key("remote", project_ids=frozenset({project.id})), NOBODY)
        async with new_world("openai", egress_first_byte_seconds=1.0, egress_idle_seconds=1.0) as world:
            yield Place(world, store, project, key, settings)
    finally:
        await store.close()


WAYS = [pytest.param(Repeats(), id="straight"), pytest.param(Repeats(1, (429,)), id="spooled")]


@pytest.mark.parametrize("repeats", WAYS)
@pytest.mark.parametrize("after", [False, True], ids=["instead", "after"])
async def test_a_database_that_fails_at_any_step_of_an_upload_leaves_every_file_accounted_for(
    tmp_path: Path, repeats: Repeats, after: bool
) -> None:
    for point in range(1, 20):
        plan = Plan({point: Fails(StorageUnavailable("The store does not answer."), after=after)})
        async with new_place(tmp_path / str(point)) as place:
            files, returned = place.files(plan), None
            with suppress(FileplaneError):
                returned = await place.upload(files, repeats, "key")
            await files.settle()
            await place.check(returned)
            if not plan.struck:
                assert point > 2
                return
    raise AssertionError("the upload never came to its end")


@pytest.mark.parametrize("repeats", WAYS)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
async def test_an_upload_that_is_cancelled_at_any_wait_leaves_every_file_accounted_for(
    tmp_path: Path, repeats: Repeats, late: bool
) -> None:
    async with new_place(tmp_path / "place") as place:
        waits, point = 10_000, 1
        while point <= waits:
            cancelled = CancelledAt(point, late=late)
            files = place.files(Plan({}))
            task = asyncio.create_task(cancelled.run(place.upload(files, repeats)))
            returned = None
            with suppress(asyncio.CancelledError, FileplaneError):
                returned = await task
            await files.settle()
            await place.check(returned)
            if not cancelled.struck:
                return
            point += 3 if point > 12 else 1
        raise AssertionError("the upload never came to its end")


FAULTS: dict[str, dict[str, Any]] = {
    "refuses": {"kind": "refuse", "status": 429},
    "refuses at once": {"kind": "refuse_early", "status": 413},
    "fails": {"kind": "refuse", "status": 500},
    "takes it and never answers": {"kind": "hang"},
    "never answers": {"kind": "hang_before"},
    "closes in the middle": {"kind": "close_request_at", "at": 300_000},
    "takes it and closes": {"kind": "close_response_at", "at": -1},
    "answers half": {"kind": "close_response_at", "at": 20},
    "announces more": {"kind": "wrong_length", "by": 10},
    "redirects": {"kind": "redirect", "location": "http://127.0.0.1:9/elsewhere"},
    "talks nonsense": {"kind": "garbage"},
    "gives an id twice": {"kind": "duplicate_id"},
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
@pytest.mark.parametrize("repeats", WAYS)
async def test_a_provider_that_misbehaves_leaves_every_file_accounted_for(tmp_path: Path, fault: str, repeats: Repeats) -> None:
    async with new_place(tmp_path / "place") as place:
        files = place.files(Plan({}))
        first = await place.upload(files)
        place.world.fake.plan(Fault(operation="upload", **FAULTS[fault]))
        returned = None
        with suppress(FileplaneError):
            returned = await place.upload(files, repeats)
        await files.settle()
        await place.check(returned)
        assert (await files.get(place.route(), place.principal, first)).id == first


async def test_a_deletion_that_fails_at_any_step_ends_when_it_is_asked_for_again(tmp_path: Path) -> None:
    for point in range(1, 10):
        plan = Plan({point: Fails(StorageUnavailable("The store does not answer."))})
        async with new_place(tmp_path / str(point)) as place:
            file_id = await place.upload(place.files(Plan({})))
            with suppress(FileplaneError):
                await place.files(plan).delete(place.route(), place.principal, file_id, ORIGIN)
            with suppress(FileplaneError):
                await place.files(Plan({})).delete(place.route(), place.principal, file_id, ORIGIN)
            assert place.world.fake.accounts.of(SECRET).files == {}
            assert (await place.store.list_catalog_files(place.project.id, CatalogQuery((place.key.id,), 9))).total == 0
            if not plan.struck:
                return
    raise AssertionError("the deletion never came to its end")


@pytest.mark.parametrize("arrived", [True, False], ids=["arrived", "lost"])
async def test_an_upload_of_unknown_outcome_is_found_out(tmp_path: Path, arrived: bool) -> None:
    async with new_place(tmp_path / "place") as place:
        place.world.fake.plan(Fault("hang" if arrived else "hang_before", operation="upload"))
        files = place.files(Plan({}))
        with pytest.raises(UpstreamOutcomeUnknown):
            await place.upload(files, Repeats(1, (429,)))
        [unknown] = await place.store.unresolved_files(None, 9)
        later = ManualClock(unknown.reserved_at + SURE_AFTER_SECONDS + 1.0)

        async def target_of(_project_id: str, _virtual_key_id: str) -> RemoteTarget:
            return place.route().plan[0]

        assert await Reconciler(place.store, target_of, later).run() == 1
        assert await place.store.unresolved_files(None, 9) == []
        page = await place.store.list_catalog_files(place.project.id, CatalogQuery((place.key.id,), 9))
        assert [file.sha256 for file in page.files] == ([hashlib.sha256(CONTENT).hexdigest()] if arrived else [])


def reconciler(place: Place, clock: ManualClock) -> Reconciler:
    async def target_of(_project_id: str, _virtual_key_id: str) -> RemoteTarget:
        return place.route().plan[0]

    place.store._clock = clock
    return Reconciler(place.store, target_of, clock)


async def test_an_upload_is_found_at_a_host_that_lists_fewer_files_at_a_time_than_its_provider(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []

    async with new_place(tmp_path / "place") as place:
        whole = type(place.world.provider).list

        async def few(self: Any, target: Target, query: RemoteQuery) -> RemotePage:
            asked.append(query.limit)
            if query.limit is not None and query.limit > 20:
                raise ProviderRefused("'limit' may be at most 20.", status=422)
            return await whole(self, target, query)

        monkeypatch.setattr(type(place.world.provider), "list", few)
        place.world.fake.plan(Fault("hang", operation="upload"))
        with pytest.raises(UpstreamOutcomeUnknown):
            await place.upload(place.files(Plan({})), Repeats(1, (429,)))
        assert await reconciler(place, ManualClock(SystemClock().now_ms() / 1000 + 60)).run() == 1
        assert (await place.store.list_catalog_files(place.project.id, CatalogQuery((place.key.id,), 9))).total == 1
        assert asked[1:] == [None]


async def test_an_upload_that_took_more_than_an_hour_is_looked_for_as_long_as_any_other(tmp_path: Path) -> None:
    async with new_place(tmp_path / "place") as place:
        clock = ManualClock(SystemClock().now_ms() / 1000)
        place.store._clock = clock
        new = NewUpload(place.key.id, "user_data", "big.bin", "application/octet-stream", "key", bytes=7, sha256="ab" * 32)
        intent = (await place.store.reserve_upload(place.project.id, new, Claim("sender", 600), NOBODY)).file
        for _ in range(20):
            clock.advance(300)
            assert await place.store.renew_claim(place.project.id, intent.id, Claim("sender", 600))
        await place.store.mark_upload_unknown(place.project.id, intent.id, NOBODY)
        for seconds, left in ((1, 1), (SURE_AFTER_SECONDS - 2, 1), (CLAIM_SECONDS, 0)):
            clock.advance(seconds)
            await reconciler(place, clock).run()
            assert len(await place.store.unresolved_files(None, 9)) == left


@pytest.mark.parametrize("way", ["more pages than are read", "a list that is refused"])
async def test_an_upload_that_may_be_beyond_what_is_looked_through_is_not_said_to_have_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async def refuse(*_: Any) -> None:
        raise UnsupportedProviderOperation("The list is too long.")

    async with new_place(tmp_path / "place") as place:
        place.world.fake.plan(Fault("hang", operation="upload"))
        with pytest.raises(UpstreamOutcomeUnknown):
            await place.upload(place.files(Plan({})), Repeats(1, (429,)))
        for number in range(3):
            await place.world.upload(b"other", filename=f"{number}.jsonl")
        clock = ManualClock(SystemClock().now_ms() / 1000 + SURE_AFTER_SECONDS + 60)
        with monkeypatch.context() as beyond:
            if way == "more pages than are read":
                beyond.setattr(reconciling, "_MOST_PAGES", 1)
                beyond.setattr(reconciling, "_PAGE", 1)
            else:
                beyond.setattr(type(place.world.provider), "list", refuse)
            for _ in range(2):
                await reconciler(place, clock).run()
                clock.advance(LONGEST_REST_SECONDS)
            assert len(await place.store.unresolved_files(None, 9)) == 1
        await reconciler(place, clock).run()
        assert await place.store.unresolved_files(None, 9) == []
        assert (await place.store.list_catalog_files(place.project.id, CatalogQuery((place.key.id,), 9))).total == 1


async def test_a_deletion_of_unknown_outcome_is_carried_through(tmp_path: Path) -> None:
    async with new_place(tmp_path / "place") as place:
        file_id = await place.upload(place.files(Plan({})))
        claim = Claim("somebody", 0)
        await place.store.begin_catalog_delete(place.project.id, place.key.id, file_id, claim, ORIGIN)

        async def target_of(_project_id: str, _virtual_key_id: str) -> RemoteTarget:
            return place.route().plan[0]

        await Reconciler(place.store, target_of, SystemClock()).run()
        assert place.world.fake.accounts.of(SECRET).files == {}
        assert await place.store.unresolved_files(None, 9) == []


async def test_a_virtual_key_that_is_taken_away_after_its_route_was_found_is_told_and_nothing_is_sent(tmp_path: Path) -> None:
    async with new_place(tmp_path) as place:
        route = place.route()
        await place.store.delete_virtual_key(place.key.slug, NOBODY)
        with pytest.raises(InvalidValue) as refused:
            await place.files(Plan({})).create(route, place.principal, ORIGIN, form(), LARGE_FORM)
        assert refused.value.param == "x-portkey-virtual-key"
        assert place.world.fake.requests == []
