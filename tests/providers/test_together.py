"""The adapter for Together keeps the promises of every provider, and its SDK finds what was uploaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from together import Together

from fileplane.errors import ProviderRefused
from fileplane.model import FileStatus
from fileplane.providers.base import RemoteQuery
from fileplane.testing.fake_provider import Fault, RecordedRequest
from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import ProviderTransfersSuite
from fileplane.testing.provider_world import SECRET, World, new_world

LINES = b'{"text": "na\xc3\xafve"}\n' * 3


class TestTogether(ProviderSuite):
    flavour = "together"
    names_apart = True
    form_parts = 4

    def is_call_on_files(self, world: World, request: RecordedRequest, file_id: str) -> bool:
        return request.path == "/v1/files/upload" or super().is_call_on_files(world, request, file_id)


@pytest.mark.full
class TestTogetherFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "together"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with new_world("together") as world:
        yield world


@pytest.mark.parametrize(
    ("filename", "fields"),
    [
        ("a.jsonl", [("file_name", "a.jsonl"), ("file_type", "jsonl")]),
        ("a.CSV", [("file_name", "a.CSV"), ("file_type", "csv")]),
        ("a.tar.parquet", [("file_name", "a.tar.parquet"), ("file_type", "parquet")]),
        ("a.txt", [("file_name", "a.txt")]),
        (".jsonl", [("file_name", ".jsonl")]),
    ],
)
async def test_a_form_names_the_file_and_its_type_before_its_bytes(world: World, filename: str, fields: list[tuple[str, str]]) -> None:
    await world.upload(filename=filename)
    [request] = world.fake.requests
    assert request.path == "/v1/files/upload"
    assert request.fields == [("purpose", "batch-api"), *fields, ("file", filename)]


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("PENDING", FileStatus.UPLOADED),
        ("QUEUED", FileStatus.UPLOADED),
        ("RUNNING", FileStatus.UPLOADED),
        ("COMPLETED", FileStatus.PROCESSED),
        ("FAILED", FileStatus.ERROR),
        ("INVALID_FORMAT", FileStatus.ERROR),
        (None, FileStatus.PROCESSED),
    ],
)
async def test_what_its_check_of_a_file_found_is_the_file_s_status(world: World, said: str | None, status: FileStatus) -> None:
    report = {"valid": False, "error": "Line 3 is no JSON.", "error_type": "INVALID_FORMAT"}
    described = {"id": "file-1", "bytes": 7, "created_at": 1, "filename": "x.jsonl", "purpose": "eval", "validation_report": report}
    world.fake.plan(Fault("refuse", status=200, body=described | ({} if said is None else {"processing_status": said})))
    file = await world.provider.get(world.target, "file-1")
    assert (file.status, file.status_details, file.purpose) == (status, "Line 3 is no JSON.", "evals")


async def test_results_of_batches_are_shown_and_found_as_such(world: World) -> None:
    written = {"id": "file-1", "bytes": 7, "created_at": 1, "filename": "out.jsonl", "purpose": "batch-generated"}
    world.fake.plan(Fault("refuse", status=200, body={"data": [written, {**written, "id": "file-2", "purpose": "eval"}]}))
    page = await world.provider.list(world.target, RemoteQuery(purpose="batch_output"))
    assert [(file.id, file.purpose) for file in page.files] == [("file-1", "batch_output")]


class TestAFileThatIsThereAlready:
    @pytest.mark.parametrize("announced", [True, False], ids=["of known length", "chunked"])
    async def test_it_is_what_the_upload_is_answered_with(self, world: World, *, announced: bool) -> None:
        first = await world.upload(LINES, filename="first.jsonl", purpose="fine-tune")
        again = await world.upload(LINES, filename="again.jsonl", purpose="fine-tune", announced=announced)
        assert (again.id, again.filename, again.purpose) == (first.id, "first.jsonl", "fine-tune")
        assert (again.bytes, again.created_at) == (len(LINES), first.created_at)
        assert not first.existed
        assert again.existed, "or an upload that is given up would take the other one's file away"
        assert await world.stored() == [LINES]

    async def test_its_own_purpose_is_shown_where_that_is_another_one(self, world: World) -> None:
        there = await world.upload(LINES, purpose="evals")
        world.fake.plan(Fault("refuse", operation="upload", status=409, body={"file_id": there.id}))
        assert (await world.upload(LINES, purpose="batch")).purpose == "evals"

    @pytest.mark.parametrize("file_id", ["file-unknown", "../x", "", None, 7])
    async def test_one_that_cannot_be_found_leaves_the_refusal_as_it_is(self, world: World, file_id: object) -> None:
        said = {"error": {"message": "There already."}, "file_id": file_id}
        world.fake.plan(Fault("refuse", operation="upload", status=409, body=said))
        with pytest.raises(ProviderRefused, match=r"There already\.") as caught:
            await world.upload()
        assert (caught.value.status, caught.value.definitive) == (409, True)
        assert all(request.path in {"/v1/files/upload", f"/v1/files/{file_id}"} for request in world.fake.requests)

    async def test_one_of_another_size_is_not_taken_for_the_same(self, world: World) -> None:
        other = await world.upload(b"other")
        world.fake.plan(Fault("refuse", operation="upload", status=409, body={"file_id": other.id}))
        with pytest.raises(ProviderRefused):
            await world.upload(b"longer than the other")

    async def test_one_is_not_believed_before_the_whole_file_was_sent(self, world: World) -> None:
        there = await world.upload(LINES)
        world.fake.plan(Fault("refuse_early", operation="upload", status=409, body={"file_id": there.id}))

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield bytes(1 << 16)
                await asyncio.sleep(0)

        with pytest.raises(ProviderRefused):
            await world.upload(source=endless(), length=None)
        assert world.fake.requests_for("get") == []


async def test_its_sdk_lists_describes_downloads_and_deletes_what_was_uploaded(world: World) -> None:
    made = await world.upload(LINES, filename="naïve 文件.jsonl", purpose="batch")

    def read_back() -> None:
        with Together(api_key=SECRET, base_url=world.fake.url, max_retries=0) as client:
            [listed] = client.files.list().data
            described = client.files.retrieve(made.id)
            for file in (listed, described):
                assert (file.id, file.bytes, file.filename) == (made.id, len(LINES), "naïve 文件.jsonl")
                assert (file.purpose, file.file_type, file.object) == ("batch-api", "jsonl", "file")
            assert client.files.content(made.id).read() == LINES
            assert client.files.delete(made.id).deleted is True

    await asyncio.to_thread(read_back)
    assert (await world.provider.list(world.target, RemoteQuery())).files == ()
