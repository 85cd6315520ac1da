"""A provider that has every file only once, and answers an upload of the same bytes with the file that it has, gives nobody another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fileplane.access import Project
from fileplane.clock import SystemClock
from fileplane.errors import FileNotFound, UploadLost
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.files.remote_shapes import RemoteListQuery
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.settings import Settings
from fileplane.testing.faults import Plan
from fileplane.testing.metadata_store_suite import NOBODY, make_project
from fileplane.testing.provider_world import SECRET, new_world
from fileplane.testing.secrets_suite import new_virtual_key
from gateway.test_every_point import LARGE_FORM, ORIGIN, Place

LINES = b'{"text": "the same in both"}\n' * 20_000


async def form() -> AsyncIterator[UploadEvent]:
    yield FormField("purpose", "fine-tune")
    yield FileBegins("same.jsonl", "application/jsonl")
    yield LINES


@pytest.fixture
async def places(tmp_path: Path) -> AsyncIterator[tuple[Place, Place]]:
    """Two projects with one virtual key, so with one account at the provider."""
    prepare_database(tmp_path / "catalog.db")
    store = SqliteMetadataStore(tmp_path / "catalog.db", SystemClock())
    try:
        projects: list[Project] = [await make_project(store, slug) for slug in ("one", "other")]
        shared = new_virtual_key("shared", project_ids=frozenset(project.id for project in projects))
        key = await store.create_virtual_key(shared, NOBODY)
        async with new_world("together") as world:
            settings = Settings(data_dir=tmp_path, min_free_disk_bytes=0)
            one = Place(world, store, projects[0], key, settings)
            yield one, replace(one, project=projects[1])
    finally:
        await store.close()


async def upload(place: Place, events: AsyncIterator[UploadEvent]) -> str:
    return (await place.files(Plan({})).create(place.route(), place.principal, ORIGIN, events, LARGE_FORM)).file.id


async def ids(place: Place) -> list[str]:
    page = await place.files(Plan({})).list(place.route(), place.principal, RemoteListQuery())
    assert page.total == len(page.files)
    return [file.id for file in page.files]


async def test_a_project_that_uploads_a_file_twice_has_it_once(places: tuple[Place, Place]) -> None:
    one, _ = places
    made = await upload(one, form())
    assert await upload(one, form()) == made
    assert await ids(one) == [made]
    await one.files(Plan({})).delete(one.route(), one.principal, made, ORIGIN)
    assert await ids(one) == []
    assert await one.world.stored() == []


async def test_a_project_that_uploads_what_another_has_gets_neither_its_file_nor_its_deletion(places: tuple[Place, Place]) -> None:
    one, other = places
    made = await upload(one, form())
    with pytest.raises(UploadLost):
        await upload(other, form())
    assert await ids(other) == []
    for call in (other.files(Plan({})).get(other.route(), other.principal, made), _delete(other, made)):
        with pytest.raises(FileNotFound):
            await call
    assert await ids(one) == [made]
    assert await one.world.stored() == [LINES]


async def test_of_two_projects_that_upload_the_same_at_once_one_has_it(places: tuple[Place, Place]) -> None:
    outcomes = await asyncio.gather(*(upload(place, form()) for place in places), return_exceptions=True)
    [made] = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert [type(outcome) for outcome in outcomes if outcome != made] == [UploadLost]
    assert sorted(await ids(places[0]) + await ids(places[1])) == [made]
    assert len(await places[0].world.stored()) == 1


async def test_an_upload_that_is_given_up_does_not_take_a_file_away_that_was_there_before(places: tuple[Place, Place]) -> None:
    one, _ = places
    there = await one.world.upload(LINES, purpose="fine-tune")  # by somebody who has the account, and not through the server

    async def given_up_meanwhile() -> AsyncIterator[UploadEvent]:
        async for event in form():
            yield event
        [row] = await one.store.unresolved_files(None, 10)
        await one.store.fail_upload(row.project_id, row.id, ORIGIN)

    with pytest.raises(UploadLost):
        await upload(one, given_up_meanwhile())
    assert list(one.world.fake.accounts.of(SECRET).files) == [there.id]


async def _delete(place: Place, file_id: str) -> None:
    await place.files(Plan({})).delete(place.route(), place.principal, file_id, ORIGIN)
