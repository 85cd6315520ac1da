"""What every provider with uploads in parts promises of them, as tests that run against its fake."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

import pytest

from fileplane.errors import (
    FileTooLarge,
    InvalidValue,
    ProviderRefused,
    UploadLost,
    UploadNotFound,
    UpstreamAnswerInvalid,
    UpstreamOutcomeUnknown,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers.part_uploads import NewPartUpload, PartBody, UploadsProvider, uploads_at
from fileplane.testing.fake_provider import Fault
from fileplane.testing.provider_world import World, assert_tells_no_secret, in_pieces, new_world, pattern

_CALLS = ("create", "part", "complete", "cancel")


class ProviderUploadsSuite:
    """Subclass it; every method is a promise."""

    flavour: ClassVar[str] = "openai"
    fields: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        async with new_world(self.flavour, self.fields) as world:
            yield world

    @pytest.fixture
    async def impatient_world(self) -> AsyncIterator[World]:
        deadlines: dict[str, Any] = {"egress_connect_seconds": 0.3, "egress_first_byte_seconds": 0.3, "egress_idle_seconds": 0.3}
        async with new_world(self.flavour, self.fields, **deadlines) as world:
            yield world

    async def test_parts_in_any_order_become_one_file_in_the_order_of_the_completion(self, world: World) -> None:
        pieces = [pattern(300_000), b"second", pattern(70_000)]
        upload_id = await created(world, sum(map(len, pieces)), filename='süß "a".jsonl', expires_after=7_200)
        later = [
            await added(world, upload_id, piece, announced=announced) for piece, announced in zip(pieces[1:], (True, False), strict=True)
        ]
        first, *_ = await asyncio.gather(added(world, upload_id, pieces[0]), added(world, upload_id, b"dropped"))
        md5 = hashlib.md5(b"".join(pieces), usedforsecurity=False).hexdigest()
        done = await at(world).complete_upload(world.target, upload_id, [first, *later], md5, sum(map(len, pieces)))
        assert (done.id, done.status, done.bytes) == (upload_id, "completed", sum(map(len, pieces)))
        assert done.file is not None
        assert (done.file.filename, done.file.purpose, done.file.bytes) == ('süß "a".jsonl', world.purpose, sum(map(len, pieces)))
        assert done.file.expires_at is not None
        assert done.file.created_at is not None
        assert done.file.expires_at - done.file.created_at == 7_200
        assert await world.stored() == [b"".join(pieces)]

    async def test_a_created_upload_says_until_when_it_takes_parts(self, world: World) -> None:
        upload = await at(world).create_upload(world.target, new_upload(world, 10))
        assert upload.status == "pending"
        assert upload.file is None
        assert upload.created_at is not None
        assert upload.expires_at is not None
        assert upload.expires_at > upload.created_at

    async def test_what_the_provider_is_known_not_to_take_is_refused_before_anything_is_sent(self, world: World) -> None:
        limits = world.capabilities.uploads
        assert limits is not None
        if limits.max_bytes is not None:
            with pytest.raises(FileTooLarge):
                await created(world, limits.max_bytes + 1, purpose=purpose_without_a_limit(world))
        if world.capabilities.purposes is not None:
            with pytest.raises(InvalidValue):
                await created(world, 10, purpose="nobody-knows")
        if world.capabilities.expiry is not None:
            with pytest.raises(InvalidValue):
                await created(world, 10, expires_after=world.capabilities.expiry.longest + 1)
        assert world.fake.requests == []

    async def test_an_upload_that_nobody_knows_is_not_found(self, world: World) -> None:
        for upload_id in ("upload_0", "../files", "a/b", ""):
            with pytest.raises(UploadNotFound):
                await at(world).complete_upload(world.target, upload_id, ["part_0"], None)
            with pytest.raises(UploadNotFound):
                await at(world).cancel_upload(world.target, upload_id)
            with pytest.raises(UploadNotFound):
                await added(world, upload_id, b"x")
        assert {request.path.rpartition("/")[0] for request in world.fake.requests} == {world.fake.flavour.prefix + "/uploads/upload_0"}

    async def test_a_cancelled_upload_takes_nothing_more(self, world: World) -> None:
        upload_id = await created(world, 1)
        assert (await at(world).cancel_upload(world.target, upload_id)).status == "cancelled"
        with pytest.raises(ProviderRefused):
            await added(world, upload_id, b"x")
        assert await world.stored() == []

    async def test_the_provider_refuses_counts_and_checksums_that_disagree(self, world: World) -> None:
        upload_id = await created(world, 5)
        part_id = await added(world, upload_id, b"12345")
        short = await added(world, upload_id, b"1234")
        with pytest.raises(ProviderRefused):
            await at(world).complete_upload(world.target, upload_id, [short], None)
        with pytest.raises(ProviderRefused):
            await at(world).complete_upload(world.target, upload_id, [part_id], "0" * 32)
        assert await world.stored() == []

    @pytest.mark.parametrize("call", _CALLS)
    async def test_a_refusal_is_passed_on_and_tells_no_secret(self, world: World, call: str) -> None:
        upload_id = await created(world, 1)
        world.fake.plan(Fault("refuse", operation=f"uploads.{call}", status=429, headers={"retry-after": "7"}))
        with pytest.raises(ProviderRefused) as caught:
            await one_call(world, call, upload_id)
        assert (caught.value.status, caught.value.retry_after) == (429, 7)
        assert_tells_no_secret(caught.value)

    @pytest.mark.parametrize("call", ["create", "part", "cancel"])
    @pytest.mark.parametrize("kind", ["close_response_at", "hang", "garbage", "html"])
    async def test_only_a_completion_can_be_of_unknown_outcome(self, impatient_world: World, call: str, kind: str) -> None:
        world = impatient_world
        upload_id = await created(world, 1)
        world.fake.plan(Fault(kind, operation=f"uploads.{call}", at=-1))
        with pytest.raises((UpstreamUnreachable, UpstreamTimeout, UpstreamAnswerInvalid, ProviderRefused)):
            await one_call(world, call, upload_id)

    @pytest.mark.parametrize("kind", ["close_response_at", "hang", "garbage", "html", "wrong_size"])
    async def test_a_completion_whose_answer_is_lost_or_wrong_is_of_unknown_outcome(self, impatient_world: World, kind: str) -> None:
        world = impatient_world
        upload_id = await created(world, 1)
        part_id = await added(world, upload_id, b"x")
        world.fake.plan(Fault(kind, operation="uploads.complete", at=-1, by=-1))
        with pytest.raises(UpstreamOutcomeUnknown) as caught:
            await at(world).complete_upload(world.target, upload_id, [part_id], None, 1)
        assert_tells_no_secret(caught.value)
        assert len(world.fake.requests_for("uploads.complete")) == 1

    async def test_a_part_that_fails_while_it_is_sent_is_none(self, world: World) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield pattern(200_000)
            raise InvalidValue("The caller has left.")

        upload_id = await created(world, 200_000)
        with pytest.raises(InvalidValue):
            await at(world).add_part(world.target, upload_id, PartBody(failing()))
        [upload] = [upload for upload in world.fake.accounts.of(_account(world)).uploads.values() if upload.id == upload_id]
        assert upload.parts == {}

    async def test_a_part_beyond_the_limit_is_cut_off(self, world: World) -> None:
        limits = world.capabilities.uploads
        assert limits is not None
        if limits.max_part_bytes is None:
            return
        upload_id = await created(world, 1)
        with pytest.raises(FileTooLarge):
            await at(world).add_part(world.target, upload_id, PartBody(in_pieces(b"x"), length=limits.max_part_bytes + 1))
        assert world.fake.requests_for("uploads.part") == []

    async def test_a_completion_without_a_file_is_none(self, world: World) -> None:
        upload_id = await created(world, 1)
        part_id = await added(world, upload_id, b"x")
        pending = {"id": upload_id, "object": "upload", "status": "pending", "file": None}
        world.fake.plan(Fault("refuse", operation="uploads.complete", status=200, body=pending))
        with pytest.raises(UploadLost):
            await at(world).complete_upload(world.target, upload_id, [part_id], None)


def at(world: World) -> UploadsProvider:
    """The provider, which has uploads."""
    found = uploads_at(world.provider, world.target)
    assert found is not None, "the adapter declares uploads"
    return found


def new_upload(world: World, size: int, **fields: Any) -> NewPartUpload:
    """An upload that the provider takes, unless ``fields`` say otherwise."""
    details = {"purpose": world.purpose, "filename": "some.jsonl", "media_type": "application/jsonl"} | fields
    return NewPartUpload(bytes=size, **details)


def purpose_without_a_limit(world: World) -> str:
    """One for which only the limit of uploads holds."""
    return min((world.capabilities.purposes or {"user_data"}) - set(world.capabilities.max_bytes_of))


async def created(world: World, size: int, **fields: Any) -> str:
    """The id of an upload that was taken."""
    return (await at(world).create_upload(world.target, new_upload(world, size, **fields))).id


async def added(world: World, upload_id: str, content: bytes, *, announced: bool = True) -> str:
    """The id of a part that was taken."""
    body = PartBody(in_pieces(content), length=len(content) if announced else None)
    return (await at(world).add_part(world.target, upload_id, body)).id


async def one_call(world: World, call: str, upload_id: str) -> object:
    """One of the four."""
    if call == "create":
        return await created(world, 1)
    if call == "part":
        return await added(world, upload_id, b"x")
    if call == "complete":
        return await at(world).complete_upload(world.target, upload_id, ["part_0"], None)
    return await at(world).cancel_upload(world.target, upload_id)


def _account(world: World) -> str:
    [secret] = {value.reveal() for value in world.target.secrets.values()}
    return secret
