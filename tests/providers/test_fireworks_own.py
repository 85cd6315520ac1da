"""What is Fireworks' own: datasets that are made, filled, looked at, and taken back when that fails; and its SDK, which reads them."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import httpx
import pytest
from fireworks import Fireworks as Sdk

from fileplane.errors import (
    FileNotFound,
    FileplaneError,
    InvalidValue,
    ProviderRefused,
    UnsupportedProviderOperation,
    UploadLost,
    UpstreamAnswerInvalid,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.model import FileStatus
from fileplane.providers.base import ByteRange, RemoteQuery, Target
from fileplane.providers.fireworks import FIREWORKS, MOST_AT_ONCE, Fireworks
from fileplane.secrets.values import Secret
from fileplane.testing.fake_provider import Fault
from fileplane.testing.fake_provider.fireworks import FireworksApi
from fileplane.testing.provider_world import SECRET, World, assert_tells_no_secret, eventually, new_world
from providers.test_fireworks import FIELDS, IMPATIENT, signing_world

LINES = '{"custom_id": "naïve 文件"}\n'.encode() * 3


def api(world: World) -> FireworksApi:
    assert isinstance(world.fake.own_api, FireworksApi)
    return world.fake.own_api


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world("fireworks", FIELDS) as world:
        yield world


@pytest.fixture(params=["at once", "by a signed URL"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with new_world("fireworks", FIELDS) if request.param == "at once" else signing_world() as world:
        yield world


async def test_a_small_file_takes_two_calls_and_a_large_one_four(world: World) -> None:
    await world.upload(LINES)
    assert [request.operation for request in world.fake.requests] == ["create", "upload"]
    async with signing_world() as other:
        await other.upload(LINES)
        assert [request.operation for request in other.fake.requests] == ["create", "endpoint", "upload", "validate"]
        [put] = other.fake.requests_for("upload")
        assert put.headers["x-goog-content-length-range"] == f"{len(LINES)},{len(LINES)}"
        assert not {"authorization", "x-mine", "cookie"} & set(put.headers)
        for request in other.fake.requests_for("create") + other.fake.requests_for("validate"):
            assert request.headers["authorization"] == f"Bearer {SECRET}"


async def test_a_dataset_says_how_many_lines_it_has_and_is_shown_by_the_file_s_name(world: World) -> None:
    await world.upload(LINES.rstrip(b"\n"), filename="naïve.jsonl")
    [made] = world.fake.requests_for("create")
    assert made.document["dataset"] == {"userUploaded": {}, "exampleCount": "3", "displayName": "naïve.jsonl"}


@pytest.mark.parametrize(
    ("filename", "shown", "sent"),
    [
        ("plain-1.jsonl", "plain-1.jsonl", "plain-1.jsonl"),
        ("naïve.jsonl", "naïve.jsonl", "file.jsonl"),
        ("table.csv", "table.csv", "file.jsonl"),
        ("x" * 58 + ".jsonl", None, "x" * 58 + ".jsonl"),
        ("../up.jsonl", "../up.jsonl", "file.jsonl"),
        ("a\tb.jsonl", None, "file.jsonl"),
    ],
)
async def test_a_name_is_sent_where_it_is_sure_to_be_taken(world: World, filename: str, shown: str | None, sent: str) -> None:
    file = await world.upload(filename=filename)
    assert file.filename == filename
    assert (await world.provider.get(world.target, file.id)).filename == shown
    assert world.fake.requests_for("upload")[0].fields == [("file", sent)]


async def test_ids_are_valid_there_and_never_the_same(world: World) -> None:
    made = {(await world.upload(LINES)).id for _ in range(20)}
    assert len(made) == 20
    assert all(len(file_id) <= 63 and file_id.replace("-", "").isalnum() and file_id.islower() for file_id in made)


async def test_a_file_is_processed_once_fireworks_has_looked_at_it(either: World) -> None:
    file = await either.upload(LINES)
    assert file.status is FileStatus.UPLOADED
    assert (await either.provider.get(either.target, file.id)).status is FileStatus.UPLOADED
    assert (await either.provider.get(either.target, file.id)).status is FileStatus.PROCESSED


async def test_a_dataset_that_failed_is_shown_with_its_reason(world: World) -> None:
    said = {"name": "accounts/my-account/datasets/x", "state": "UPLOADING", "createTime": "2026-01-02T03:04:05.123456789Z"}
    world.fake.plan(Fault("refuse", status=200, body={**said, "status": {"code": "INVALID_ARGUMENT", "message": "Line 3 is no JSON."}}))
    file = await world.provider.get(world.target, "x")
    assert (file.status, file.status_details, file.created_at) == (FileStatus.ERROR, "Line 3 is no JSON.", 1_767_323_045)


class TestAnUploadThatFails:
    @pytest.mark.parametrize("operation", ["create", "endpoint", "upload", "validate"])
    @pytest.mark.parametrize(
        "fault",
        [
            Fault("refuse", status=400, body={"code": 3, "message": "No."}),
            Fault("refuse", status=429, body={"code": 8, "message": "No."}),
            Fault("redirect", status=307, location="http://127.0.0.1:1/"),
        ],
        ids=["refused", "too many", "redirected"],
    )
    async def test_leaves_no_dataset_where_it_cannot_have_the_file(self, fault: Fault, operation: str) -> None:
        async with signing_world() as world:
            world.fake.plan(replace(fault, operation=operation))
            with pytest.raises(FileplaneError) as caught:
                await world.upload(LINES)
            lost = operation == "validate" and fault.kind == "redirect"
            assert isinstance(caught.value, UploadLost) is lost
            assert (await world.stored() == []) is not lost
            assert_tells_no_secret(caught.value)

    async def test_that_was_refused_its_dataset_deletes_none(self, world: World) -> None:
        world.fake.plan(Fault("refuse", operation="create", status=401))
        with pytest.raises(ProviderRefused):
            await world.upload(LINES)
        assert world.fake.requests_for("delete") == []

    async def test_is_traced_by_the_call_that_failed(self, world: World) -> None:
        said = {"x-request-id": "of-the-refusal"}
        world.fake.plan(Fault("refuse", operation="upload", status=400, headers=said))
        with pytest.raises(ProviderRefused):
            await world.upload(LINES)
        assert world.fake.requests_for("delete") != []
        assert world.target.heard.request_id == "of-the-refusal"

    @pytest.mark.parametrize("operation", ["create", "endpoint", "upload"])
    async def test_leaves_no_dataset_where_an_answer_never_comes(self, operation: str) -> None:
        async with signing_world(**IMPATIENT) as world:
            world.fake.plan(Fault("hang", operation=operation))
            with pytest.raises(UpstreamTimeout):
                await world.upload(LINES)
            assert await world.stored() == []

    @pytest.mark.parametrize("last", ["upload", "validate"])
    async def test_of_unknown_outcome_leaves_it_to_be_found(self, last: str) -> None:
        async with new_world("fireworks", FIELDS) if last == "upload" else signing_world() as world:
            world.fake.plan(Fault("close_response_at", operation=last, at=-1))
            with pytest.raises(UploadLost):
                await world.upload(LINES, filename="lost.jsonl")
            [found] = (await world.provider.list(world.target, RemoteQuery())).files
            assert (found.filename, await world.download(found.id)) == ("lost.jsonl", LINES)

    async def test_leaves_it_where_even_the_deletion_fails_and_says_so_in_the_log(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.fake.plan(Fault("refuse", operation="upload", status=400), Fault("refuse", operation="delete", status=500))
        with caplog.at_level(logging.WARNING), pytest.raises(ProviderRefused):
            await world.upload(LINES)
        [made] = world.fake.accounts.of(SECRET).files
        assert made in caplog.text
        assert SECRET not in caplog.text

    async def test_takes_its_dataset_back_although_whoever_wanted_it_is_gone(self, either: World) -> None:
        began, task = asyncio.Event(), None

        async def source() -> AsyncIterator[bytes]:
            yield LINES
            began.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(either.upload(source=source(), length=10_000, lines=3))
        await began.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()  # and once more while it tidies up
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: not either.fake.accounts.of(SECRET).files, "the dataset is gone")

    async def test_is_one_whose_lines_were_miscounted(self, either: World) -> None:
        with pytest.raises(ProviderRefused, match="example_count"):
            await either.upload(LINES, lines=4)
        assert await either.stored() == []

    async def test_is_one_that_is_empty_or_whose_lines_nobody_counted(self, world: World) -> None:
        for fields in ({"content": b""}, {"content": LINES, "lines": None}, {"content": LINES, "expires_after": 3_600}):
            with pytest.raises(InvalidValue):
                await world.upload(**fields)  # type: ignore[arg-type]
        assert world.fake.requests == []

    async def test_is_one_to_an_account_that_encrypts_by_a_key_of_its_own(self) -> None:
        async with signing_world() as world:
            api(world).encryption_state = "ENCRYPTION_STATE_CMEK"
            with pytest.raises(UnsupportedProviderOperation):
                await world.upload(LINES)
            assert await world.stored() == []
            assert world.fake.requests_for("upload") == []


class TestASignedURL:
    @pytest.mark.parametrize(
        "url",
        [
            "http://169.254.169.254/x",
            "http://10.0.0.1/x?secret=1",
            "ftp://127.0.0.1/x",
            "/relative",
            "https://",
            "",
        ],
    )
    async def test_leads_nowhere_that_calls_are_not_allowed_to_go(self, url: str) -> None:
        async with signing_world() as world:
            file = await world.upload(LINES)
            world.fake.plan(Fault("refuse", operation="endpoint", status=200, body={"filenameToSignedUrls": {"some.jsonl": url}}))
            with pytest.raises(UpstreamAnswerInvalid) as caught:
                await world.upload(LINES)
            assert "secret" not in caught.value.message
            world.fake.plan(Fault("refuse", operation="place", status=200, body={"filenameToSignedUrls": {"some.jsonl": url}}))
            with pytest.raises((UpstreamAnswerInvalid, ProviderRefused)) as refused:
                await world.download(file.id)
            assert not isinstance(refused.value, ProviderRefused) or (refused.value.code == "file_not_ready" and not url)
            assert len(await world.stored()) == 1

    @pytest.mark.parametrize("urls", [None, {}, {"other.jsonl": "http://127.0.0.1:1/"}, {"some.jsonl": 7}, []])
    async def test_for_another_file_is_none(self, urls: Any) -> None:
        async with signing_world() as world:
            world.fake.plan(Fault("refuse", operation="endpoint", status=200, body={"filenameToSignedUrls": urls}))
            with pytest.raises(UpstreamAnswerInvalid):
                await world.upload(LINES)
            assert await world.stored() == []

    @pytest.mark.parametrize("answer", [{}, {"filenameToSignedUrls": {}}, {"filenameToSignedUrls": {"some.jsonl": ""}}])
    async def test_that_is_not_there_yet_does_not_say_that_the_dataset_is_gone(self, world: World, answer: Any) -> None:
        file = await world.upload(LINES)
        world.fake.plan(Fault("refuse", operation="place", status=200, body=answer))
        with pytest.raises(ProviderRefused) as caught:
            await world.download(file.id)
        assert (caught.value.status, caught.value.code) == (400, "file_not_ready")
        assert await world.download(file.id) == LINES

    @pytest.mark.parametrize("answer", [[], "x", {"filenameToSignedUrls": []}, {"filenameToSignedUrls": None}])
    async def test_in_an_answer_without_shape_is_none(self, world: World, answer: Any) -> None:
        file = await world.upload(LINES)
        world.fake.plan(Fault("refuse", operation="place", status=200, body=answer))
        with pytest.raises(UpstreamAnswerInvalid):
            await world.download(file.id)

    async def test_that_has_run_out_is_the_provider_s_refusal(self, world: World) -> None:
        file = await world.upload(LINES)
        world.fake.plan(Fault("refuse", operation="content", status=403, body=b"<Error><Code>ExpiredToken</Code></Error>"))
        with pytest.raises(ProviderRefused) as caught:
            await world.download(file.id)
        assert caught.value.status == 403

    async def test_is_told_to_nobody_by_a_refusal_that_repeats_it(self, world: World) -> None:
        file = await world.upload(LINES)
        url = f"{world.fake.url}/bucket/object?X-Signature=0123456789abcdef%2F0123&X-Method=GET"
        world.fake.plan(Fault("refuse", operation="place", status=200, body={"filenameToSignedUrls": {"a.jsonl": url}}))
        message = f"No: {url}, 0123456789abcdef/0123, 0123456789abcdef%2F0123"
        world.fake.plan(Fault("refuse", call=2, status=403, body=f"<Error><Code>No</Code><Message>{escape(message)}</Message></Error>"))
        with pytest.raises(ProviderRefused, match="No:") as caught:
            await world.download(file.id)
        assert "0123456789" not in repr(vars(caught.value))

    async def test_of_a_session_with_its_long_token_is_called(self, world: World) -> None:
        file = await world.upload(LINES)
        await world.download(file.id)
        [signed] = world.fake.requests_for("content")
        for characters, allowed in ((3_000, True), (9_000, False)):
            url = f"{world.fake.url}{signed.path}?{urlencode({**signed.query, 'X-Amz-Security-Token': 'A' * characters})}"
            world.fake.plan(Fault("refuse", operation="place", status=200, body={"filenameToSignedUrls": {"some.jsonl": url}}))
            if allowed:
                assert await world.download(file.id) == LINES
                continue
            with pytest.raises(UpstreamAnswerInvalid):
                await world.download(file.id)

    async def test_is_called_without_what_a_caller_forwards(self, world: World) -> None:
        file = await world.upload(LINES)
        forwarding = replace(world, target=replace(world.target, forward_headers=(("X-Mine", "yes"),)))
        assert await forwarding.download(file.id) == LINES
        [asked], [got] = world.fake.requests_for("place"), world.fake.requests_for("content")
        assert asked.headers["x-mine"] == "yes"
        assert not {"x-mine", "authorization", "cookie", "referer"} & set(got.headers)


class TestADatasetOfSeveralFiles:
    async def _results(self, world: World, **files: bytes) -> str:
        file = await world.upload(b"-")
        api(world).datasets[SECRET, file.id].names = {name.replace("_", "."): content for name, content in files.items()}
        return file.id

    async def test_is_read_in_the_order_of_their_names_each_beginning_on_a_line_of_its_own(self, world: World) -> None:
        file_id = await self._results(world, c_jsonl=b"5\n", a_jsonl=b"1\n2", b_jsonl=b"3\n4\n", e_jsonl=b"", f_jsonl=b"6")
        async with world.provider.open(world.target, file_id, ByteRange(0, 1)) as content:
            assert (content.status, content.length, content.served) == (200, None, None)
            assert b"".join([piece async for piece in content]) == b"1\n2\n3\n4\n5\n6"

    async def test_is_read_without_the_failures_that_a_job_puts_beside_its_results(self, world: World) -> None:
        file_id = await self._results(world, BIJOutputSet_jsonl=b"good\n", errorX_jsonl=b"bad\n")
        assert await world.download(file_id) == b"good\n"
        only = await self._results(world, errorX_jsonl=b"bad\n")
        assert await world.download(only) == b"bad\n"

    async def test_that_breaks_off_in_the_second_is_not_taken_for_whole(self, world: World) -> None:
        file_id = await self._results(world, a_jsonl=b"1\n", b_jsonl=b"2\n")
        world.fake.plan(Fault("close_response_at", operation="content", call=2, at=1))
        with pytest.raises(UpstreamUnreachable):
            await world.download(file_id)

    async def test_takes_no_second_connection_while_it_has_one(self) -> None:
        async with new_world("fireworks", FIELDS, egress_connections=4, egress_connect_seconds=2.0) as world:
            alone = replace(world, target=replace(world.target, caller="a project, which has one of four"))
            file_id = await self._results(world, a_jsonl=b"1\n", b_jsonl=b"2\n", c_jsonl=b"3\n")
            assert await alone.download(file_id) == b"1\n2\n3\n"

    async def test_that_is_left_amid_the_second_closes_its_connection(self, world: World) -> None:
        file_id = await self._results(world, a_jsonl=b"1\n", b_jsonl=b"2\n" * 8_000_000)
        async with world.provider.open(world.target, file_id) as content:
            pieces = aiter(content)
            assert [await anext(pieces), (await anext(pieces))[:2]] == [b"1\n", b"2\n"]
            others = world.fake.open_connections - 1
        await eventually(lambda: world.fake.open_connections == others, "the connection is closed")


@pytest.mark.parametrize("account", ["", "a/b", "a.b", "..", "a b", "-a", "x" * 64])
async def test_an_account_that_is_none_is_refused_before_anything_is_sent(world: World, account: str) -> None:
    target = replace(world.target, fields={"fireworks_account_id": account})
    for call in (world.provider.get(target, "x"), world.provider.list(target, RemoteQuery()), world.provider.delete(target, "x")):
        with pytest.raises(InvalidValue) as caught:
            await call
        assert caught.value.param == "x-portkey-fireworks-account-id"
    assert world.fake.requests == []


async def test_an_id_with_a_call_in_it_is_not_found_and_never_sent(world: World) -> None:
    for call in (world.provider.get, world.provider.delete):
        with pytest.raises(FileNotFound):
            await call(world.target, "x:validateUpload")
    assert world.fake.requests == []


async def test_a_list_of_more_than_a_page_is_walked_to_its_end(world: World) -> None:
    made = [(await world.upload(b"x")).id for _ in range(3)]
    row = {"name": "accounts/my-account/datasets/{}", "state": "READY", "createTime": "2026-01-02T03:04:05Z"}
    first = {"datasets": [{**row, "name": row["name"].format("old-1")}], "nextPageToken": "after-0"}
    world.fake.plan(Fault("refuse", operation="list", status=200, body=first))
    page = await world.provider.list(world.target, RemoteQuery(limit=10))
    assert [file.id for file in page.files][-1] == "old-1"
    assert {file.id for file in page.files} == {*made, "old-1"}
    assert [request.query for request in world.fake.requests_for("list")] == [
        {"pageSize": "200"},
        {"pageSize": "200", "pageToken": "after-0"},
    ]


async def test_it_is_called_at_its_own_address_without_a_custom_host() -> None:
    async with new_world("fireworks", FIELDS) as world:
        target = Target("fireworks-ai", {"api_key": Secret(SECRET)}, FIELDS, custom_host=None)
        access = await world.provider._access_to(target, world.provider._dialect_of(target))  # type: ignore[attr-defined]
        assert access.url("/datasets") == "https://api.fireworks.ai/v1/accounts/my-account/datasets"


async def test_its_sdk_finds_what_was_uploaded(either: World) -> None:
    made = await either.upload(LINES, filename="some.jsonl")

    def read_back() -> None:
        with Sdk(api_key=SECRET, account_id="my-account", base_url=either.fake.url, max_retries=0) as client:
            [listed] = list(client.datasets.list())
            described = client.datasets.get(made.id)
            for dataset in (listed, described):
                assert (dataset.name, dataset.display_name) == (f"accounts/my-account/datasets/{made.id}", "some.jsonl")
                assert dataset.example_count == "3"
                assert dataset.create_time is not None
                assert int(dataset.create_time.timestamp()) == made.created_at
            urls = client.datasets.get_download_endpoint(made.id).filename_to_signed_urls
            assert urls is not None
            assert httpx.get(urls["some.jsonl"], trust_env=False).content == LINES
            client.datasets.delete(made.id)

    await asyncio.to_thread(read_back)
    assert (await either.provider.list(either.target, RemoteQuery())).files == ()


@pytest.mark.parametrize(("more", "at_once"), [(0, True), (1, False)])
async def test_the_limit_itself_still_goes_at_once(world: World, more: int, *, at_once: bool) -> None:
    bounded = replace(world, provider=Fireworks(world.egress, lambda _: FIREWORKS, most_at_once=100))
    file = await bounded.upload(b"x" * (100 + more))
    assert world.fake.requests_for("upload")[0].path.endswith(":upload") is at_once
    assert await world.download(file.id) == b"x" * (100 + more)


@pytest.mark.full
async def test_a_file_beyond_150_mb_arrives_to_the_byte(world: World) -> None:
    line = '{"text": "naïve 文件 🎉"}\n'.encode() * 32_768
    times = MOST_AT_ONCE // len(line) + 1

    async def source() -> AsyncIterator[bytes]:
        for _ in range(times):
            yield line

    file = await world.upload(source=source(), length=times * len(line), lines=times * 32_768)
    assert [request.operation for request in world.fake.requests] == ["create", "endpoint", "upload", "validate"]
    kept = hashlib.sha256()
    async with world.provider.open(world.target, file.id) as content:
        async for piece in content:
            kept.update(piece)
    assert kept.hexdigest() == hashlib.sha256(line * times).hexdigest()
