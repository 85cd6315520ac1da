"""The adapter for Fireworks keeps the promises of every provider, whichever way the bytes go."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from fileplane.errors import UpstreamAnswerInvalid
from fileplane.providers.fireworks import FIREWORKS, Fireworks
from fileplane.testing.fake_provider import Fault, RecordedRequest
from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import Endless, ProviderTransfersSuite
from fileplane.testing.provider_world import World, new_world

FIELDS = {"fireworks_account_id": "my-account"}
IMPATIENT: dict[str, Any] = {"egress_connect_seconds": 0.3, "egress_first_byte_seconds": 0.3, "egress_idle_seconds": 0.3}


@asynccontextmanager
async def signing_world(**settings: Any) -> AsyncIterator[World]:
    """One in which every file is large enough to go to a signed URL."""
    async with new_world("fireworks", FIELDS, **settings) as world:
        yield replace(world, provider=Fireworks(world.egress, lambda _: FIREWORKS, most_at_once=0))


class Manner:
    """What is different from providers that take a form and give an id for it."""

    flavour = "fireworks"
    fields: ClassVar[Mapping[str, str]] = FIELDS
    names_apart = True
    form_parts = 1
    streams = False

    def requests_with_the_file(self, world: World) -> list[RecordedRequest]:
        return world.fake.requests_for("upload")

    def is_call_on_files(self, world: World, request: RecordedRequest, file_id: str) -> bool:  # noqa: ARG002 - the suite's
        root = "/v1/accounts/my-account/datasets"
        ways = {f"{root}/{file_id}{call}" for call in ("", ":upload", ":getUploadEndpoint", ":validateUpload", ":getDownloadEndpoint")}
        return request.path in ways | {root} or is_signed(request)

    def is_authorised(self, world: World, request: RecordedRequest) -> bool:
        return "authorization" not in request.headers if is_signed(request) else super().is_authorised(world, request)  # type: ignore[misc]


def is_signed(request: RecordedRequest) -> bool:
    return request.path.startswith("/v1/signed/")


class TestFireworks(Manner, ProviderSuite):
    pass


class TestFireworksFaults(Manner, ProviderFaultsSuite, ProviderTransfersSuite):
    pass


class TestLargeFiles(Manner, ProviderSuite):
    in_forms = False
    keeps_media_type = False

    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        async with signing_world() as world:
            yield world


class TestLargeFilesTransfers(Manner, ProviderTransfersSuite):
    @pytest.fixture
    async def world(self) -> AsyncIterator[World]:
        async with signing_world() as world:
            yield world

    @pytest.fixture
    async def impatient_world(self) -> AsyncIterator[World]:
        async with signing_world(**IMPATIENT) as world:
            yield world

    async def test_an_early_success_is_not_believed(self, world: World) -> None:
        """What has gone to a signed URL is no file before Fireworks is told, so that its outcome is known."""
        world.fake.plan(Fault("refuse_early", operation="upload", status=200))
        with pytest.raises(UpstreamAnswerInvalid):
            await world.upload(source=Endless(pause=0.001).pieces(), length=None)
        assert await world.stored() == []
