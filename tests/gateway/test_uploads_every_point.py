"""A completion of a routed upload that fails, is cancelled or loses its answer anywhere leaves every file accounted for, and never two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from fileplane.blobs.local import LocalBlobStore
from fileplane.catalog import CatalogQuery, FileState
from fileplane.clock import SystemClock
from fileplane.errors import FileplaneError, StorageUnavailable, UploadNotPending, UploadUnresolved, UpstreamError, UpstreamOutcomeUnknown
from fileplane.files.allowance import Received
from fileplane.files.form import FormField
from fileplane.files.janitor import Janitor
from fileplane.files.reconciling import SURE_AFTER_SECONDS, Reconciler
from fileplane.files.remote import RemoteFiles
from fileplane.files.remote_route import RemoteRoute
from fileplane.files.routed_uploads import RoutedUploads
from fileplane.files.settling import Settler
from fileplane.files.uploads import NativeUploads
from fileplane.metadata.base import MetadataStore
from fileplane.testing.clock import ManualClock
from fileplane.testing.fake_provider import Fault
from fileplane.testing.faults import CancelledAt, Fails, NaughtyBlobStore, NaughtyMetadataStore, Plan
from fileplane.testing.provider_world import SECRET, pattern
from fileplane.uploads import Part, Upload
from gateway.test_every_point import ORIGIN, Place, new_place
from support.lacking import LackingProvider
from support.part_uploads import part_events

PIECES = (pattern(150_000), pattern(70_000)[::-1])
SIZE = sum(map(len, PIECES))
KINDS = [pytest.param(True, id="passed on"), pytest.param(False, id="put together here")]


@dataclass
class Uploading:
    """A place with uploads in parts, at a provider that has them or one that has not."""

    place: Place
    blobs: LocalBlobStore
    passed_on: bool

    def routed(self, plan: Plan) -> tuple[RoutedUploads, RemoteFiles]:
        store = cast("MetadataStore", NaughtyMetadataStore(self.place.store, plan))
        blobs, clock, settings = NaughtyBlobStore(self.blobs, plan), SystemClock(), self.place.settings
        janitor = Janitor(store, blobs, clock, settings)
        native = NativeUploads(store, blobs, janitor, Settler(store, blobs, settings), settings, clock)
        remote = RemoteFiles(store, settings, clock)
        return RoutedUploads(store, blobs, native, remote.uploads, settings, clock), remote

    def route(self) -> RemoteRoute:
        route = self.place.route()
        if self.passed_on:
            return route
        target = replace(route.everywhere[0], provider=LackingProvider(route.everywhere[0].provider, uploads=None))
        return replace(route, plan=(target,), everywhere=(target,))

    def route_without_catalog(self) -> RemoteRoute:
        """With a credential of the caller's own."""
        route = self.route()
        target = replace(route.everywhere[0], virtual_key_id=None)
        return replace(route, plan=(target,), everywhere=(target,))

    async def announced(self) -> tuple[str, list[str]]:
        """An upload with its parts, in order."""
        routed, _ = self.routed(Plan({}))
        upload = await routed.create(self.route(), self.place.principal, SIZE, [FormField("purpose", "user_data")], "some.bin", "")
        assert isinstance(upload, Upload)
        found = await routed.find(self.route(), self.place.principal, upload.id)
        part_ids = []
        for piece in PIECES:
            part = await routed.add_part(self.route(), self.place.principal, found, part_events(piece), None, Received())
            assert isinstance(part, Part)
            part_ids.append(part.id)
        await routed.settle()
        return upload.id, part_ids

    async def complete(self, routed: RoutedUploads, upload_id: str, part_ids: list[str]) -> str:
        """The id of the file."""
        found = await routed.find(self.route(), self.place.principal, upload_id)
        done = await routed.complete(self.route(), self.place.principal, ORIGIN, found, part_ids, None)
        assert done.file is not None
        return done.file.id

    async def status(self, upload_id: str) -> str:
        return (await self.place.store.get_routed_upload(self.place.project.id, upload_id)).upload.status

    def there(self) -> set[str]:
        return set(self.place.world.fake.accounts.of(SECRET).files)


@asynccontextmanager
async def uploading(directory: Path, *, passed_on: bool) -> AsyncIterator[Uploading]:
    async with new_place(directory) as place:
        blobs = LocalBlobStore(directory / "blobs")
        try:
            yield Uploading(place, blobs, passed_on)
        finally:
            await blobs.close()


@pytest.mark.parametrize("passed_on", KINDS)
@pytest.mark.parametrize("after", [False, True], ids=["instead", "after"])
async def test_stores_that_fail_at_any_step_of_a_completion_leave_one_file_or_none_and_it_is_accounted_for(
    tmp_path: Path, *, passed_on: bool, after: bool
) -> None:
    await at_every_point(tmp_path, lambda: Fails(StorageUnavailable("The store does not answer."), after=after), passed_on=passed_on)


