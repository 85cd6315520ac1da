"""A file whose provider knows no expiry ends when it was asked to: it is invisible from then on, and deleted at the provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from fileplane.catalog import CatalogQuery, JobKind
from fileplane.clock import SystemClock
from fileplane.errors import FileNotFound, FileplaneError, InvalidValue, StorageUnavailable
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.files.reconciling import HELD_SECONDS, Reconciler
from fileplane.files.remote_jobs import RemoteJobs
from fileplane.files.remote_route import RemoteRoute, RemoteTarget
from fileplane.files.remote_shapes import RemoteListQuery
from fileplane.metadata.base import MetadataStore
from fileplane.metrics import render_metrics, start_metrics
from fileplane.model import AuditQuery, File
from fileplane.providers.base import Expiry
from fileplane.testing.clock import ManualClock
from fileplane.testing.fake_provider import Fault
from fileplane.testing.faults import Fails, NaughtyMetadataStore, Plan
from fileplane.testing.provider_world import SECRET
from gateway.conftest import Project
from gateway.test_every_point import LARGE_FORM, ORIGIN, Place, new_place
from gateway.test_supplied import route_to
from support.jobs import LINE
from support.lacking import LackingProvider


@dataclass
class Ending:
    """A project at a provider that takes no expiry, in a world whose clock is turned by hand."""

    place: Place
    clock: ManualClock
    provider: LackingProvider

    @property
    def route(self) -> RemoteRoute:
        return route_to(self.place, self.provider)

    @property
    def at_the_provider(self) -> set[str]:
        return set(self.place.world.fake.accounts.of(SECRET).files)

    async def upload(self, seconds: int | None = 3_600, *, catalogued: bool = True, purpose: str = "user_data") -> File:
        async def form() -> AsyncIterator[UploadEvent]:
            yield FormField("purpose", purpose)
            if seconds is not None:
                yield FormField("expires_after[anchor]", "created_at")
                yield FormField("expires_after[seconds]", str(seconds))
            yield FileBegins("a.jsonl", "application/jsonl")
            yield LINE

        route = route_to(self.place, self.provider, catalogued=catalogued)
        return (await self.place.files(Plan({})).create(route, self.place.principal, ORIGIN, form(), LARGE_FORM)).file

    async def round(self, plan: Plan | None = None) -> int:
        async def target_of(_project_id: str, _virtual_key_id: str) -> RemoteTarget:
            return self.route.everywhere[0]

        store = cast("MetadataStore", NaughtyMetadataStore(self.place.store, plan or Plan({})))
        return await Reconciler(store, target_of, self.clock).run()

    async def listed(self) -> list[str]:
        page = await self.place.files(Plan({})).list(self.route, self.place.principal, RemoteListQuery())
        return [file.id for file in page.files]

    async def audited(self, file_id: str) -> list[str]:
        entries = (await self.place.store.list_audit(AuditQuery(100, resource_id=file_id))).entries
        return [entry.action for entry in reversed(entries)]


@pytest.fixture
async def ending(tmp_path: Path) -> AsyncIterator[Ending]:
    async with new_place(tmp_path / "place") as place:
        yield ending_at(place)


def ending_at(place: Place, **lacks: Any) -> Ending:
    clock = ManualClock(SystemClock().now_ms() / 1000)
    place.store._clock = clock
    return Ending(place, clock, LackingProvider(place.world.provider, **({"expiry": None} | lacks)))


def _counted(outcome: str) -> float:
    start_metrics()
    line = f'fileplane_expired_files_at_providers_total{{outcome="{outcome}"}} '
    return sum(float(text.removeprefix(line)) for text in render_metrics().decode().splitlines() if text.startswith(line))


async def test_the_provider_is_told_no_expiry_and_the_file_ends_there_when_its_time_has_come(ending: Ending) -> None:
    before, now = _counted("deleted"), ending.clock.now_ms() // 1000
    file, kept = await ending.upload(), await ending.upload(None)
    assert [sent.expires_after for sent in ending.provider.uploads] == [None, None]
    assert (file.expires_at, kept.expires_at) == (now + 3_600, None)
    files = ending.place.files(Plan({}))
    ending.clock.advance(3_599)
    assert await ending.round() == 0
    assert (await files.get(ending.route, ending.place.principal, file.id)).expires_at == now + 3_600
    ending.clock.advance(1)
    assert await ending.listed() == [kept.id]
    for call in (files.get, files.outline):
        with pytest.raises(FileNotFound):
            await call(ending.route, ending.place.principal, file.id)
    with pytest.raises(FileNotFound):
        await files.delete(ending.route, ending.place.principal, file.id, ORIGIN)
    assert ending.at_the_provider == {file.id, kept.id}
    assert await ending.round() == 1
    assert ending.at_the_provider == {kept.id}
    assert await ending.audited(file.id) == ["create", "expire", "confirm_delete"]
    assert (await ending.place.store.catalog_usage(ending.place.project.id)).live_files == 1
    assert await ending.round() == 0
    assert _counted("deleted") == before + 1


@pytest.mark.parametrize(("seconds", "told"), [(3_600, None), (7_199, None), (7_200, 7_200), (86_400, 86_400), (86_401, None)])
async def test_an_expiry_that_the_provider_takes_is_its_own_to_see_to(ending: Ending, seconds: int, told: int | None) -> None:
    ending = ending_at(ending.place, expiry=Expiry(7_200, 86_400))
    file = await ending.upload(seconds)
    assert [sent.expires_after for sent in ending.provider.uploads] == [told]
    assert file.expires_at is not None
    assert abs(file.expires_at - ending.clock.now_ms() // 1000 - seconds) <= 2


@pytest.mark.parametrize(("seconds", "taken"), [(172_800, True), (172_801, False)])
async def test_an_expiry_after_the_providers_own_is_refused_and_says_so(ending: Ending, seconds: int, taken: bool) -> None:
    ending = ending_at(ending.place, default_expiry_seconds=172_800)
    if taken:
        assert (await ending.upload(seconds)).expires_at == ending.clock.now_ms() // 1000 + seconds
        return
    with pytest.raises(InvalidValue, match="keeps a file for 172800 seconds at most") as refused:
        await ending.upload(seconds)
    assert refused.value.param == "expires_after"
    assert (ending.at_the_provider, ending.provider.uploads) == (set(), [])
    assert await ending.place.store.unresolved_files(None, 9) == []


@pytest.mark.parametrize(("lacks", "catalogued"), [({}, False), ({"delete": False}, True)], ids=["no catalog", "no deletion"])
async def test_where_nobody_can_see_to_it_the_provider_is_asked_and_refuses(
    ending: Ending, lacks: dict[str, Any], catalogued: bool
) -> None:
    """The adapter is told of the expiry; that those without one refuse it is in their own tests."""
    ending = ending_at(ending.place, **lacks)
    await ending.upload(3_600, catalogued=catalogued)
    assert [sent.expires_after for sent in ending.provider.uploads] == [3_600]


async def test_a_provider_that_is_away_is_asked_again_ever_more_rarely_until_it_has_deleted_the_file(
    ending: Ending, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "fileplane.files.reconciling")
    failed, gone = _counted("failed"), _counted("gone")
    file = await ending.upload()
    faults = [Fault("refuse", operation="delete", call=call, status=status) for call, status in ((1, 503), (2, 403), (3, 500))]
    ending.place.world.fake.plan(*faults)
    ending.clock.advance(3_600)
    rounds = []
    for _ in range(12):
        rounds.append(await ending.round())
        assert await ending.listed() == []
        ending.clock.advance(300)
    # At once, and then after 300, 600 and 1,200 seconds.
    assert rounds == [1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0]
    assert ending.at_the_provider == set()
    assert await ending.audited(file.id) == ["create", "expire", "confirm_delete"]
    assert _counted("failed") == failed + 3
    assert _counted("gone") == gone
    assert caplog.text.count("cannot be found out now") == 3
    assert "as it has expired" in caplog.text


async def test_a_deletion_for_which_no_credential_can_be_used_counts_as_failed(ending: Ending) -> None:
    failed, file = _counted("failed"), await ending.upload()
    ending.clock.advance(3_600)

    async def expired(_project_id: str, _virtual_key_id: str) -> RemoteTarget:
        raise InvalidValue("The virtual key has expired.", param="virtual_key")

    assert await Reconciler(ending.place.store, expired, ending.clock).run() == 1
    assert (ending.at_the_provider, _counted("failed")) == ({file.id}, failed + 1)


async def test_a_file_that_was_gone_already_is_closed(ending: Ending) -> None:
    before, file = _counted("gone"), await ending.upload()
    await ending.place.world.provider.delete(ending.place.world.target, file.id)
    ending.clock.advance(3_600)
    await ending.round()
    assert _counted("gone") == before + 1
    assert await ending.place.store.unresolved_files(None, 9) == []


async def test_a_file_that_a_job_uses_outlives_its_expiry_until_the_job_has_ended_though_nobody_asks(ending: Ending) -> None:
    file = await ending.upload(3_600, purpose="batch")
    store, files = ending.place.store, ending.place.files(Plan({}))
    document = {"input_file_id": file.id, "endpoint": "/v1/embeddings", "completion_window": "24h"}
    jobs = RemoteJobs(cast("MetadataStore", store), files)
    job = await jobs.create(ending.route, ending.place.principal, ORIGIN, JobKind.BATCH, document)
    job_there = ending.place.world.fake.accounts.of(SECRET).batches[str(job["id"])]
    running = dict(job_there)
    ending.clock.advance(3_600)
    for _ in range(3):
        job_there.update(running)  # the fake's jobs go on with each look
        assert await ending.round() == 1
        assert file.id in ending.at_the_provider
        assert await ending.listed() == [file.id]
        assert await ending.round() == 0
        ending.clock.advance(HELD_SECONDS)
    for _ in range(5):
        await ending.round()
        ending.clock.advance(HELD_SECONDS)
    assert file.id not in ending.at_the_provider
    assert file.id not in await ending.listed()


async def test_many_files_that_expire_at_once_are_deleted_in_one_round(ending: Ending) -> None:
    for _ in range(45):
        await ending.upload()
    ending.clock.advance(3_600)
    assert await ending.round() == 45
    assert ending.at_the_provider == set()


@pytest.mark.parametrize("after", [False, True], ids=["instead", "after"])
async def test_a_database_that_fails_at_any_step_of_the_round_leaves_nothing_behind_in_the_end(tmp_path: Path, after: bool) -> None:
    for point in range(1, 20):
        plan = Plan({point: Fails(StorageUnavailable("The store does not answer."), after=after)})
        async with new_place(tmp_path / str(point)) as place:
            ending = ending_at(place)
            await ending.upload()
            ending.clock.advance(3_600)
            with suppress(FileplaneError):
                await ending.round(plan)
            assert await ending.listed() == []
            for _ in range(2):
                ending.clock.advance(600)
                await ending.round()
            assert ending.at_the_provider == set()
            assert await place.store.unresolved_files(None, 9) == []
            assert (await place.store.list_catalog_files(place.project.id, CatalogQuery((place.key.id,), 9))).total == 0
            if not plan.struck:
                assert point > 3
                return
    raise AssertionError("the round never came to its end")


def test_a_provider_without_expiries_is_given_one_through_a_virtual_key_alone(project: Project) -> None:
    """Groq takes none. What the fake says of its own is later, and does not count."""
    form = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "7200"}
    own = {**project.own, "x-portkey-provider": "groq"}
    refused = project.upload(own, **form)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "expires_after")
    headers = {"x-portkey-virtual-key": project.virtual_key(provider="groq")}
    made = project.upload(headers, **form)
    assert made.status_code == 200, made.text
    file = made.json()
    assert file["expires_at"] == file["created_at"] + 7_200
    shown = project.client.get(f"/files/{file['id']}", headers=headers).json()
    listed = project.client.get("/files", headers=headers).json()["data"]
    assert [one["expires_at"] for one in (shown, *listed)] == [file["expires_at"]] * 2
    [sent] = project.fake.requests("upload")
    assert project.fake.files(project.credential)[0]["expires_at"] > file["expires_at"], sent
