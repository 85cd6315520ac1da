"""An upload to a bucket whose outcome nobody knows is found again by its own mark, whatever was made of its bytes on the way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fileplane.catalog import CatalogFile, CatalogQuery, Claim, NewUpload
from fileplane.clock import SystemClock
from fileplane.errors import UpstreamOutcomeUnknown
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.files.reconciling import Reconciler
from fileplane.files.remote_route import RemoteTarget
from fileplane.providers.base import Mark, RemoteFile, RemoteUpload
from fileplane.testing.fake_provider import Fault
from fileplane.testing.faults import Plan
from fileplane.testing.metadata_store_suite import NOBODY
from fileplane.testing.provider_world import new_world
from gateway.test_every_point import ORIGIN, Place, new_place
from support.transforms import batch_line

LINES = (json.dumps(batch_line("one")) + "\n").encode()
BUCKETS = {
    "bedrock": {"aws_region": "us-east-1", "aws_s3_bucket": "files", "provider_model": "anthropic.claude-3-haiku-20240307-v1:0"},
    "vertex-ai": {"vertex_storage_bucket_name": "fake-bucket", "provider_model": "gemini-2.5-flash"},
}


@asynccontextmanager
async def a_bucket(provider: str, directory: Path) -> AsyncIterator[Place]:
    quick = {"egress_first_byte_seconds": 1.0, "egress_idle_seconds": 1.0}
    async with new_place(directory) as place, new_world(provider, BUCKETS[provider], **quick) as world:
        yield replace(place, world=world)


async def lost(place: Place) -> CatalogFile:
    """An upload that was sent, and of which nobody lived to tell."""
    new = NewUpload(place.key.id, "batch", "a.jsonl", "application/jsonl", "key")
    return (await place.store.reserve_upload(place.project.id, new, Claim("somebody who died", 0), NOBODY)).file


async def sent(place: Place, mark: str | None) -> RemoteFile:
    async def content() -> AsyncIterator[bytes]:
        yield LINES

    async with aclosing(content()) as bytes_of_it:
        upload = RemoteUpload("batch", "a.jsonl", "application/jsonl", bytes_of_it, mark=mark)
        return await place.world.provider.upload(place.world.target, upload)


async def reconciled(place: Place) -> list[CatalogFile]:
    async def target_of(_project_id: str, _virtual_key_id: str) -> RemoteTarget:
        return place.route().plan[0]  # type: ignore[return-value]

    assert await Reconciler(place.store, target_of, SystemClock()).run() == 1
    return list((await place.store.list_catalog_files(place.project.id, CatalogQuery((place.key.id,), 9))).files)


@pytest.mark.parametrize("provider", sorted(BUCKETS))
async def test_a_transformed_upload_of_unknown_outcome_is_found_by_its_mark_and_no_other_is_taken_for_it(
    provider: str, tmp_path: Path
) -> None:
    async with a_bucket(provider, tmp_path / "place") as place:
        row = await lost(place)
        for mark in (None, "01890000-0000-7000-8000-000000000000"):
            await sent(place, mark)
        made = await sent(place, row.id)
        [found] = await reconciled(place)
        assert (found.id, found.provider_file_id, found.bytes, found.transformed) == (row.id, made.id, made.bytes, True)
        assert await place.store.unresolved_files(None, 9) == []


async def test_an_upload_that_is_never_answered_is_marked_and_found(tmp_path: Path) -> None:
    async def form() -> AsyncIterator[UploadEvent]:
        yield FormField("purpose", "batch")
        yield FileBegins("a.jsonl", "application/jsonl")
        yield LINES

    async with a_bucket("bedrock", tmp_path / "place") as place:
        place.world.fake.plan(Fault("hang", operation="upload"))
        with pytest.raises(UpstreamOutcomeUnknown):
            await place.files(Plan({})).create(place.route(), place.principal, ORIGIN, form(), 1 << 20, None)
        [row] = await place.store.unresolved_files(None, 9)
        [found] = await reconciled(place)
        assert (found.id, found.transformed) == (row.id, True)


@pytest.mark.parametrize("text", [None, 1, "", "x", "0" * 36 + " changed", "0" * 37, "0" * 36 + "\n", f" {'0' * 36}"])
def test_what_is_no_mark_is_none(text: object) -> None:
    assert Mark.read(text) is None


@pytest.mark.parametrize("transformed", [True, False])
def test_a_mark_is_read_as_it_was_written(*, transformed: bool) -> None:
    mark = Mark("01890000-0000-7000-8000-000000000000", transformed)
    assert Mark.read(str(mark)) == mark