@pytest.mark.parametrize("passed_on", KINDS)
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
async def test_a_completion_that_is_cancelled_at_any_wait_leaves_one_file_or_none_and_it_is_accounted_for(
    tmp_path: Path, *, passed_on: bool, late: bool
) -> None:
    async with uploading(tmp_path / "place", passed_on=passed_on) as one:
        for point in [*range(1, 12), *range(12, 400, 5)]:
            before = one.there()
            upload_id, part_ids = await one.announced()
            cancelled = CancelledAt(point, late=late)
            routed, remote = one.routed(Plan({}))
            task = asyncio.create_task(cancelled.run(one.complete(routed, upload_id, part_ids)))
            first = None
            with suppress(asyncio.CancelledError, FileplaneError):
                first = await task
            await routed.settle()
            await remote.settle()
            await one.place.check(first)
            again = await outcome(one, routed, upload_id, part_ids)
            await remote.settle()
            assert len(one.there() - before) <= 1
            assert first is None or again == first
            assert again is not None or await is_unresolved(one, upload_id)
            if not cancelled.struck:
                return
        raise AssertionError("the completion never came to its end")


async def at_every_point(tmp_path: Path, fault: Callable[[], Any], *, passed_on: bool) -> None:
    """Completes with a fault at each point, then once more: that ends with the same file, or is refused while nobody can know."""
    for point in range(1, 40):
        plan = Plan({point: fault()})
        async with uploading(tmp_path / str(point), passed_on=passed_on) as one:
            upload_id, part_ids = await one.announced()
            routed, remote = one.routed(plan)
            first, again = await outcome(one, routed, upload_id, part_ids), None
            await routed.settle()
            await remote.settle()
            await one.place.check(first)
            assert len(one.there()) <= 1
            sound, its_remote = one.routed(Plan({}))
            again = await outcome(one, sound, upload_id, part_ids)
            await its_remote.settle()
            assert len(one.there()) <= 1
            assert first is None or again == first
            assert again is not None or await is_unresolved(one, upload_id)
            if not plan.struck:
                assert point > 3
                return
    raise AssertionError("the completion never came to its end")


async def outcome(one: Uploading, routed: RoutedUploads, upload_id: str, part_ids: list[str]) -> str | None:
    """The file's id, or None where the completion failed or was cancelled."""
    task = asyncio.ensure_future(one.complete(routed, upload_id, part_ids))
    with suppress(FileplaneError, asyncio.CancelledError):
        return await task
    return None


async def is_unresolved(one: Uploading, upload_id: str) -> bool:
    return (await one.place.store.get_routed_upload(one.place.project.id, upload_id)).unresolved


@pytest.mark.parametrize("passed_on", KINDS)
async def test_a_completion_whose_answer_is_lost_is_found_by_the_bytes_of_its_parts(tmp_path: Path, *, passed_on: bool) -> None:
    async with uploading(tmp_path / "place", passed_on=passed_on) as one:
        decoy = pattern(SIZE)
        await one.place.world.upload(decoy, filename="some.bin", purpose="user_data")
        upload_id, part_ids = await one.announced()
        routed, remote = one.routed(Plan({}))
        one.place.world.fake.plan(Fault("close_response_at", operation="uploads.complete" if passed_on else "upload", at=-1))
        with pytest.raises(UpstreamOutcomeUnknown):
            await one.complete(routed, upload_id, part_ids)
        await remote.settle()
        with pytest.raises(UploadUnresolved):
            await one.complete(routed, upload_id, part_ids)
        assert await one.status(upload_id) == "pending"
        await reconciled(one)
        assert await one.status(upload_id) == "completed"
        file_id = await one.complete(routed, upload_id, part_ids)
        assert one.place.world.fake.accounts.of(SECRET).files[file_id].path.read_bytes() == b"".join(PIECES)
        page = await one.place.store.list_catalog_files(one.place.project.id, CatalogQuery((one.place.key.id,), 10))
        assert [file.provider_file_id for file in page.files] == [file_id]
        with pytest.raises(UploadNotPending):
            await one.complete(routed, upload_id, part_ids[::-1])


@pytest.mark.parametrize("passed_on", KINDS)
async def test_a_completion_that_never_arrived_can_be_made_again_once_that_is_sure(tmp_path: Path, *, passed_on: bool) -> None:
    async with uploading(tmp_path / "place", passed_on=passed_on) as one:
        upload_id, part_ids = await one.announced()
        routed, remote = one.routed(Plan({}))
        one.place.world.fake.plan(Fault("hang_before", operation="uploads.complete" if passed_on else "upload"))
        with pytest.raises(UpstreamOutcomeUnknown):
            await one.complete(routed, upload_id, part_ids)
        await remote.settle()
        await one.place.store.put_off_upload(one.place.project.id, upload_id, 2 * SURE_AFTER_SECONDS)
        await reconciled(one, later=SURE_AFTER_SECONDS + 1)
        [intent] = [file for file in [await intent_of(one, upload_id)] if file is not None]
        assert intent.state is FileState.FAILED
        file_id = await one.complete(routed, upload_id, part_ids)
        assert one.there() == {file_id}


