"""What every Provider promises of transfers that do not come to their end, as tests that run against its fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from fileplane.errors import (
    InvalidValue,
    ProviderRefused,
    UploadLost,
    UpstreamAnswerInvalid,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers.base import ByteRange, RemoteQuery
from fileplane.testing.fake_provider import Fault
from fileplane.testing.provider_world import World, eventually, new_world, pattern

_LARGE = 8 << 20
_ENDLESS = 1 << 40


class ProviderTransfersSuite:
    """Subclass it; every method is a promise."""

    flavour: ClassVar[str] = "openai"
    fields: ClassVar[Mapping[str, str]] = {}
    operation_with_the_file: ClassVar[str] = "upload"
    """The fake's name for the call that a large file of unknown length is sent with."""

    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        async with new_world(self.flavour, self.fields) as world:
            yield world

    @pytest.fixture
    async def impatient_world(self) -> AsyncIterator[World]:
        """One whose deadlines are short, for tests in which they pass."""
        deadlines: dict[str, Any] = {"egress_connect_seconds": 0.3, "egress_first_byte_seconds": 0.3, "egress_idle_seconds": 0.3}
        async with new_world(self.flavour, self.fields, **deadlines) as world:
            yield world

    @pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
    @pytest.mark.parametrize("announced", [True, False], ids=["of known length", "chunked"])
    async def test_a_provider_that_leaves_while_a_file_is_sent_has_nothing(self, world: World, *, announced: bool, reset: bool) -> None:
        world.fake.plan(Fault("close_request_at", operation="upload", at=1 << 20, reset=reset))
        with pytest.raises(UpstreamUnreachable):
            await world.upload(pattern(_LARGE), announced=announced)
        assert await world.stored() == []
        assert len(world.fake.requests_for("upload")) == 1

    async def test_a_provider_that_takes_nothing_is_given_up(self, impatient_world: World) -> None:
        world = impatient_world
        world.fake.plan(Fault("never_read", operation="upload"))
        source = Endless()
        with pytest.raises(UpstreamTimeout):
            await world.upload(source=source.pieces(), length=_ENDLESS if world.capabilities.max_bytes is None else None)
        assert source.taken < 64 << 20
        assert await world.stored() == []

    async def test_a_download_may_be_redirected_but_takes_no_header_along(self, world: World) -> None:
        if not world.capabilities.download:
            return
        file_id = await world.downloadable(b"content")
        async with new_world("openai") as other:
            other.fake.plan(Fault("refuse", status=200, body=b"from elsewhere"))
            world.fake.plan(Fault("redirect", operation="content", location=f"{other.fake.url}/signed?signature=x"))
            forwarding = replace(world, target=replace(world.target, forward_headers=(("x-mine", "1"),)))
            assert await forwarding.download(file_id) == b"from elsewhere"
            [request] = other.fake.requests
            assert (request.path, request.query) == ("/signed", {"signature": "x"})
            assert not {"authorization", "api-key", "x-mine", "cookie", "referer"} & set(request.headers)

    async def test_redirects_that_never_end_are_given_up(self, world: World) -> None:
        if not world.capabilities.download:
            return
        file_id = await world.downloadable(b"content")
        world.fake.plan(Fault("redirect", location=f"{world.fake.base_url}/files/{file_id}/content", times=100))
        with pytest.raises(UpstreamAnswerInvalid):
            await world.download(file_id)
        assert len(world.fake.requests_for("content")) < 10

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("close_response_at", at=1_000),
            Fault("close_response_at", at=1_000, reset=True),
            Fault("wrong_length", by=1),
            Fault("close_response_at", at=100_000),
        ],
        ids=["closed", "reset", "announced too long", "closed later"],
    )
    async def test_a_download_that_falls_short_never_ends_as_if_it_were_whole(self, world: World, fault: Fault) -> None:
        if not world.capabilities.download:
            return
        body = pattern(300_000)
        file_id = await world.downloadable(body)
        world.fake.plan(replace(fault, operation="content"))
        received = bytearray()
        with pytest.raises(UpstreamUnreachable):
            async with world.provider.open(world.target, file_id) as content:
                async for piece in content:
                    received += piece
        assert body.startswith(bytes(received))

    @pytest.mark.parametrize(
        "said", ["bytes 0-99/100", "bytes 4-8/100", "bytes 3-8/100", "bytes 7-3/100", "bytes 3-7/5", "nonsense", "bytes */100"]
    )
    async def test_another_part_of_a_file_than_was_asked_for_is_not_passed_on(self, world: World, said: str) -> None:
        if not (world.capabilities.download and world.capabilities.ranges):
            return
        file_id = await world.downloadable(pattern(100))
        for span in (ByteRange(3, 7), None):
            world.fake.plan(Fault("partial", operation="content", body=said))
            with pytest.raises(UpstreamAnswerInvalid):
                await world.download(file_id, span)

    async def test_a_download_that_stalls_ends_by_its_deadline(self, impatient_world: World) -> None:
        world = impatient_world
        if not world.capabilities.download:
            return
        file_id = await world.downloadable(pattern(300_000))
        world.fake.plan(Fault("stall_response_at", operation="content", at=1_000))
        with pytest.raises(UpstreamTimeout):
            await world.download(file_id)

    async def test_what_is_compressed_unasked_is_read_all_the_same(self, world: World) -> None:
        body = pattern(300_000)
        file_id = await world.downloadable(body) if world.capabilities.download else (await world.upload(body)).id
        world.fake.plan(
            Fault("gzip", operation="list", times=3), Fault("gzip", operation="get", times=3), Fault("gzip", operation="content")
        )
        page = await world.provider.list(world.target, RemoteQuery())
        assert [one.id for one in page.files] == [file_id]
        if world.capabilities.download:
            async with world.provider.open(world.target, file_id) as content:
                assert content.length is None
                assert b"".join([piece async for piece in content]) == body

    async def test_an_answer_that_grows_beyond_all_bounds_is_refused(self, world: World) -> None:
        world.fake.plan(Fault("bomb", at=20 << 20))
        with pytest.raises(UpstreamAnswerInvalid):
            await world.provider.list(world.target, RemoteQuery())

    async def test_a_refusal_while_the_file_is_sent_ends_the_sending(self, world: World) -> None:
        world.fake.plan(Fault("refuse_early", operation="upload", status=413, body={"error": {"message": "Too large.", "code": "big"}}))
        source = Endless(pause=0.001)
        with pytest.raises(ProviderRefused) as caught:
            await world.upload(source=source.pieces(), length=None)
        assert (caught.value.status, caught.value.message, caught.value.code) == (413, "Too large.", "big")
        assert source.taken < 64 << 20
        assert await world.stored() == []

    async def test_an_early_success_is_not_believed(self, world: World) -> None:
        made = {
            "id": "file-early",
            "object": "file",
            "created_at": 1,
            "filename": "x",
            "purpose": "batch",
            "status": "processed",
        }
        world.fake.plan(Fault("refuse_early", operation=self.operation_with_the_file, status=200, body=made))
        with pytest.raises(UploadLost):
            await world.upload(source=Endless(pause=0.001).pieces(), length=None)

    @pytest.mark.parametrize("announced", [True, False], ids=["of known length", "chunked"])
    async def test_a_source_that_fails_is_raised_as_it_is_and_leaves_no_file(self, world: World, *, announced: bool) -> None:
        class ClientLeft(Exception):
            pass

        async def source() -> AsyncIterator[bytes]:
            yield pattern(200_000)
            yield pattern(100_000)
            raise ClientLeft

        with pytest.raises(ClientLeft):
            await world.upload(source=source(), length=400_000 if announced else None)
        await eventually(lambda: world.fake.open_connections == 0, "the connection is closed")
        assert await world.stored() == []
        assert not any(request.body_complete for request in world.fake.requests_for(self.operation_with_the_file))

    @pytest.mark.parametrize("length", [99_999, 100_001], ids=["longer", "shorter"])
    async def test_a_file_that_is_not_as_long_as_announced_is_cut_off(self, world: World, length: int) -> None:
        with pytest.raises(InvalidValue):
            await world.upload(pattern(100_000), length=length)
        await eventually(lambda: world.fake.open_connections == 0, "the connection is closed")
        assert await world.stored() == []

    async def test_a_cancelled_upload_closes_its_connection_and_leaves_no_file(self, world: World) -> None:
        started = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            yield pattern(200_000)
            started.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(world.upload(source=source(), length=None))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually(lambda: world.fake.open_connections == 0, "the connection is closed")
        assert await world.stored() == []

    async def test_a_download_that_is_left_closes_its_connection(self, world: World) -> None:
        if not world.capabilities.download:
            return
        file_id = await world.downloadable(pattern(_LARGE))
        async with world.provider.open(world.target, file_id) as content:
            await anext(aiter(content))
            others = world.fake.open_connections - 1
        await eventually(lambda: world.fake.open_connections == others, "the connection is closed")


class Endless:
    """A file without an end, as a client sends one; ``taken`` counts the bytes that were asked for."""

    def __init__(self, *, pause: float = 0.0) -> None:
        self.taken = 0
        self._pause = pause

    async def pieces(self) -> AsyncIterator[bytes]:
        """Pieces of 64 KiB."""
        piece = bytes(1 << 16)
        while True:
            await asyncio.sleep(self._pause)
            self.taken += len(piece)
            yield piece
