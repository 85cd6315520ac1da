"""What every Provider promises of providers that refuse, lie, stall and break off, as tests that run against its fake."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from fileplane.errors import (
    FileplaneError,
    InvalidValue,
    ProviderRefused,
    UploadTimedOut,
    UpstreamAnswerInvalid,
    UpstreamOutcomeUnknown,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers.base import RemoteQuery
from fileplane.testing.fake_provider import Fault
from fileplane.testing.provider_world import SECRET, World, assert_tells_no_secret, new_world

_REFUSALS = (400, 401, 403, 409, 422, 429, 500, 503)
Call = Callable[[World, str], Awaitable[Any]]


async def _list(world: World, _: str) -> Any:
    return await world.provider.list(world.target, RemoteQuery())


async def _get(world: World, file_id: str) -> Any:
    return await world.provider.get(world.target, file_id)


async def _delete(world: World, file_id: str) -> Any:
    return await world.provider.delete(world.target, file_id)


async def _upload(world: World, _: str) -> Any:
    return await world.upload()


_SAFE: Mapping[str, Call] = {"list": _list, "get": _get, "delete": _delete}
_ALL: Mapping[str, Call] = {**_SAFE, "upload": _upload}


class ProviderFaultsSuite:
    """Subclass it; every method is a promise."""

    flavour: ClassVar[str] = "openai"
    fields: ClassVar[Mapping[str, str]] = {}
    speechless: ClassVar[frozenset[str]] = frozenset()
    """Operations that begin with a HEAD, of whose refusal nothing can be told but its status and what stands in its head."""
    gives_ids: ClassVar[bool] = True
    """Whether the provider answers an upload with an id of its own making, in a body. Otherwise it was told what to call the file."""

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

    @pytest.mark.parametrize("operation", _ALL)
    async def test_a_refusal_is_passed_on_with_what_the_provider_says(self, world: World, operation: str) -> None:
        file = await world.upload()
        for status in _REFUSALS:
            said = {"error": {"message": f"No, {status}.", "type": "some_error", "param": "some.field", "code": "some_code"}}
            world.fake.plan(Fault("refuse", status=status, body=said, headers={"set-cookie": "a=b", "x-inner": "1", "retry-after": "7"}))
            with pytest.raises(ProviderRefused) as caught:
                await _ALL[operation](world, file.id)
            error = caught.value
            assert error.status == status
            if operation not in self.speechless:
                assert error.message == f"No, {status}."
                assert (error.type, error.param, error.code) == ("some_error", "some.field", "some_code")
            assert error.headers == {"retry-after": "7"}
            assert error.retry_after == 7
        assert len(await world.stored()) == 1

    @pytest.mark.parametrize("operation", _ALL)
    async def test_a_refusal_in_the_provider_s_own_manner_has_its_words(self, world: World, operation: str) -> None:
        file = await world.upload()
        wrong = json.dumps(world.fake.flavour.error(403, "Not with this key.", None, None))
        world.fake.plan(Fault("refuse", status=403, body=wrong))
        with pytest.raises(ProviderRefused, match=None if operation in self.speechless else r"Not with this key\.") as caught:
            await _ALL[operation](world, file.id)
        assert caught.value.status == 403

    @pytest.mark.parametrize("operation", _ALL)
    async def test_a_secret_that_a_provider_echoes_is_told_to_nobody(self, world: World, operation: str) -> None:
        file = await world.upload()
        said = {"error": {"message": f"Incorrect API key: {SECRET}\x1b[31m\r\nx", "type": SECRET, "param": SECRET, "code": SECRET}}
        for body in (said, {"message": f"Bearer {SECRET}"}, f"key {SECRET} is wrong", f"<b>{SECRET}</b>"):
            world.fake.plan(Fault("refuse", status=401, body=body, headers={"x-key": SECRET, "set-cookie": SECRET}))
            with pytest.raises(ProviderRefused) as caught:
                await _ALL[operation](world, file.id)
            assert_tells_no_secret(caught.value)
            assert caught.value.message.isprintable()

    @pytest.mark.parametrize("kind", ["garbage", "html"])
    @pytest.mark.parametrize("operation", ["list", "get"])
    async def test_an_answer_that_is_none_is_no_success(self, world: World, operation: str, kind: str) -> None:
        file = await world.upload()
        world.fake.plan(Fault(kind, status=200))
        with pytest.raises(UpstreamAnswerInvalid):
            await _SAFE[operation](world, file.id)

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("garbage"),
            Fault("html", status=200),
            Fault("html", status=502),
            Fault("html", status=504),
            Fault("close_response_at", at=-1),
            Fault("close_response_at", at=-1, reset=True),
            Fault("close_response_at", at=5),
            Fault("redirect", location="http://127.0.0.1:1/"),
            Fault("huge_headers", at=60_000),
            Fault("many_headers", at=1_000),
            Fault("wrong_length", by=10),
            Fault("refuse", status=200, headers={"content-encoding": "br"}),
            Fault("refuse", status=200, headers={"content-encoding": "gzip"}, body=b"\x1f\x8b\x08"),
            Fault("odd_id", body="../../etc"),
            Fault("odd_id", body=""),
        ],
        ids=lambda fault: f"{fault.kind} {fault.status or ''}{fault.at or ''}{fault.body or ''}".strip(),
    )
    async def test_once_the_whole_file_was_sent_its_outcome_is_unknown_and_it_is_not_sent_again(self, world: World, fault: Fault) -> None:
        if not self.gives_ids and (fault.kind == "odd_id" or (fault.kind == "close_response_at" and fault.at > 0)):
            return
        world.fake.plan(replace(fault, operation="upload"))
        with pytest.raises(UpstreamOutcomeUnknown) as caught:
            await world.upload()
        assert (caught.value.code, caught.value.definitive) == ("upstream_outcome_unknown", True)
        assert caught.value.status in {502, 504}
        assert_tells_no_secret(caught.value)
        assert len(world.fake.requests_for("upload")) == 1

    async def test_an_answer_to_an_upload_that_never_comes_is_an_unknown_outcome(self, impatient_world: World) -> None:
        world = impatient_world
        world.fake.plan(Fault("hang", operation="upload"))
        with pytest.raises(UploadTimedOut):
            await world.upload()
        assert len(await world.stored()) == 1
        assert len(world.fake.requests_for("upload")) == 1

    @pytest.mark.parametrize("operation", _SAFE)
    async def test_a_safe_call_that_is_not_answered_ends_by_its_deadline(self, impatient_world: World, operation: str) -> None:
        world = impatient_world
        file = await world.upload()
        world.fake.plan(Fault("hang_before"))
        with pytest.raises(UpstreamTimeout) as caught:
            await _SAFE[operation](world, file.id)
        assert (caught.value.status, caught.value.definitive) == (504, False)
        assert_tells_no_secret(caught.value)

    async def test_the_target_s_own_timeout_holds(self, world: World) -> None:
        file = await world.upload()
        hasty = replace(world, target=replace(world.target, request_timeout_seconds=0.2))
        world.fake.plan(Fault("hang_before"))
        with pytest.raises(UpstreamTimeout):
            await _get(hasty, file.id)
        world.fake.plan(Fault("hang_before", operation="upload"))
        with pytest.raises(UploadTimedOut):
            await hasty.upload()

    @pytest.mark.parametrize("operation", _SAFE)
    async def test_a_safe_call_whose_connection_breaks_may_be_made_again(self, world: World, operation: str) -> None:
        file = await world.upload()
        # A connection that was kept alive may be tried anew, so it breaks twice.
        world.fake.plan(Fault("close_response_at", at=-1, times=2))
        with pytest.raises(UpstreamUnreachable) as caught:
            await _SAFE[operation](world, file.id)
        assert (caught.value.status, caught.value.definitive) == (502, False)
        assert len(world.fake.requests_for("delete")) <= 1, "a deletion is sent once"

    @pytest.mark.parametrize("operation", _ALL)
    async def test_no_redirect_is_followed_with_the_credential(self, world: World, operation: str) -> None:
        file = await world.upload()
        async with new_world(self.flavour, self.fields) as other:
            world.fake.plan(Fault("redirect", status=307, location=f"{other.fake.base_url}/files"))
            with pytest.raises(FileplaneError) as caught:
                await _ALL[operation](world, file.id)
            assert caught.value.status == 502
            assert other.fake.requests == []

    async def test_the_description_of_another_file_is_not_passed_on(self, world: World) -> None:
        if not world.fake.flavour.describes:
            return
        file = await world.upload()
        other = {
            "id": "file-other",
            "object": "file",
            "bytes": 1,
            "created_at": 1,
            "filename": "x",
            "purpose": "batch",
            "status": "processed",
        }
        world.fake.plan(Fault("refuse", operation="get", status=200, body=other))
        with pytest.raises(UpstreamAnswerInvalid):
            await world.provider.get(world.target, file.id)

    async def test_what_a_caller_forwards_is_sent_except_for_what_is_ours(self, world: World) -> None:
        ours = (
            "Authorization",
            "api-key",
            "Host",
            "Cookie",
            "Content-Length",
            "Transfer-Encoding",
            "x-portkey-config",
            "X-Portkey-Api-Key",
        )
        forwarded = (("X-Mine", "yes"), *((name, "forged") for name in ours))
        target = replace(world.target, forward_headers=forwarded)
        await world.provider.list(target, RemoteQuery())
        [request] = world.fake.requests
        assert request.headers["x-mine"] == "yes"
        assert "forged" not in request.headers.values()
        for value in ("a\r\nx-injected: 1", "a\nb", "a\x00b", "é", "x" * 9_000):
            with pytest.raises(InvalidValue):
                await world.provider.list(replace(world.target, forward_headers=(("x-mine", value),)), RemoteQuery())
        assert len(world.fake.requests) == 1
