"""What AWS Bedrock's adapter does that no other does: parts, metadata, encryption, keys of objects, regions, lines in a model's form."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest

from fileplane.errors import (
    FileNotFound,
    FileTooLarge,
    InvalidValue,
    ProviderRefused,
    UnsupportedProviderOperation,
    UpstreamAnswerInvalid,
    UpstreamOutcomeUnknown,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers import bedrock_listing, bedrock_upload
from fileplane.providers.aws_credentials import AwsCredentials
from fileplane.providers.base import ByteRange, RemoteQuery
from fileplane.providers.bedrock_calls import Calls
from fileplane.providers.object_ids import parse_object_id
from fileplane.testing.fake_provider import Fault
from fileplane.testing.fake_provider.s3 import BUCKET, S3Api
from fileplane.testing.provider_world import SECRET, World, eventually, new_world, pattern

FIELDS = {"aws_region": "us-east-1", "aws_s3_bucket": BUCKET, "file_purpose": "upload"}
NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
NO_BUCKET = b"<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message></Error>"
SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>No.</Message></Error>"
CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
LINE = {
    "custom_id": "one",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "日本"}]},
}
RESULT = {
    "recordId": "one",
    "modelInput": {},
    "modelOutput": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": CLAUDE,
        "content": [{"type": "text", "text": "本"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 2},
    },
}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world("bedrock", FIELDS) as world:
        yield world


def s3_of(world: World) -> S3Api:
    assert isinstance(world.fake.own_api, S3Api)
    return world.fake.own_api


def told(world: World, *, stored: bool = False, **fields: str) -> World:
    """The same, where the target says something else; an empty text takes a field away."""
    merged = {name: text for name, text in {**world.target.fields, **fields}.items() if text}
    return replace(world, target=replace(world.target, fields=merged, stored=stored))


def key_of(file_id: str) -> str:
    place = parse_object_id(file_id)
    assert place is not None
    return place.key


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(1 << 20)


async def test_a_file_of_three_parts_is_put_together_of_parts_that_s3_takes(world: World) -> None:
    body = pattern((20 << 20) + 123)
    file = await world.upload(body, announced=False)
    assert file.bytes == len(body)
    sent = [request for request in world.fake.requests if request.operation == "upload.part"]
    assert [request.body_bytes for request in sent] == [8 << 20, 8 << 20, (4 << 20) + 123]
    assert len({request.connection for request in sent}) == 3
    assert await world.download(file.id) == body
    assert s3_of(world).unfinished == {}


@pytest.mark.parametrize("size", [8 << 20, (8 << 20) + 1], ids=["one part", "a byte more"])
async def test_what_fits_into_one_part_is_sent_in_one_request(world: World, size: int) -> None:
    file = await world.upload(pattern(size), announced=False)
    operations = [request.operation for request in world.fake.requests]
    assert operations == (["upload"] if size == 8 << 20 else ["upload.create", "upload.part", "upload.part", "upload.complete"])
    assert file.bytes == size


@pytest.mark.parametrize("cancelled", [False, True], ids=["fails", "is cancelled"])
async def test_nothing_is_left_of_an_upload_whose_source_ends_in_its_third_part(world: World, *, cancelled: bool) -> None:
    class ClientLeft(Exception):
        pass

    reached = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield pattern(20 << 20)
        reached.set()
        if cancelled:
            await asyncio.Event().wait()
        raise ClientLeft

    uploading = asyncio.ensure_future(world.upload(source=source(), length=None))
    await reached.wait()
    assert len(s3_of(world).unfinished) == 1
    if cancelled:
        uploading.cancel()
    with pytest.raises(asyncio.CancelledError if cancelled else ClientLeft):
        await uploading
    assert s3_of(world).unfinished == {}
    assert await world.stored() == []
    assert world.fake.requests[-1].operation == "upload.abort"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (
            Fault("refuse", operation="upload.part", call=2, status=503, body=SLOW_DOWN),
            ProviderRefused,
        ),
        (Fault("refuse", operation="upload.part", call=2, status=504), ProviderRefused),
        (Fault("close_request_at", operation="upload.part", call=2, at=1_000), UpstreamUnreachable),
        (Fault("close_response_at", operation="upload.part", at=-1), UpstreamUnreachable),
        (Fault("refuse", operation="upload.complete", status=400, body="<Error><Code>InvalidPart</Code></Error>"), ProviderRefused),
        (Fault("refuse", operation="upload.complete", status=200, body="<Error><Code>InternalError</Code></Error>"), ProviderRefused),
        (Fault("garbage", operation="upload.complete"), UpstreamOutcomeUnknown),
        (Fault("html", operation="upload.complete", status=502), UpstreamOutcomeUnknown),
        (Fault("close_response_at", operation="upload.complete", at=-1), UpstreamOutcomeUnknown),
        (Fault("close_response_at", operation="upload.complete", at=20), UpstreamOutcomeUnknown),
    ],
    ids=lambda value: f"{value.operation} {value.kind} {value.status or value.at}" if isinstance(value, Fault) else "",
)
async def test_an_upload_in_parts_that_fails_is_aborted_and_unknown_only_at_its_very_end(
    world: World, fault: Fault, error: type[Exception]
) -> None:
    world.fake.plan(fault)
    with pytest.raises(error) as caught:
        await world.upload(pattern(17 << 20))
    assert isinstance(caught.value, UpstreamOutcomeUnknown) == (error is UpstreamOutcomeUnknown)
    assert s3_of(world).unfinished == {}
    assert world.fake.requests[-1].operation == "upload.abort"


async def test_an_upload_whose_end_failed_and_that_is_no_more_may_be_a_file(world: World) -> None:
    for status, error in ((500, UpstreamOutcomeUnknown), (400, ProviderRefused)):
        world.fake.plan(Fault("refuse", operation="upload.complete", status=status), Fault("refuse", operation="upload.abort", status=404))
        with pytest.raises(error) as caught:
            await world.upload(pattern(9 << 20))
        assert isinstance(caught.value, UpstreamOutcomeUnknown) == (status == 500)
        world.fake.reset()
        world.fake.plan(Fault("refuse", operation="upload.complete", status=status))
        with pytest.raises(ProviderRefused):
            await world.upload(pattern(9 << 20))


async def test_an_abort_is_tried_again_and_an_upload_whose_beginning_was_cancelled_is_aborted_too(world: World) -> None:
    world.fake.plan(Fault("refuse", operation="upload.abort", status=500), Fault("refuse", operation="upload.part", status=500))
    with pytest.raises(ProviderRefused):
        await world.upload(pattern(9 << 20))
    assert s3_of(world).unfinished == {}
    world.fake.reset()
    world.fake.plan(Fault("drip", operation="upload.create", bytes_per_second=400))
    uploading = asyncio.ensure_future(world.upload(source=endless(), length=None))
    await eventually(lambda: s3_of(world).unfinished, "the upload has begun")
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    await eventually(lambda: not s3_of(world).unfinished, "it is aborted once its id is known")


async def test_the_target_s_timeout_holds_for_all_parts_together(world: World) -> None:
    hasty = replace(world, target=replace(world.target, request_timeout_seconds=0.5))
    world.fake.plan(Fault("hang_before", operation="upload.part", call=2))
    with pytest.raises(UpstreamTimeout):
        await hasty.upload(pattern(17 << 20))
    assert s3_of(world).unfinished == {}


async def test_more_parts_than_s3_takes_are_refused_and_leave_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bedrock_upload, "MOST_PARTS", 2)
    with pytest.raises(FileTooLarge):
        await world.upload(pattern(17 << 20))
    assert (s3_of(world).unfinished, await world.stored()) == ({}, [])
    assert world.capabilities.max_bytes == 10_000 * (8 << 20)


async def test_an_object_says_what_the_file_is_and_has_the_encryption_that_is_asked_for(world: World) -> None:
    kms = {"amz_server_side_encryption": "aws:kms", "amz_server_side_encryption_aws_kms_key_id": "alias/files"}
    encrypted = told(world, **kms)
    for size in (10, 9 << 20):
        file = await encrypted.upload(pattern(size), filename="a 文件.csv", purpose="user_data")
        said = s3_of(world).said[f"{BUCKET}/{key_of(file.id)}"]
        assert unquote(said["x-amz-meta-filename"]) == "a 文件.csv"
        assert said["x-amz-meta-filename"].isascii()
        assert said["x-amz-meta-purpose"] == "user_data"
        assert said["x-amz-server-side-encryption"] == "aws:kms"
        assert said["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/files"
        assert key_of(file.id).endswith("/user_data/file.csv")


async def test_a_key_of_ones_own_is_taken_as_it_is_only_with_a_credential_of_ones_own(world: World) -> None:
    own = told(world, provider_file_name="in/a b+ü.jsonl")
    file = await own.upload(b"mine")
    assert file.id == "s3%3A%2F%2Ffiles%2Fin%2Fa%20b%2B%C3%BC.jsonl"
    assert (await own.provider.get(own.target, file.id)).filename == "some.jsonl"
    assert await own.download(file.id) == b"mine"
    shared = told(world, stored=True, provider_file_name="in/a b+ü.jsonl")
    other = await shared.upload(b"theirs")
    assert key_of(other.id).startswith("fileplane/")
    assert key_of(other.id).endswith("/batch/in/a b+ü.jsonl")
    assert await own.download(file.id) == b"mine"
    listed = await world.provider.list(world.target, RemoteQuery())
    assert [one.id for one in listed.files] == [other.id]
    for wrong in ("../x", "a/../b", "x" * 1_025, "é" * 400):
        with pytest.raises(InvalidValue):
            await told(world, provider_file_name=wrong).upload()
    with pytest.raises(InvalidValue):
        await world.upload(purpose="..")


async def test_no_upload_beside_a_stored_credential_is_named_as_results_are_whose_bytes_are_transformed(world: World) -> None:
    for fields in ({}, {"file_purpose": "upload"}):
        with pytest.raises(InvalidValue) as refused:
            await told(world, stored=True, provider_file_name="my.jsonl.out", **fields).upload(purpose="user_data")
        assert refused.value.param == "x-portkey-provider-file-name"
    assert await world.stored() == []


async def test_objects_that_others_put_there_can_be_read_and_are_not_listed(world: World) -> None:
    s3_of(world).put(SECRET, "results/x.bin", b"0123456789")
    s3_of(world).put(SECRET, "fileplane/notes.txt", b"a note")
    file = await world.provider.get(world.target, "s3://files/results/x.bin")
    assert (file.id, file.bytes, file.filename, file.purpose) == ("s3%3A%2F%2Ffiles%2Fresults%2Fx.bin", 10, "x.bin", None)
    assert await world.download(file.id, ByteRange(2, 4)) == b"234"
    assert (await world.provider.list(world.target, RemoteQuery())).files == ()
    await world.provider.delete(world.target, file.id)
    for operation in (world.provider.get, world.provider.delete):
        with pytest.raises(FileNotFound):
            await operation(world.target, file.id)
    with pytest.raises(FileNotFound):
        await world.download(file.id)


async def test_an_object_of_another_bucket_is_not_found_and_never_asked_for(world: World) -> None:
    for file_id in ("s3://other/results/x", "s3%3A%2F%2Fother%2Fx", "gs://files/x", "s3%253A%252F%252Ffiles%252Fx", "s3://files/a/../b"):
        for operation in (world.provider.get, world.provider.delete, world.download):
            with pytest.raises(FileNotFound):
                await (operation(file_id) if operation == world.download else operation(world.target, file_id))  # type: ignore[operator]
    assert world.fake.requests == []


async def test_the_list_is_true_across_s3_s_own_pages_and_says_when_it_cannot_be(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bedrock_listing, "_PAGE", 2)
    made = [(await world.upload(b"x", purpose=("batch", "user_data")[number % 2])).id for number in range(7)]
    for newest_first in (True, False):
        pages = await world.every_page(RemoteQuery(limit=3, newest_first=newest_first))
        assert [file.id for page in pages for file in page.files] == (made[::-1] if newest_first else made)
        pages = await world.every_page(RemoteQuery(limit=2, purpose="user_data", newest_first=newest_first))
        assert [file.id for page in pages for file in page.files] == (made[1::2][::-1] if newest_first else made[1::2])
    with pytest.raises(InvalidValue) as caught:
        await world.provider.list(world.target, RemoteQuery(after=made[0], purpose="user_data"))
    assert caught.value.param == "after"
    monkeypatch.setattr(bedrock_listing, "MOST_WALKED", 4)
    assert len((await world.provider.list(world.target, RemoteQuery(limit=3, newest_first=False))).files) == 3
    with pytest.raises(UnsupportedProviderOperation, match="first 4 objects below fileplane/") as refused:
        await world.provider.list(world.target, RemoteQuery(limit=3))
    assert refused.value.param == "order"


def absent(world: World, times: int, body: bytes = NO_KEY) -> None:
    """A HEAD has no words; what they would have been a GET tells."""
    world.fake.plan(Fault("refuse", operation="get", status=404, times=times))
    world.fake.plan(Fault("refuse", operation="content", status=404, body=body, times=times))


@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_page_whose_files_were_all_deleted_meanwhile_goes_on_with_those_behind_it(world: World, *, newest_first: bool) -> None:
    made = [(await world.upload(b"x")).id for _ in range(3)]
    absent(world, 2)
    page = await world.provider.list(world.target, RemoteQuery(limit=1, newest_first=newest_first))
    assert ([file.id for file in page.files], page.has_more) == ([made[0 if newest_first else 2]], False)


async def test_a_list_of_objects_of_which_none_is_ever_found_has_an_end(world: World) -> None:
    for _ in range(7):
        await world.upload(b"x")
    absent(world, 100)
    with pytest.raises(UpstreamAnswerInvalid):
        await world.provider.list(world.target, RemoteQuery(limit=1))
    assert (await world.provider.list(world.target, RemoteQuery(limit=10))).files == ()


@pytest.mark.parametrize("token", ["<NextContinuationToken>again</NextContinuationToken>", ""])
async def test_a_list_that_never_ends_is_refused_and_not_taken_for_whole(world: World, token: str) -> None:
    body = f"<ListBucketResult><IsTruncated>true</IsTruncated>{token}</ListBucketResult>"
    world.fake.plan(Fault("refuse", operation="list", status=200, body=body, times=1_000))
    with pytest.raises(UpstreamAnswerInvalid, match="no end"):
        await world.provider.list(world.target, RemoteQuery())


async def test_a_list_of_empty_pages_each_with_another_token_is_not_followed_without_end(world: World) -> None:
    for number in range(1, 100):
        token = f"<NextContinuationToken>{number}</NextContinuationToken>"
        body = f"<ListBucketResult><IsTruncated>true</IsTruncated>{token}</ListBucketResult>"
        world.fake.plan(Fault("refuse", operation="list", call=number, status=200, body=body))
    with pytest.raises(UpstreamAnswerInvalid, match="20 pages in a row without any"):
        await world.provider.list(world.target, RemoteQuery())
    assert len(world.fake.requests_for("list")) < 50


async def test_one_key_that_no_xml_can_have_does_not_hide_the_others_and_special_characters_stay_as_they_are(world: World) -> None:
    made = (await world.upload(b"x")).id
    uuid = key_of(made).split("/")[1]
    special = f"fileplane/{uuid}/batch/a b+c & ü <文>!'()*~=.jsonl"
    for key in (special, f"fileplane/{uuid}/batch/bell\x07\x01.jsonl", "fileplane/\x00"):
        s3_of(world).put(SECRET, key, b"{}\n")
    for newest_first in (True, False):
        page = await world.provider.list(world.target, RemoteQuery(newest_first=newest_first))
        assert {key_of(file.id) for file in page.files} == {key_of(made), special}
    page = await world.provider.list(world.target, RemoteQuery(after=page.files[0].id, newest_first=False))
    assert [key_of(file.id) for file in page.files] == [key_of(made)]


async def test_a_store_that_encodes_no_keys_is_listed_as_well(world: World) -> None:
    made = await world.upload(b"x")
    key = key_of(made.id).replace("file.jsonl", "a%20b+c.jsonl")
    s3_of(world).put(SECRET, key.replace("a%20b", "a b"), b"{}\n")
    rows = f"<Contents><Key>{key_of(made.id)}</Key></Contents><Contents><Key>{key.replace('a%20b', 'a b')}</Key></Contents>"
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
    world.fake.plan(Fault("refuse", operation="list", status=200, body=body))
    page = await world.provider.list(world.target, RemoteQuery())
    assert {key_of(file.id).rpartition("/")[2] for file in page.files} == {key_of(made.id).rpartition("/")[2], "a b+c.jsonl"}


async def test_an_upload_that_s3_names_by_too_long_an_id_is_the_provider_s_failure_and_not_the_caller_s(world: World) -> None:
    body = f"<InitiateMultipartUploadResult><UploadId>{'u' * 3_000}</UploadId></InitiateMultipartUploadResult>"
    world.fake.plan(Fault("refuse", operation="upload.create", status=200, body=body))
    with pytest.raises(UpstreamAnswerInvalid, match="too long an id") as caught:
        await world.upload(pattern(9 << 20))
    assert caught.value.status == 502
    assert world.fake.requests_for("upload.part") == []


async def test_a_key_that_says_it_was_made_in_the_far_future_does_not_date_its_object(world: World) -> None:
    crafted = "fileplane/ffffffff-ffff-7fff-8fff-ffffffffffff/batch/x.jsonl"
    s3_of(world).put(SECRET, crafted, b"{}\n")
    before = int(time.time())
    found = await world.provider.get(world.target, f"s3://{BUCKET}/{crafted}")
    [listed] = (await world.provider.list(world.target, RemoteQuery())).files
    uploaded = await told(world, provider_file_name=crafted).upload(b"{}\n")
    for file in (found, listed, uploaded):
        assert file.created_at is not None
        assert abs(file.created_at - before) < 3_600


async def test_a_credential_that_s3_repeats_is_told_to_nobody_wherever_it_stands(world: World) -> None:
    canary = world.target.secrets["aws_secret_access_key"].reveal()
    refusal = f"<Error><Code>{canary}</Code><Message>You sent {canary}. {'x' * 5_000}</Message></Error>"
    world.fake.plan(Fault("refuse", operation="upload.complete", status=200, body=refusal))
    with pytest.raises(ProviderRefused, match="You sent") as caught:
        await world.upload(pattern(9 << 20))
    assert len(caught.value.message) < 1_100
    assert canary not in repr(vars(caught.value))
    file = await world.upload()
    world.fake.plan(Fault("refuse", operation="get", status=400, headers={"x-amz-bucket-region": canary}))
    with pytest.raises(ProviderRefused) as elsewhere:
        await world.provider.get(world.target, file.id)
    assert canary not in repr(vars(elsewhere.value))
    s3_of(world).said[f"{BUCKET}/{key_of(file.id)}"] |= {"x-amz-meta-filename": f"of {canary}", "x-amz-meta-purpose": f"%20{canary}"}
    described = await world.provider.get(world.target, file.id)
    assert canary not in repr(described)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"aws_region": "eu-west-1"}, 400, "expecting 'us-east-1'.*aws_region"),
        ({"aws_s3_bucket": "no-such-bucket"}, 404, "no bucket 'no-such-bucket'"),
    ],
)
async def test_a_region_or_bucket_that_is_wrong_is_told_as_that(world: World, fields: dict[str, str], status: int, words: str) -> None:
    wrong = told(world, **fields)
    for call in (wrong.upload, lambda: wrong.provider.list(wrong.target, RemoteQuery())):
        with pytest.raises(ProviderRefused, match=words) as caught:
            await call()
        assert caught.value.status == status


async def test_a_bucket_that_is_elsewhere_and_a_clock_that_is_wrong_are_told_as_that(world: World) -> None:
    file = await world.upload()
    body = "<Error><Code>PermanentRedirect</Code><Message>Use another.</Message><Endpoint>files.s3.amazonaws.com</Endpoint></Error>"
    for call in (lambda: world.provider.get(world.target, file.id), lambda: world.download(file.id), world.upload):
        world.fake.plan(Fault("refuse", status=301, body=body, headers={"x-amz-bucket-region": "eu-west-1"}))
        with pytest.raises(ProviderRefused, match=r"another region, eu-west-1\. Set aws_region") as caught:
            await call()
        assert (caught.value.status, caught.value.code) == (400, "PermanentRedirect")
    world.fake.accounts.ahead_seconds = 3_600
    with pytest.raises(ProviderRefused, match="clock of the machine") as skewed:
        await world.upload()
    assert skewed.value.code == "RequestTimeTooSkewed"


async def test_a_wrong_secret_is_refused_in_s3_s_words_and_told_to_nobody(world: World) -> None:
    other = replace(world.target, secrets={**world.target.secrets, "aws_secret_access_key": world.target.secrets["aws_access_key_id"]})
    with pytest.raises(ProviderRefused, match="does not match") as caught:
        await replace(world, target=other).upload()
    assert (caught.value.status, caught.value.code) == (403, "SignatureDoesNotMatch")
    assert world.target.secrets["aws_access_key_id"].reveal() not in str(vars(caught.value))


async def test_no_command_of_s3_s_can_be_forwarded(world: World) -> None:
    for name in ("x-amz-copy-source", "X-Amz-Acl", "x-amz-meta-purpose"):
        with pytest.raises(InvalidValue, match=name.lower()):
            await replace(world, target=replace(world.target, forward_headers=((name, "x"),))).upload()
    assert world.fake.requests == []


async def test_lines_are_put_into_the_form_of_the_model_that_is_named(world: World) -> None:
    for_claude = told(world, file_purpose="", provider_model=CLAUDE)
    content = (json.dumps(LINE, ensure_ascii=False) + "\n").encode()
    file = await for_claude.upload(content, pieces=7)
    [stored] = await world.stored()
    line: dict[str, Any] = json.loads(stored)
    assert line["recordId"] == "one"
    assert "日本" in stored.decode()
    assert (file.transformed, file.bytes, file.purpose) == (True, len(stored), "batch")
    assert key_of(file.id).endswith("/batch/file.jsonl")
    assert await for_claude.download(file.id) == stored
    with pytest.raises(InvalidValue, match="Line 2") as caught:
        await for_claude.upload(content + b"no json\n")
    assert caught.value.param == "file"
    raw = await told(for_claude, file_purpose="upload").upload(content)
    assert (raw.transformed, raw.bytes) == (False, len(content))


async def test_a_file_that_needs_a_model_is_refused_with_what_to_send(world: World) -> None:
    for purpose in ("batch", "fine-tune"):
        with pytest.raises(InvalidValue, match=r"x-portkey-provider-model.*upload") as caught:
            await told(world, file_purpose="").upload(purpose=purpose)
        assert caught.value.param == "x-portkey-provider-model"
    with pytest.raises(InvalidValue, match="'fine-tune'") as caught:
        await told(world, file_purpose="fine-tune", provider_model=CLAUDE).upload(purpose="batch")
    assert caught.value.param == "x-portkey-file-purpose"
    assert world.fake.requests == []
    assert (await told(world, file_purpose="").upload(purpose="user_data")).transformed is False


async def test_results_of_a_batch_are_in_openai_s_form_unless_they_are_asked_for_as_they_are(world: World) -> None:
    raw = (json.dumps(RESULT) + "\n").encode()
    s3_of(world).put(SECRET, "results/job/file.jsonl.out", raw)
    reading = told(world, file_purpose="", provider_model=CLAUDE)
    file = await reading.provider.get(reading.target, "s3://files/results/job/file.jsonl.out")
    assert (file.purpose, file.transformed) == ("batch_output", True)
    async with reading.provider.open(reading.target, file.id, ByteRange(0, 3)) as content:
        assert (content.status, content.length, content.served) == (200, None, None)
        line = json.loads(b"".join([piece async for piece in content]))
    assert (line["custom_id"], line["response"]["status_code"]) == ("one", 200)
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "本"
    assert await world.download(file.id) == raw
    assert await world.download(file.id, ByteRange(0, 3)) == raw[:4]
    assert (await world.provider.get(world.target, file.id)).transformed is False


async def test_without_the_library_every_call_says_what_to_install(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fileplane.providers.aws_signing", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "botocore"]:
        monkeypatch.setitem(sys.modules, name, None)
    for call in (world.upload, lambda: world.provider.list(world.target, RemoteQuery()), lambda: world.download("s3://files/x")):
        with pytest.raises(UnsupportedProviderOperation, match=r"pip install fileplane\[s3\]"):
            await call()


async def test_connections_are_shared_by_calls_of_one_key_although_every_signature_is_another(world: World) -> None:
    files = [await world.upload() for _ in range(5)]
    for file in files:
        await world.provider.get(world.target, file.id)
    looks = world.fake.requests_for("get")
    assert len({request.headers["authorization"] for request in looks}) == 5
    assert len({request.connection for request in looks}) == 1


async def test_a_refusal_without_words_is_told_with_what_may_be_wrong(world: World) -> None:
    file = await world.upload()
    world.fake.plan(Fault("refuse", operation="get", status=403))
    with pytest.raises(ProviderRefused, match=r"says no more of a HEAD.*s3:ListBucket") as caught:
        await world.provider.get(world.target, file.id)
    assert caught.value.status == 403
    world.fake.plan(Fault("refuse", operation="get", status=400, headers={"x-amz-bucket-region": "eu-west-1"}))
    with pytest.raises(ProviderRefused, match=r"another region, eu-west-1"):
        await world.provider.get(world.target, file.id)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "https://files.s3.us-east-1.amazonaws.com/a%20b/%2B%C3%BC"),
        ({"aws_s3_bucket": "my.files"}, "https://s3.us-east-1.amazonaws.com/my.files/a%20b/%2B%C3%BC"),
        ({"aws_region": "cn-north-1"}, "https://files.s3.cn-north-1.amazonaws.com.cn/a%20b/%2B%C3%BC"),
    ],
    ids=["usual", "a bucket with a dot", "China"],
)
async def test_a_bucket_is_called_where_aws_has_it(world: World, fields: dict[str, str], url: str) -> None:
    target = replace(told(world, **fields).target, custom_host=None)
    assert Calls(world.egress, AwsCredentials(world.egress), target).url("a b/+ü") == url


async def test_a_404_of_what_stands_before_the_bucket_does_not_say_that_a_file_is_gone(world: World) -> None:
    file = await world.upload(b"kept")
    page = b"<html><h1>404 Not Found</h1></html>"
    for body in (page, NO_BUCKET):
        for operations, call in (
            (("get", "content"), lambda: world.provider.get(world.target, file.id)),
            (("get", "content"), lambda: world.provider.delete(world.target, file.id)),
            (("content",), lambda: world.download(file.id)),
            (("delete",), lambda: world.provider.delete(world.target, file.id)),
        ):
            for operation in operations:
                world.fake.plan(Fault("refuse", operation=operation, status=404, body=body))
            with pytest.raises(ProviderRefused) as caught:
                await call()
            assert caught.value.status == 404
    assert await world.download(file.id) == b"kept"


async def test_an_object_that_a_head_does_not_find_and_a_get_does_is_not_gone(world: World) -> None:
    file = await world.upload(b"kept")
    world.fake.plan(Fault("refuse", operation="get", status=404))
    with pytest.raises(UpstreamAnswerInvalid):
        await world.provider.get(world.target, file.id)
