"""What is Gemini's own: names that are ids here, states, lists without order, versions in URLs, and an SDK that must agree."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from fileplane.errors import FileNotFound, InvalidValue, ProviderRefused, UpstreamAnswerInvalid
from fileplane.model import FileStatus
from fileplane.providers.base import RemoteQuery, Target
from fileplane.providers.egress import Egress
from fileplane.providers.registry import Registry
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.fake_provider import Fault
from fileplane.testing.provider_world import SECRET, World, new_world, pattern

MIB = 1 << 20
TWO_DAYS = 172_800


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world("gemini") as world:
        yield world


@contextmanager
def sdk(world: World) -> Iterator[genai.Client]:
    client = genai.Client(api_key=SECRET, http_options=types.HttpOptions(base_url=world.fake.url))
    try:
        yield client
    finally:
        client.close()


async def test_the_sdk_reads_what_was_uploaded_here_lists_it_and_deletes_it(world: World):
    made = await world.upload(pattern(17 * MIB), filename="naïve 文件.jsonl", media_type="application/jsonl")
    await world.upload(b"another")

    def read() -> None:
        with sdk(world) as client:
            found = client.files.get(name=made.id)
            assert (found.name, found.display_name, found.mime_type) == (f"files/{made.id}", "naïve 文件.jsonl", "application/jsonl")
            assert (found.size_bytes, found.state, found.source) == (17 * MIB, types.FileState.ACTIVE, types.FileSource.UPLOADED)
            assert found.create_time is not None
            assert found.expiration_time is not None
            assert int(found.create_time.timestamp()) == made.created_at
            assert int(found.expiration_time.timestamp()) == made.expires_at == (made.created_at or 0) + TWO_DAYS
            assert len([one.name for one in client.files.list(config={"page_size": 1})]) == 2
            client.files.delete(name=made.id)
            with pytest.raises(errors.ClientError, match="may not exist"):
                client.files.get(name=made.id)

    await asyncio.to_thread(read)
    with pytest.raises(FileNotFound):
        await world.provider.get(world.target, made.id)


async def test_what_the_sdk_uploads_is_found_here_and_its_uploads_are_sent_as_ours_are(world: World):
    content = pattern(9 * MIB)

    def send() -> types.File:
        with sdk(world) as client:
            return client.files.upload(file=io.BytesIO(content), config={"mime_type": "text/plain", "display_name": "sent.txt"})

    sent = await asyncio.to_thread(send)
    found = await world.provider.get(world.target, (sent.name or "").removeprefix("files/"))
    assert (found.filename, found.bytes, found.status) == ("sent.txt", 9 * MIB, FileStatus.PROCESSED)
    assert sent.create_time is not None
    assert found.created_at == int(sent.create_time.timestamp())
    world.fake.requests = [request for request in world.fake.requests if request.operation != "get"]
    await world.upload(content, filename="sent.txt", media_type="text/plain")
    assert await world.stored() == [content, content]
    theirs, ours = world.fake.requests[:3], world.fake.requests[3:]
    upload_headers = ("x-goog-api-key", "x-goog-upload-command", "x-goog-upload-offset", "content-length")
    for their, our in zip(theirs[1:], ours[1:], strict=True):
        assert {name: their.headers.get(name) for name in upload_headers} == {name: our.headers.get(name) for name in upload_headers}
        assert (their.path, their.query.keys(), their.body_sha256) == (our.path, our.query.keys(), our.body_sha256)
    start_headers = ("x-goog-api-key", "x-goog-upload-protocol", "x-goog-upload-command", "x-goog-upload-header-content-length",
                     "x-goog-upload-header-content-type", "content-type")  # fmt: skip
    assert {name: theirs[0].headers[name] for name in start_headers} == {name: ours[0].headers[name] for name in start_headers}


async def test_a_download_that_gemini_refuses_has_its_reason_and_what_it_made_itself_is_served(world: World):
    uploaded, generated = await world.upload(), world.fake.accounts.generate(world.fake.accounts.of(SECRET), "made-1", b"a result")
    with pytest.raises(ProviderRefused, match="only generated files can be downloaded") as caught:
        await world.download(uploaded.id)
    assert (caught.value.status, caught.value.code) == (400, "INVALID_ARGUMENT")
    assert await world.download(generated.id) == b"a result"

    def download() -> None:
        with sdk(world) as client:
            assert client.files.download(file="files/made-1") == b"a result"

    await asyncio.to_thread(download)


@pytest.mark.parametrize(
    "file_id",
    ["Abc", "-abc", "abc-", "a_b", "a.b", "abc:download", "files/abc", "x" * 41, "abc\n"],
    ids=lambda file_id: file_id[:12].strip(),
)
async def test_an_id_that_gemini_cannot_have_given_out_is_not_found_and_never_sent(world: World, file_id: str):
    for call in (world.provider.get, world.provider.delete):
        with pytest.raises(FileNotFound):
            await call(world.target, file_id)
    with pytest.raises(FileNotFound):
        await world.download(file_id)
    with pytest.raises(InvalidValue):
        await world.provider.list(world.target, RemoteQuery(after=file_id))
    assert world.fake.requests == []


ODD_NAMES = ["files/../models", "files/Abc", "abc", "", "models/abc"]


@pytest.mark.parametrize("name", [*ODD_NAMES, None, 7])
async def test_a_name_that_gemini_cannot_have_given_out_is_no_file(world: World, name: Any):
    world.fake.plan(Fault("refuse", status=200, body={"name": name}))
    with pytest.raises(UpstreamAnswerInvalid):
        await world.provider.get(world.target, "abc")


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_such_a_name_in_a_list_hides_no_other_file(world: World, name: str):
    world.fake.plan(Fault("refuse", status=200, body={"files": [{"name": name}, {"name": "files/one"}]}))
    assert await _list(world) == ["one"]


@pytest.mark.parametrize("row", [{"name": None}, {"name": 7}, {}, 7])
async def test_what_has_no_name_makes_a_list_none_of_files(world: World, row: Any):
    world.fake.plan(Fault("refuse", status=200, body={"files": [row]}))
    with pytest.raises(UpstreamAnswerInvalid):
        await _list(world)


async def _list(world: World, **query: Any) -> list[str]:
    return [file.id for file in (await world.provider.list(world.target, RemoteQuery(**query))).files]


@pytest.mark.parametrize(
    ("state", "status"),
    [("PROCESSING", FileStatus.UPLOADED), ("ACTIVE", FileStatus.PROCESSED), ("FAILED", FileStatus.ERROR), (None, None)],
)
async def test_states_are_statuses_and_a_failure_says_why(world: World, state: str | None, status: FileStatus | None):
    said = {
        "name": "files/abc",
        "state": state,
        "createTime": "2026-11-01T00:00:00.999999999Z",
        "error": {"code": 3, "message": "Too long."},
    }
    world.fake.plan(Fault("refuse", status=200, body=said))
    file = await world.provider.get(world.target, "abc")
    assert (file.id, file.status, file.status_details, file.created_at) == ("abc", status, "Too long.", 1_793_491_200)
    assert (file.filename, file.bytes, file.expires_at) == (None, None, None)


async def test_a_file_whose_time_has_passed_is_gone_although_it_is_described(world: World):
    said = {"name": "files/abc", "state": "ACTIVE", "expirationTime": "2026-11-01T00:00:00Z"}
    world.fake.plan(Fault("refuse", status=200, body=said, headers={"date": "Sun, 01 Nov 2026 00:00:00 GMT"}))
    with pytest.raises(FileNotFound):
        await world.provider.get(world.target, "abc")
    world.fake.plan(Fault("refuse", status=200, body=said, headers={"date": "Sat, 31 Oct 2026 23:59:59 GMT"}))
    assert (await world.provider.get(world.target, "abc")).expires_at == 1_793_491_200


async def test_a_refusal_that_is_not_about_the_file_stays_one(world: World):
    file = await world.upload()
    said = world.fake.flavour.error(403, "Generative Language API has not been used in this project.", None, None)
    for call in (world.provider.get, world.provider.delete):
        world.fake.plan(Fault("refuse", status=403, body=said))
        with pytest.raises(ProviderRefused, match="has not been used") as caught:
            await call(world.target, file.id)
        assert (caught.value.status, caught.value.code) == (403, "PERMISSION_DENIED")


async def test_a_page_without_files_is_not_the_end_of_a_list(world: World):
    pages: list[dict[str, Any]] = [
        {"nextPageToken": "a"},
        {"files": [{"name": "files/one", "createTime": "2026-11-01T00:00:00Z"}], "nextPageToken": "b"},
        {"files": [], "nextPageToken": "c"},
        {"files": [{"name": "files/two", "createTime": "2026-11-01T00:00:01Z"}]},
    ]
    for number, page in enumerate(pages):
        world.fake.plan(Fault("refuse", operation="list", call=number + 1, status=200, body=page))
    assert await _list(world) == ["two", "one"]
    assert [request.query.get("pageToken") for request in world.fake.requests] == [None, "a", "b", "c"]
    assert {request.query["pageSize"] for request in world.fake.requests} == {"100"}


async def test_a_name_that_is_too_long_is_refused_before_anything_is_sent(world: World):
    await world.upload(filename="文" * 512)
    world.fake.reset()
    with pytest.raises(InvalidValue) as caught:
        await world.upload(filename="文" * 513)
    assert (caught.value.param, world.fake.requests) == ("file", [])


@pytest.mark.parametrize("version", ["v2", "v1beta/../v1", "", "V1"])
async def test_a_version_that_there_is_not_is_refused(world: World, version: str):
    with pytest.raises(InvalidValue) as caught:
        await _list(replace(world, target=replace(world.target, fields={"google_api_version": version})))
    assert (caught.value.param, world.fake.requests) == ("x-portkey-google-api-version", [])


@pytest.mark.parametrize("base", ["/v1", "/v1beta"])
async def test_uploads_go_beside_the_version_of_the_base_url(world: World, base: str):
    beside = replace(world, target=replace(world.target, custom_host=world.fake.url + base))
    file = await beside.upload()
    assert (await beside.provider.get(beside.target, file.id)).id == file.id
    assert [request.path for request in world.fake.requests] == [f"/upload{base}/files", f"/upload{base}/files", f"{base}/files/{file.id}"]


@pytest.mark.parametrize("fields", [{}, {"google_api_version": "v1beta"}], ids=["v1", "v1beta"])
async def test_without_a_host_of_the_caller_s_own_calls_go_to_google_alone(fields: dict[str, str]):
    asked: list[str] = []

    async def lookup(host: str, port: int) -> list[str]:
        asked.append(f"{host}:{port}")
        raise OSError

    egress = Egress(Settings(), lookup=lookup)
    try:
        with pytest.raises(Exception, match="cannot be reached"):
            await Registry(egress).get("google").list(Target("google", {"api_key": Secret(SECRET)}, fields), RemoteQuery())
    finally:
        await egress.close()
    assert asked == ["generativelanguage.googleapis.com:443"]
