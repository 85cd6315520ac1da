"""What a provider does not keep of a file is supplied from the catalog, and nothing is said of bytes that are not those that were sent."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fileplane.catalog import Claim, NewUpload, ProviderFile
from fileplane.clock import SystemClock
from fileplane.errors import IdempotencyConflict
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.files.reconciling import SURE_AFTER_SECONDS, Reconciler
from fileplane.files.remote import RemoteFiles
from fileplane.files.remote_route import RemoteRoute, RemoteTarget, Trace
from fileplane.files.remote_shapes import RemoteListQuery
from fileplane.http.remote_content import part_of
from fileplane.model import File
from fileplane.providers.base import ByteRange
from fileplane.testing.clock import ManualClock
from fileplane.testing.faults import Plan
from gateway.test_every_point import LARGE_FORM, ORIGIN, Place, new_place
from support.lacking import LackingProvider

KEEPS_NOTHING = {"keeps_filename": False, "keeps_bytes": False, "keeps_purpose": False}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with new_place(tmp_path / "place") as made:
        yield made


def route_to(place: Place, provider: LackingProvider, *, catalogued: bool = True) -> RemoteRoute:
    target = RemoteTarget("config", provider, place.world.target, place.key.id if catalogued else None)
    return RemoteRoute((target,), lambda _number, _status: None, (target,), Trace())


async def form(content: bytes, pieces: int) -> AsyncIterator[UploadEvent]:
    yield FormField("purpose", "user_data")
    yield FileBegins("some.txt", "text/plain")
    for start in range(0, len(content), pieces):
        yield content[start : start + pieces]


async def upload(files: RemoteFiles, place: Place, route: RemoteRoute, content: bytes, key: str | None = None, pieces: int = 1000) -> File:
    return (await files.create(route, place.principal, ORIGIN, form(content, pieces), LARGE_FORM, key)).file


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", 0),
        (b"one", 1),
        (b"one\n", 1),
        (b"one\ntwo", 2),
        (b"one\r\n\r\ntwo\r\n", 3),
        (b"\n\n", 2),
        (b"x" * 5000 + b"\n" + b"y" * 5000, 2),
    ],
)
@pytest.mark.parametrize("pieces", [1, 1000])
async def test_a_provider_that_must_know_it_is_told_how_many_lines_a_file_has(
    place: Place, content: bytes, lines: int, pieces: int
) -> None:
    provider = LackingProvider(place.world.provider, needs_lines=True)
    file = await upload(place.files(Plan({})), place, route_to(place, provider), content, pieces=pieces)
    assert [(sent.lines, sent.length) for sent in provider.uploads] == [(lines, len(content))]
    assert await place.world.download(file.id) == content


async def test_a_provider_that_need_not_know_it_is_sent_the_bytes_as_they_come(place: Place) -> None:
    provider = LackingProvider(place.world.provider)
    await upload(place.files(Plan({})), place, route_to(place, provider), b"one\n")
    assert [(sent.lines, sent.length) for sent in provider.uploads] == [(None, None)]


async def test_what_the_provider_does_not_keep_of_a_file_is_shown_from_the_catalog(place: Place) -> None:
    files, route = place.files(Plan({})), route_to(place, LackingProvider(place.world.provider, **KEEPS_NOTHING))
    content = b"some content"
    made = await upload(files, place, route, content)
    [listed] = (await files.list(route, place.principal, RemoteListQuery())).files
    for file in (made, listed, await files.get(route, place.principal, made.id)):
        assert (file.filename, file.bytes, file.purpose, file.media_type) == ("some.txt", len(content), "user_data", "text/plain")
    assert (await files.list(route, place.principal, RemoteListQuery(purpose="batch"))).files == ()
    outline = await files.outline(route, place.principal, made.id)
    assert (outline.filename, outline.size) == ("some.txt", len(content))
    async with files.open(route, place.principal, made.id) as opened:
        assert (opened.filename, opened.size, opened.size_is_sure) == ("some.txt", len(content), True)


async def test_through_a_callers_own_credential_what_the_provider_does_not_keep_is_empty(place: Place) -> None:
    files = place.files(Plan({}))
    route = route_to(place, LackingProvider(place.world.provider, **KEEPS_NOTHING), catalogued=False)
    made = await upload(files, place, route, b"some content")
    [listed] = (await files.list(route, place.principal, RemoteListQuery())).files
    for file in (listed, await files.get(route, place.principal, made.id)):
        assert (file.filename, file.bytes, file.purpose) == ("", 0, "")
    outline = await files.outline(route, place.principal, made.id)
    assert (outline.filename, outline.size) == (None, None)


async def test_a_jobs_result_whose_size_nobody_knows_is_not_said_to_be_empty(place: Place) -> None:
    """Such a row has 0 bytes in the catalog, because nobody has said how many there are."""
    route = route_to(place, LackingProvider(place.world.provider, **KEEPS_NOTHING))
    result = await place.world.upload(b"0123456789")
    await place.store.adopt_catalog_file(place.project.id, place.key.id, ProviderFile(result.id, "batch_output"), ORIGIN)
    files = place.files(Plan({}))
    assert (await files.outline(route, place.principal, result.id)).size is None
    asked = ByteRange(8, 9)
    async with files.open(route, place.principal, result.id, asked) as opened:
        assert (part_of(opened, asked).content_range, opened.size_is_sure) == ("bytes 8-9/10", False)


async def test_of_a_file_that_the_provider_has_changed_its_true_size_is_shown_and_nothing_is_said_of_a_download(place: Place) -> None:
    files, route = place.files(Plan({})), route_to(place, LackingProvider(place.world.provider, doubles=True))
    made = await upload(files, place, route, b"some content")
    [row] = await place.store.find_catalog_files(place.project.id, made.id)
    assert (made.bytes, row.bytes, row.transformed, row.counted_bytes) == (24, 24, True, None)
    assert made.sha256 == ""
    assert (await place.store.catalog_usage(place.project.id)).stored_bytes == 24
    assert (await files.outline(route, place.principal, made.id)).size is None
    async with files.open(route, place.principal, made.id) as opened:
        assert (opened.size, opened.size_is_sure) == (None, False)
        assert len(b"".join([piece async for piece in opened.content])) == 24


@pytest.mark.parametrize("spooled", [False, True])
async def test_an_idempotency_key_goes_by_what_was_sent_also_where_the_provider_has_changed_it(place: Place, spooled: bool) -> None:
    provider = LackingProvider(place.world.provider, doubles=True, needs_lines=spooled)
    files, route = place.files(Plan({})), route_to(place, provider)
    first = await upload(files, place, route, b"some content", "key")
    assert (await upload(files, place, route, b"some content", "key")).id == first.id
    with pytest.raises(IdempotencyConflict):
        await upload(files, place, route, b"ssoommee  ccoonntteenntt", "key")
    assert len(provider.uploads) == 1


async def test_a_lost_upload_that_may_be_there_in_other_bytes_is_not_taken_for_one_that_never_came(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    target = replace(place.route().everywhere[0], provider=LackingProvider(place.world.provider, transforms=True))

    async def target_of(_project_id: str, _virtual_key_id: str) -> RemoteTarget:
        return target

    transformed = await place.world.upload(b"some content in its provider's form", filename="some.txt")
    new = NewUpload(place.key.id, "batch", "some.txt", "text/plain", "key", bytes=12, sha256=hashlib.sha256(b"some content").hexdigest())
    await place.store.reserve_upload(place.project.id, new, Claim("somebody who died", 0), ORIGIN)
    caplog.set_level("WARNING")
    clock = ManualClock(SystemClock().now_ms() / 1000 + SURE_AFTER_SECONDS)
    place.store._clock = clock
    await Reconciler(place.store, target_of, clock).run()
    assert "an operator can adopt it" in caplog.text
    assert len(await place.store.unresolved_files(None, 10)) == 1
    same = await place.world.upload(b"some content", filename="some.txt")
    clock.advance(600)
    await Reconciler(place.store, target_of, clock).run()
    [bound] = await place.store.find_catalog_files(place.project.id, same.id)
    assert bound.provider_file_id != transformed.id


async def test_a_lost_upload_that_cannot_be_compared_is_left_to_the_operator(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    lacks: dict[str, Any] = {"downloads_uploads": False}
    target = replace(place.route().everywhere[0], provider=LackingProvider(place.world.provider, **lacks))
    await place.world.upload(b"some content", filename="some.txt")
    new = NewUpload(place.key.id, "user_data", "some.txt", "text/plain", "key", bytes=12, sha256="0" * 64)
    await place.store.reserve_upload(place.project.id, new, Claim("somebody who died", 0), ORIGIN)

    async def target_of(_project_id: str, _virtual_key_id: str) -> RemoteTarget:
        return target

    caplog.set_level("WARNING")
    assert await Reconciler(place.store, target_of, place.store.clock).run() == 1
    assert "an operator can adopt it" in caplog.text
    assert len(await place.store.unresolved_files(None, 10)) == 1
