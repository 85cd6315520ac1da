"""A resumable upload makes one whole file or leaves nothing, and neither its bytes nor a key go where only an answer says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from fileplane.errors import (
    FileplaneError,
    InvalidValue,
    ProviderRefused,
    UploadLost,
    UploadTimedOut,
    UpstreamAnswerInvalid,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers.base import RemoteUpload
from fileplane.providers.google_uploads import PART_BYTES
from fileplane.testing.fake_provider import Fault, RecordedRequest
from fileplane.testing.fake_provider.gemini import GeminiApi
from fileplane.testing.provider_world import SECRET, World, assert_tells_no_secret, eventually, new_world, pattern

MIB = 1 << 20
HASTY: dict[str, Any] = {"egress_connect_seconds": 0.3, "egress_first_byte_seconds": 0.3, "egress_idle_seconds": 0.3}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world("gemini") as world:
        yield world


@pytest.fixture
async def impatient_world() -> AsyncIterator[World]:
    async with new_world("gemini", **HASTY) as world:
        yield world


def gemini(world: World) -> GeminiApi:
    assert isinstance(world.fake.own_api, GeminiApi)
    return world.fake.own_api


async def nothing_is_left(world: World) -> None:
    await eventually(lambda: world.fake.open_connections == 0, "no connection is left open")
    assert await world.stored() == []
    assert gemini(world).open_sessions == []
    assert [session.path for session in gemini(world).sessions.values() if session.path.exists()] == []


def sent(requests: list[RecordedRequest]) -> list[tuple[str, str, str]]:
    return [tuple(request.headers[name] for name in COMMANDS) for request in requests]  # type: ignore[misc]


COMMANDS = ("x-goog-upload-command", "x-goog-upload-offset", "content-length")


@pytest.mark.parametrize(
    ("size", "granularity", "parts"),
    [
        (0, PART_BYTES, [0]),
        (1, PART_BYTES, [1]),
        (8 * MIB, PART_BYTES, [8]),
        (8 * MIB + 1, PART_BYTES, [8, 1]),
        (20 * MIB, PART_BYTES, [8, 8, 4]),
        (13 * MIB, 3 * MIB, [6, 6, 1]),
        (25 * MIB, 12 * MIB, [12, 12, 1]),
    ],
    ids=str,
)
async def test_a_file_is_sent_in_parts_of_which_the_last_makes_it(world: World, size: int, granularity: int, parts: list[int]):
    gemini(world).granularity = granularity
    body = pattern(size)
    made = await world.upload(body, pieces=100_003)
    assert (made.bytes, await world.stored()) == (size, [body])
    requests = world.fake.requests_for("upload")
    lengths = [request.body_bytes for request in requests]
    assert (len(lengths), sum(lengths)) == (len(parts), size)
    assert lengths[:-1] == [part * MIB for part in parts[:-1]]
    ends = [sum(lengths[:number]) for number in range(len(lengths))]
    commands = ["upload"] * (len(parts) - 1) + ["upload, finalize"]
    assert sent(requests) == [(word, str(end), str(length)) for word, end, length in zip(commands, ends, lengths, strict=True)]
    assert gemini(world).open_sessions == []


async def test_an_upload_without_a_length_is_refused_before_anything_is_sent(world: World):
    async def source() -> AsyncIterator[bytes]:
        yield b"content"

    for at_most in (None, 100):
        with pytest.raises(InvalidValue) as caught:
            await world.provider.upload(world.target, RemoteUpload("batch", "a.jsonl", "", source(), at_most=at_most))
        assert (caught.value.param, world.fake.requests) == ("file", [])


@pytest.mark.parametrize(
    "place",
    ["http://localhost:{port}/upload/v1/files?upload_id=x", "http://127.0.0.1:1/upload", "https://127.0.0.1:{port}/upload?upload_id=x",
     "http://user@127.0.0.1:{port}/x", "//127.0.0.1:{port}/x", "/upload/v1/files?upload_id=x", "ftp://127.0.0.1:{port}/x", "", "http://",
     "http://127.0.0.1:{port}\\@elsewhere/x"],
)  # fmt: skip
async def test_nothing_is_sent_to_a_place_that_is_not_at_the_target_s_own_origin(world: World, place: str):
    said = {"x-goog-upload-url": place.format(port=world.fake.port), "x-goog-upload-status": "active"}
    world.fake.plan(Fault("refuse", operation="start", status=200, body={}, headers=said))
    taken: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        taken.append(1)
        yield b"content"

    with pytest.raises(UpstreamAnswerInvalid) as caught:
        await world.upload(source=source(), length=7)
    assert caught.value.status == 502
    assert [request.operation for request in world.fake.requests] == ["start"]
    assert taken == []


async def test_neither_bytes_nor_a_key_go_to_another_host_that_an_answer_names(world: World):
    async with new_world("gemini") as other:
        said = {"x-goog-upload-url": f"{other.fake.url}/upload/v1/files?upload_id=x", "x-goog-upload-status": "active"}
        world.fake.plan(Fault("refuse", operation="start", status=200, body={}, headers=said))
        with pytest.raises(UpstreamAnswerInvalid) as caught:
            await world.upload()
        assert_tells_no_secret(caught.value)
        assert str(other.fake.port) not in caught.value.message
        assert (other.fake.connections, other.fake.requests) == (0, [])


async def test_the_key_begins_the_upload_and_is_sent_with_nothing_else(world: World):
    world.fake.plan(Fault("refuse", operation="upload", call=2, status=503))
    with pytest.raises(ProviderRefused):
        await world.upload(pattern(9 * MIB))
    start, *others = world.fake.requests
    assert start.headers["x-goog-api-key"] == SECRET
    assert [request.operation for request in others] == ["upload", "upload", "cancel"]
    assert not any(SECRET in value for request in others for value in request.headers.values())


@pytest.mark.parametrize("part", [1, 2], ids=["the first part", "the last part"])
@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
async def test_a_part_that_is_refused_is_a_refusal_and_leaves_nothing(world: World, part: int, status: int):
    body = {"error": {"code": status, "message": "Not this part.", "status": "ABORTED"}}
    world.fake.plan(Fault("refuse", operation="upload", call=part, status=status, body=body, headers={"retry-after": "7"}))
    with pytest.raises(ProviderRefused, match=r"Not this part\.") as caught:
        await world.upload(pattern(9 * MIB))
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (status, "ABORTED", 7)
    await nothing_is_left(world)


@pytest.mark.parametrize("length", [17 * MIB - 1, 17 * MIB + 1], ids=["longer", "shorter"])
async def test_a_file_that_is_not_as_long_as_announced_is_cut_off_in_its_last_part_and_leaves_nothing(world: World, length: int):
    with pytest.raises(InvalidValue) as caught:
        await world.upload(pattern(17 * MIB), length=length)
    assert caught.value.param == "file"
    await nothing_is_left(world)
    assert [request.body_complete for request in world.fake.requests_for("upload")] == [True, True, False]


@pytest.mark.parametrize("after", [0, 1, 8 * MIB, 9 * MIB], ids=["nothing", "a byte", "a part", "more than a part"])
async def test_a_source_that_fails_anywhere_leaves_nothing(world: World, after: int):
    class ClientLeft(Exception):
        pass

    async def source() -> AsyncIterator[bytes]:
        for start in range(0, after, MIB):
            yield bytes(min(MIB, after - start))
        raise ClientLeft

    with pytest.raises(ClientLeft):
        await world.upload(source=source(), length=20 * MIB)
    await nothing_is_left(world)


@pytest.mark.parametrize("cancels", [1, 2], ids=["once", "twice"])
async def test_a_cancelled_upload_is_cancelled_at_the_provider_too(world: World, cancels: int):
    begun = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield pattern(9 * MIB)
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(world.upload(source=source(), length=20 * MIB))
    await begun.wait()
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: gemini(world).open_sessions == [], "the session is cancelled")
    await nothing_is_left(world)


async def test_an_upload_that_is_cancelled_while_it_begins_leaves_no_session(world: World):
    asked, release = asyncio.Event(), asyncio.Event()
    original = gemini(world)._start

    async def slow(*arguments: Any) -> Any:
        asked.set()
        await release.wait()
        return await original(*arguments)

    gemini(world)._start = slow  # type: ignore[method-assign]
    task = asyncio.ensure_future(world.upload(pattern(9 * MIB)))
    await asked.wait()
    task.cancel()
    await asyncio.sleep(0)
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: world.fake.requests_for("cancel"), "the session is cancelled")
    await nothing_is_left(world)


@pytest.mark.parametrize("fault", [Fault("hang_before", operation="cancel"), Fault("close_response_at", operation="cancel", at=-1)])
async def test_what_was_wrong_is_told_although_the_session_cannot_be_cancelled(impatient_world: World, fault: Fault):
    world = impatient_world
    world.fake.plan(fault, Fault("refuse", operation="upload", status=429, body={"error": {"message": "Slowly."}}))
    with pytest.raises(ProviderRefused, match="Slowly"):
        await world.upload()
    assert len(world.fake.requests_for("cancel")) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("hang"), UpstreamTimeout),
        (Fault("hang_before"), UpstreamTimeout),
        (Fault("close_response_at", at=-1), UpstreamUnreachable),
        (Fault("close_request_at", at=MIB), UpstreamUnreachable),
        (Fault("redirect", location="http://127.0.0.1:1/"), UpstreamAnswerInvalid),
        (Fault("html", status=200), UpstreamAnswerInvalid),
        (Fault("html", status=502), ProviderRefused),
        (Fault("refuse", status=200, body={}, headers={"x-goog-upload-status": "active, perhaps"}), UpstreamAnswerInvalid),
    ],
    ids=lambda value: f"{value.kind} {value.status or ''}".strip() if isinstance(value, Fault) else "",
)
async def test_before_the_last_part_no_failure_leaves_a_file_or_a_doubt(impatient_world: World, fault: Fault, error: type[FileplaneError]):
    world = impatient_world
    world.fake.plan(replace(fault, operation="upload"))
    with pytest.raises(error) as caught:
        await world.upload(pattern(9 * MIB))
    assert caught.value.code != "upstream_outcome_unknown"
    await nothing_is_left(world)
    assert len(world.fake.requests_for("upload")) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("close_response_at", at=-1),
        Fault("html", status=504),
        Fault("refuse", status=200, body={"file": {"name": "files/abc"}}, headers={"x-goog-upload-status": "active"}),
        Fault("refuse", status=200, body={"file": {"name": "files/abc"}}),
        Fault("refuse", status=200, body={"file": {"name": "files/abc", "sizeBytes": "7"}}, headers={"x-goog-upload-status": "final"}),
        Fault("refuse", status=200, body={"file": {"name": "models/abc"}}, headers={"x-goog-upload-status": "final"}),
    ],
    ids=["broken", "lost behind a proxy", "still active", "of unknown status", "of another size", "of another kind"],
)
async def test_after_the_last_part_what_is_not_a_file_s_description_is_an_unknown_outcome(world: World, fault: Fault):
    world.fake.plan(replace(fault, operation="upload", call=2))
    with pytest.raises((UploadLost, UploadTimedOut)):
        await world.upload(pattern(9 * MIB))
    assert len(world.fake.requests_for("upload")) == 2
    assert world.fake.requests_for("cancel") == []


async def test_a_provider_that_has_the_file_before_it_was_sent_is_not_believed(world: World):
    said = {"x-goog-upload-status": "final"}
    world.fake.plan(Fault("refuse", operation="upload", status=200, body={"file": {"name": "files/abc"}}, headers=said))
    with pytest.raises(UploadLost):
        await world.upload(pattern(9 * MIB))
    await nothing_is_left(world)


@pytest.mark.parametrize("said", ["0", "-1", "x", "", "1e3", str(1 << 40)])
async def test_a_granularity_that_is_none_is_refused(world: World, said: str):
    headers = {"x-goog-upload-url": f"{world.fake.url}/upload/v1/files?upload_id=x", "x-goog-upload-chunk-granularity": said}
    world.fake.plan(Fault("refuse", operation="start", status=200, body={}, headers=headers))
    with pytest.raises(UpstreamAnswerInvalid):
        await world.upload()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("hang"), UpstreamTimeout),
        (Fault("close_response_at", at=-1), UpstreamUnreachable),
        (Fault("redirect", location="http://127.0.0.1:1/"), UpstreamAnswerInvalid),
        (Fault("html", status=504), ProviderRefused),
    ],
    ids=["unanswered", "broken", "redirected", "behind a proxy"],
)
async def test_an_upload_that_did_not_begin_may_be_made_again(impatient_world: World, fault: Fault, error: type[FileplaneError]):
    world = impatient_world
    world.fake.plan(replace(fault, operation="start"))
    with pytest.raises(error) as caught:
        await world.upload()
    assert caught.value.code != "upstream_outcome_unknown"
    assert await world.stored() == []
    await world.upload(b"again")
    assert await world.stored() == [b"again"]


async def test_the_target_s_timeout_is_for_all_parts_together(world: World):
    hasty = replace(world, target=replace(world.target, request_timeout_seconds=1.0))
    world.fake.plan(Fault("slow_read", operation="upload", times=20, bytes_per_second=16 * MIB))
    with pytest.raises(UpstreamTimeout):
        await hasty.upload(pattern(64 * MIB))
    assert len(world.fake.requests_for("upload")) < 8
    await nothing_is_left(world)


async def test_uploads_at_once_do_not_meet(world: World):
    bodies = [pattern(9 * MIB + number)[number:] for number in range(4)]
    made = await asyncio.gather(*(world.upload(body, filename=f"{number}.txt") for number, body in enumerate(bodies)))
    kept = world.fake.accounts.of(SECRET).files
    assert [kept[file.id].path.read_bytes() for file in made] == bodies
    assert [kept[file.id].filename for file in made] == [f"{number}.txt" for number in range(4)]