async def intent_of(one: Uploading, upload_id: str) -> Any:
    return (await one.place.store.get_routed_upload(one.place.project.id, upload_id)).intent


async def reconciled(one: Uploading, later: int = 0) -> None:
    clock = ManualClock(SystemClock().now_ms() / 1_000 + later)

    async def target_of(_project_id: str, _virtual_key_id: str) -> Any:
        return one.route().everywhere[0]

    await Reconciler(one.place.store, target_of, clock).run()


@pytest.mark.parametrize("passed_on", KINDS)
async def test_of_two_completions_at_once_one_makes_the_file(tmp_path: Path, *, passed_on: bool) -> None:
    async with uploading(tmp_path / "place", passed_on=passed_on) as one:
        upload_id, part_ids = await one.announced()
        routed, remote = one.routed(Plan({}))
        racing: list[Awaitable[str]] = [one.complete(routed, upload_id, part_ids) for _ in range(5)]
        results = await asyncio.gather(*racing, return_exceptions=True)
        await remote.settle()
        assert {type(result) for result in results} <= {str, UploadUnresolved}
        assert {result for result in results if isinstance(result, str)} == one.there()
        assert len(one.there()) == 1


async def test_a_completion_that_cannot_begin_leaves_one_whose_end_is_unknown_unresolved(tmp_path: Path) -> None:
    async with uploading(tmp_path / "place", passed_on=False) as one:
        bare = one.route_without_catalog()
        routed, remote = one.routed(Plan({}))
        upload = await routed.create(bare, one.place.principal, SIZE, [FormField("purpose", "user_data")], "some.bin", "")
        assert isinstance(upload, Upload)
        found = await routed.find(bare, one.place.principal, upload.id)
        parts = [await routed.add_part(bare, one.place.principal, found, part_events(piece), None, Received()) for piece in PIECES]
        part_ids = [part.id for part in parts]
        one.place.world.fake.plan(Fault("close_response_at", operation="upload", at=-1))
        with pytest.raises(UpstreamOutcomeUnknown):
            await routed.complete(bare, one.place.principal, ORIGIN, found, part_ids, None)
        for point in range(1, 10):
            unlucky, _ = one.routed(Plan({point: Fails(StorageUnavailable("The store does not answer."))}))
            outcome_of = unlucky.complete(bare, one.place.principal, ORIGIN, found, part_ids, None)
            [failed] = await asyncio.gather(outcome_of, return_exceptions=True)
            assert isinstance(failed, FileplaneError)
            assert (await one.place.store.get_routed_upload(one.place.project.id, upload.id)).unresolved
        await remote.settle()
        assert len(one.there()) == 1


class Patient:
    """A caller who does again what failed, but never what may have happened."""

    def __init__(self, one: Uploading) -> None:
        self._one = one
        self.routed, self.remote = one.routed(Plan({}))

    async def whole(self) -> str | None:
        """An upload from its creation to its end; the file's id, or None where nobody knows what has become of it."""
        fields = [FormField("purpose", "user_data")]
        route, principal = self._one.route(), self._one.place.principal
        upload = await self._twice(lambda: self.routed.create(route, principal, SIZE, fields, "some.bin", ""))
        found = await self.routed.find(route, principal, upload.id)
        parts = [
            await self._twice(lambda piece=piece: self.routed.add_part(route, principal, found, part_events(piece), None, Received()))
            for piece in PIECES
        ]
        with suppress(UpstreamOutcomeUnknown):
            return str(await self._twice(lambda: self._one.complete(self.routed, upload.id, [part.id for part in parts])))
        return None

    async def _twice(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await call()
        except UpstreamOutcomeUnknown:
            raise
        except UpstreamError:
            return await call()


@pytest.mark.parametrize("passed_on", KINDS)
@pytest.mark.parametrize(
    "kind",
    [
        "close_response_at",
        *(pytest.param(kind, marks=pytest.mark.full) for kind in ("refuse", "refuse_early", "close_request_at", "hang", "garbage")),
    ],
)
async def test_whichever_request_of_an_upload_fails_at_the_provider_it_ends_with_one_file_or_with_what_is_looked_for(
    tmp_path: Path, *, passed_on: bool, kind: str
) -> None:
    async with uploading(tmp_path / "place", passed_on=passed_on) as one:
        fake = one.place.world.fake
        for number in range(1, 10):
            before, seen = one.there(), len(fake.requests)
            fake.plan(Fault(kind, call=number, at=-1 if kind == "close_response_at" else 0, status=503))
            caller = Patient(one)
            file_id = await caller.whole()
            await caller.remote.settle()
            await one.place.check(file_id)
            fake.faults.clear()
            assert len(one.there() - before) == 1 or file_id is None
            if len(fake.requests) - seen < number:
                return
            await reconciled(one, later=SURE_AFTER_SECONDS + 1)
            await one.place.check(file_id)
            assert await one.place.store.unresolved_files(None, 10) == []
        raise AssertionError("the upload never came to its end")
