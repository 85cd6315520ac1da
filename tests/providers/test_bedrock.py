"""The adapter for AWS Bedrock keeps the promises of every provider, against a fake S3 that checks every signature and payload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from fileplane.clock import SystemClock
from fileplane.errors import UpstreamAnswerInvalid
from fileplane.providers import bedrock_objects
from fileplane.testing.fake_provider import Fault
from fileplane.testing.fake_provider.s3 import BUCKET, S3Api
from fileplane.testing.fake_provider.wire import RecordedRequest
from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import Endless, ProviderTransfersSuite
from fileplane.testing.provider_world import SECRET, World

FIELDS = {"aws_region": "us-east-1", "aws_s3_bucket": BUCKET, "file_purpose": "upload"}


def s3_of(world: World) -> S3Api:
    """The fake's own side."""
    assert isinstance(world.fake.own_api, S3Api)
    return world.fake.own_api


class ClockOf(SystemClock):
    """As far ahead as the fake's: keys tell the time of this machine, which may be set back between two uploads."""

    def __init__(self, world: World) -> None:
        self._accounts = world.fake.accounts

    def now_ms(self) -> int:
        return super().now_ms() + int(self._accounts.ahead_seconds * 1_000)


class TestBedrock(ProviderSuite, ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "bedrock"
    fields: ClassVar[Mapping[str, str]] = FIELDS
    in_forms = False
    streams = False
    speechless = frozenset({"get", "delete"})
    gives_ids = False
    operation_with_the_file = "upload.part"

    @pytest.fixture(autouse=True)
    def one_clock(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bedrock_objects, "_clock", ClockOf(world))

    def requests_with_the_file(self, world: World) -> list[RecordedRequest]:
        return [request for request in world.fake.requests if request.operation in {"upload", "upload.part"}]

    def is_call_on_files(self, world: World, request: RecordedRequest, file_id: str) -> bool:  # noqa: ARG002 - the suite's
        return request.path.startswith(f"/{BUCKET}/") and request.operation in {"upload", "list", "get", "delete"}

    def is_authorised(self, world: World, request: RecordedRequest) -> bool:
        assert SECRET not in str(request.pairs)
        return s3_of(world).credential(request) == SECRET

    @pytest.mark.parametrize("operation", ["upload.create", "upload.part"])
    async def test_an_early_success_is_not_believed(self, world: World, operation: str) -> None:
        """Before the last request there is no file whose outcome could be unknown, and the upload is aborted."""
        world.fake.plan(Fault("refuse_early", operation=operation, status=200, body="<Made/>"))
        with pytest.raises(UpstreamAnswerInvalid):
            await world.upload(source=Endless(pause=0.001).pieces(), length=None)
        assert (s3_of(world).unfinished, await world.stored()) == ({}, [])
