"""Uploads to Cloud Storage that take several requests: nothing is left of one that fails, and one that stumbles goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fileplane.errors import (
    FileTooLarge,
    InvalidValue,
    ProviderRefused,
    UploadTimedOut,
    UpstreamAnswerInvalid,
    UpstreamOutcomeUnknown,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers import vertex_upload
from fileplane.testing.fake_provider import Fault
from fileplane.testing.fake_provider.gcs import BUCKET, GRANULE, GcsApi
from fileplane.testing.provider_world import SECRET, World, eventually, new_world, pattern

CHUNK = 256 << 10
SIZE = 3 * CHUNK + 1_000
FIELDS = {"vertex_storage_bucket_name": BUCKET, "file_purpose": "upload"}


class SourceFailed(Exception):
    pass


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """With the smallest chunks that Cloud Storage takes."""
    monkeypatch.setattr(vertex_upload, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(vertex_upload, "_REST_SECONDS", 0.001)
    async with new_world("vertex-ai", FIELDS) as world:
        yield world


def gcs(world: World) -> GcsApi:
    api = world.fake.own_api
    assert isinstance(api, GcsApi)
    return api


def operations(world: World) -> list[str]:
    return [request.operation for request in world.fake.requests]


async def assert_nothing_is_left(world: World) -> None:
    await eventually(lambda: gcs(world).open_sessions == 0, "no session is open")
    await eventually(lambda: world.fake.open_connections == 0, "every connection is closed")
    assert await world.stored() == []


async def broken_after(count: int, error: BaseException) -> AsyncIterator[bytes]:
    """Bytes in pieces of odd size, then the failure."""
    content = pattern(count)
    for start in range(0, count, 70_001):
        yield content[start : start + 70_001]
    raise error


@pytest.mark.parametrize("pieces", [1 << 16, 70_001, SIZE], ids=["even pieces", "odd pieces", "one piece"])
@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, SIZE])
async def test_a_file_is_sent_in_as_few_requests_as_it_takes_and_says_its_length_at_the_end(world: World, size: int, pieces: int):
    body = pattern(size)
    file = await world.upload(body, announced=False, pieces=pieces)
    assert await world.stored() == [body]
    assert file.bytes == size
    chunks = -(-size // CHUNK)
    assert operations(world) == (["upload"] if chunks == 1 else ["upload.start", *["upload.chunk"] * chunks])
    if chunks > 1:
        spans = [request.headers["content-range"] for request in world.fake.requests_for("upload.chunk")]
        assert spans[0] == f"bytes 0-{CHUNK - 1}/*"
        assert spans[-1] == f"bytes {(chunks - 1) * CHUNK}-{size - 1}/{size}"


async def test_an_object_keeps_what_is_known_of_the_file(world: World):
    for size in (10, SIZE):
        world.fake.reset()
        file = await world.upload(pattern(size), filename="naïve 文件.jsonl", purpose="fine-tune", media_type="application/jsonl")
        name = next(reversed(world.fake.accounts.of(SECRET).files))
        kept = gcs(world)._described[world.fake.accounts.of(SECRET).files[name].number]
        assert kept["contentType"] == "application/jsonl"
        assert kept["metadata"] == {"purpose": "fine-tune", "filename": "naïve 文件.jsonl", "status": "processed"}
        assert (file.filename, file.purpose, file.transformed) == ("naïve 文件.jsonl", "fine-tune", False)
        assert name.startswith("fileplane/")
        assert name.endswith(".jsonl")


async def test_a_session_carries_no_credential_and_is_in_no_log(world: World, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    world.fake.plan(Fault("refuse", operation="upload.cancel", status=503))
    with pytest.raises(SourceFailed):
        await world.upload(source=broken_after(2 * CHUNK, SourceFailed()), length=None)
    inside = [request for request in world.fake.requests if "upload_id" in request.query]
    assert len(inside) == 2
    assert all("authorization" not in request.headers for request in inside)
    assert "not cancelled" in caplog.text
    assert inside[0].query["upload_id"] not in caplog.text


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1, SIZE])
async def test_a_source_that_fails_at_any_chunk_leaves_neither_object_nor_session(world: World, count: int):
    with pytest.raises(SourceFailed):
        await world.upload(source=broken_after(count, SourceFailed()), length=None)
    await assert_nothing_is_left(world)
    assert ("upload.cancel" in operations(world)) == (count > CHUNK)


@pytest.mark.parametrize(
    ("kind", "operation", "call"),
    [
        ("hang_before", "upload.start", 1),
        ("hang_before", "upload.chunk", 1),
        ("hang_before", "upload.chunk", 2),
        ("hang_before", "upload.chunk", 4),
        ("hang", "upload.chunk", 1),
        ("hang", "upload.chunk", 2),
    ],
)
async def test_an_upload_that_is_cancelled_at_any_request_leaves_neither_object_nor_session(
    world: World, kind: str, operation: str, call: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vertex_upload, "_CANCEL_SECONDS", 0.3)
    world.fake.plan(Fault(kind, operation=operation, call=call))
    task = asyncio.ensure_future(world.upload(pattern(SIZE)))
    await eventually(lambda: [one.body_complete for one in world.fake.requests_for(operation)] == [True] * call, "an answer is waited for")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_nothing_is_left(world)


async def test_a_session_that_is_opened_while_its_upload_is_cancelled_is_closed_as_well(world: World):
    world.fake.plan(Fault("drip", operation="upload.start", bytes_per_second=1_000))
    release = asyncio.Event()
    original = gcs(world)._start

    async def slow(*arguments: object) -> object:
        await release.wait()
        return await original(*arguments)  # type: ignore[arg-type]

    gcs(world)._start = slow  # type: ignore[method-assign,assignment]
    task = asyncio.ensure_future(world.upload(pattern(SIZE)))
    await eventually(lambda: operations(world) == ["upload.start"], "the session is asked for")
    task.cancel()
    await asyncio.sleep(0)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert operations(world) == ["upload.start", "upload.cancel"]
    await assert_nothing_is_left(world)


async def test_a_cancellation_that_is_itself_cancelled_still_happens(world: World):
    world.fake.plan(Fault("hang_before", operation="upload.chunk", call=2))
    task = asyncio.ensure_future(world.upload(pattern(SIZE)))
    await eventually(lambda: len(world.fake.requests_for("upload.chunk")) == 2, "the second chunk is sent")
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await assert_nothing_is_left(world)


async def test_an_upload_whose_cancellation_is_never_answered_still_ends(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vertex_upload, "_CANCEL_SECONDS", 0.1)
    world.fake.plan(Fault("hang_before", operation="upload.cancel"))
    with pytest.raises(SourceFailed):
        await world.upload(source=broken_after(2 * CHUNK, SourceFailed()), length=None)


@pytest.mark.parametrize("kept", [[0], [1], [3], [0, 0, 1], [4, 1, 1, 1], [4, 4, 2], [4, 4, 0]])
async def test_of_a_chunk_that_is_kept_in_part_the_rest_is_sent_again_and_nothing_twice(
    world: World, kept: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(vertex_upload, "CHUNK_BYTES", 4 * GRANULE)
    gcs(world).persists = [granules * GRANULE for granules in kept]
    body = pattern(11 * GRANULE + 77)
    await world.upload(body)
    assert await world.stored() == [body]
    sent = sum(request.body_bytes for request in world.fake.requests_for("upload.chunk"))
    places = [int(request.headers["content-range"].split()[1].partition("-")[0]) for request in world.fake.requests_for("upload.chunk")]
    assert places == sorted(places)
    assert sent > len(body)


async def test_a_provider_that_takes_nothing_of_a_chunk_is_given_up(world: World):
    gcs(world).persists = [0] * 100
    with pytest.raises(UpstreamUnreachable):
        await world.upload(pattern(SIZE))
    assert len(world.fake.requests_for("upload.chunk")) < 10
    await assert_nothing_is_left(world)


async def test_a_provider_that_takes_a_chunk_byte_by_byte_is_given_up(world: World):
    for call in range(1, 100):
        world.fake.plan(Fault("refuse", operation="upload.chunk", call=call, status=308, headers={"range": f"bytes=0-{call}"}))
    with pytest.raises(UpstreamUnreachable):
        await world.upload(pattern(SIZE))
    assert len(world.fake.requests_for("upload.chunk")) < 10
    await assert_nothing_is_left(world)


@pytest.mark.parametrize("call", [1, 2, 4], ids=["the first", "another", "the last"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("refuse", status=503, body="try again"),
        Fault("refuse", status=429),
        Fault("close_request_at", at=900),
        Fault("close_request_at", at=900, reset=True),
        Fault("close_response_at", at=-1),
        Fault("html", status=502),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status or ''}{'reset' if fault.reset else ''}".strip(),
)
async def test_an_upload_goes_on_after_a_chunk_that_failed_where_the_session_was_left(world: World, fault: Fault, call: int):
    world.fake.plan(replace(fault, operation="upload.chunk", call=call))
    body = pattern(SIZE)
    file = await world.upload(body)
    assert await world.stored() == [body]
    assert file.bytes == SIZE
    assert "upload.status" in operations(world)
    assert gcs(world).open_sessions == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413])
async def test_a_chunk_that_is_refused_for_good_ends_the_upload(world: World, status: int):
    world.fake.plan(Fault("refuse", operation="upload.chunk", call=2, status=status, body={"error": {"message": "No."}}))
    with pytest.raises(ProviderRefused) as caught:
        await world.upload(pattern(SIZE))
    assert (caught.value.status, caught.value.message) == (status, "No.")
    await assert_nothing_is_left(world)


async def test_a_provider_that_stays_away_ends_the_upload(world: World):
    world.fake.plan(Fault("refuse", operation="upload.chunk", call=2, times=50, status=503))
    with pytest.raises(ProviderRefused) as caught:
        await world.upload(pattern(SIZE))
    assert caught.value.status == 503
    assert len(world.fake.requests_for("upload.chunk")) == 1 + 4
    await assert_nothing_is_left(world)


async def test_an_end_of_which_nothing_can_be_learned_is_an_unknown_outcome(world: World):
    world.fake.plan(
        Fault("close_response_at", operation="upload.chunk", call=4, at=-1), Fault("refuse", operation="upload.status", status=503, times=9)
    )
    with pytest.raises(UpstreamOutcomeUnknown):
        await world.upload(pattern(SIZE))


@pytest.mark.parametrize("fault", [Fault("odd_id", body="another"), Fault("odd_id", body="")], ids=["another", "none"])
async def test_another_object_than_the_one_that_was_sent_is_an_unknown_outcome(world: World, fault: Fault):
    world.fake.plan(replace(fault, operation="upload.chunk", call=4))
    with pytest.raises(UpstreamOutcomeUnknown):
        await world.upload(pattern(SIZE))


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example/upload/storage/v1/b/fake-bucket/o?upload_id=x",
        "http://127.0.0.1:9/upload/x?upload_id=x",
        "https://127.0.0.1/upload/x",
        "/upload/storage/v1/b/fake-bucket/o?upload_id=x",
        "http://127.0.0.1@evil.example/upload/x",
        "file:///upload/x",
        "http://[::1/upload",
        " ",
    ],
)
async def test_a_session_at_another_host_is_sent_nothing(world: World, location: str):
    gcs(world).location = location
    with pytest.raises(UpstreamAnswerInvalid):
        await world.upload(pattern(SIZE))
    assert operations(world) == ["upload.start"]


async def test_a_session_below_another_path_of_the_same_host_is_sent_nothing(world: World):
    gcs(world).location = f"{world.fake.url}/storage/v1/b/fake-bucket/o/x?upload_id=x"
    with pytest.raises(UpstreamAnswerInvalid):
        await world.upload(pattern(SIZE))
    assert operations(world) == ["upload.start"]


@pytest.mark.parametrize("size", [10, SIZE])
async def test_a_name_that_an_object_has_is_refused_and_the_object_stays(world: World, size: int):
    named = replace(world, target=replace(world.target, fields={**FIELDS, "provider_file_name": "in/put 1.jsonl"}))
    file = await named.upload(b"first")
    assert file.id == "gs%3A%2F%2Ffake-bucket%2Fin%2Fput%201.jsonl"
    with pytest.raises(InvalidValue) as caught:
        await named.upload(pattern(size))
    assert caught.value.param == "x-portkey-provider-file-name"
    assert await world.stored() == [b"first"]
    assert gcs(world).open_sessions == 0


@pytest.mark.parametrize("name", ["", ".", "a/../b", "..", "a\nb", "x" * 1_025, ".well-known/acme-challenge/x", "a%2Fb"])
async def test_a_name_that_no_object_has_is_refused_before_anything_is_sent(world: World, name: str):
    named = replace(world, target=replace(world.target, fields={**FIELDS, "provider_file_name": name}))
    with pytest.raises(InvalidValue) as caught:
        await named.upload()
    assert caught.value.param == "x-portkey-provider-file-name"
    assert world.fake.requests == []


async def test_a_file_beyond_the_limit_is_cut_off_where_its_length_was_not_known(monkeypatch: pytest.MonkeyPatch, world: World):
    monkeypatch.setattr(world.provider, "_dialect_of", lambda _: replace_limit(2 * CHUNK))
    with pytest.raises(FileTooLarge):
        await world.upload(pattern(SIZE), announced=False)
    await assert_nothing_is_left(world)


def replace_limit(most: int) -> object:
    from fileplane.providers.vertex import VERTEX

    return replace(VERTEX, capabilities=replace(VERTEX.capabilities, max_bytes=most))


async def test_the_target_s_own_timeout_holds_for_all_requests_of_an_upload_together(world: World):
    hasty = replace(world, target=replace(world.target, request_timeout_seconds=0.2))
    world.fake.plan(Fault("hang_before", operation="upload.chunk", call=2))
    with pytest.raises((UpstreamTimeout, UploadTimedOut)):
        await hasty.upload(pattern(SIZE))
    await eventually(lambda: gcs(world).open_sessions == 0, "no session is open")
    assert await world.stored() == []


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("upload.start", UpstreamAnswerInvalid),
        ("upload.chunk", UpstreamAnswerInvalid),
        ("upload.status", ProviderRefused),
        ("upload.cancel", SourceFailed),
    ],
)
async def test_no_redirect_is_followed_by_any_request_of_an_upload(world: World, operation: str, expected: type[Exception]):
    """Also not by one with the status that asks for the rest of a file."""
    async with new_world("openai") as other:
        if operation == "upload.status":
            world.fake.plan(Fault("refuse", operation="upload.chunk", status=503))
        world.fake.plan(Fault("redirect", operation=operation, status=308, location=f"{other.fake.base_url}/files"))
        with pytest.raises(expected):
            await world.upload(source=broken_after(SIZE, SourceFailed()), length=None)
        assert other.fake.requests == []
