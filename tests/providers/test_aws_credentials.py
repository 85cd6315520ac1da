"""As whom AWS is called: by keys, by a role, by the machine; what is kept of it, and who may have it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from fileplane.errors import CredentialUnavailable, InvalidValue, ProviderRefused, UpstreamAnswerInvalid
from fileplane.providers.aws_credentials import STS_VARIABLE, AwsCredentials, MachineKeys
from fileplane.providers.aws_identities import AssumedRole, AwsKeys, MachineRole, identity_of
from fileplane.providers.base import RemoteQuery, Target
from fileplane.providers.bedrock import Bedrock
from fileplane.secrets.values import Secret
from fileplane.testing.fake_provider import Fault
from fileplane.testing.fake_provider.aws_keys import aws_secrets
from fileplane.testing.fake_provider.s3 import BUCKET, S3Api
from fileplane.testing.provider_world import SECRET, World, assert_tells_no_secret, new_world

ROLE = "arn:aws:iam::123456789012:role/files"
FIELDS = {"aws_region": "us-east-1", "aws_s3_bucket": BUCKET, "file_purpose": "upload"}
KEYS = AwsKeys(*(Secret(text) for text in aws_secrets(SECRET).values()))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with new_world("bedrock", FIELDS) as world:
        monkeypatch.setenv(STS_VARIABLE, f"{world.fake.url}/sts")
        yield world


def s3_of(world: World) -> S3Api:
    assert isinstance(world.fake.own_api, S3Api)
    return world.fake.own_api


def as_role(world: World, role: str = ROLE, external_id: str = "", **fields: str) -> World:
    secrets = {**world.target.secrets, **({"aws_external_id": Secret(external_id)} if external_id else {})}
    return replace(world, target=replace(world.target, secrets=secrets, fields={**world.target.fields, "aws_role_arn": role, **fields}))


async def test_a_role_is_assumed_once_and_its_keys_sign_every_call(world: World) -> None:
    assuming = as_role(world)
    files = await asyncio.gather(*(assuming.upload(b"x") for _ in range(5)))
    assert await assuming.download(files[0].id) == b"x"
    assert [form["RoleArn"] for form in s3_of(world).roles] == [ROLE]
    calls = [request for request in world.fake.requests if request.operation != "role"]
    assert len(calls) == 6
    assert len({request.headers["x-amz-security-token"] for request in calls}) == 1
    assert len(world.fake.requests_for("role")) == 1


async def test_a_role_that_asks_for_an_external_id_gets_it(world: World) -> None:
    guarded = "arn:aws:iam::123456789012:role/guarded"
    await as_role(world, guarded, "right").upload()
    with pytest.raises(ProviderRefused, match="not authorized") as caught:
        await as_role(world, guarded, "wrong-external-id").upload()
    assert (caught.value.status, caught.value.code) == (403, "AccessDenied")
    assert "wrong-external-id" not in str(vars(caught.value))
    assert_tells_no_secret(caught.value)


async def test_keys_are_replaced_minutes_before_they_end_by_one_call(world: World) -> None:
    clock, role = Clock(), AssumedRole(ROLE, "us-east-1", KEYS)
    credentials = AwsCredentials(world.egress, now=clock)
    first = await credentials.keys(role)
    clock.now = 3_600 - 301
    assert await credentials.keys(role) == first
    clock.now = 3_600 - 299
    later = await asyncio.gather(*(credentials.keys(role) for _ in range(9)))
    assert later == [later[0]] * 9
    assert later[0] != first
    assert len(world.fake.requests_for("role")) == 2
    assert await credentials.keys(replace(role, external_id=Secret("right"))) != later[0], "another external id is another identity"


async def test_keys_that_have_ended_before_their_time_are_not_kept(world: World) -> None:
    assuming = as_role(world)
    await assuming.upload()
    s3_of(world).keys.issued.popitem()[1].token = ""
    world.fake.plan(
        Fault("refuse", operation="list", status=400, body="<Error><Code>ExpiredToken</Code><Message>It has expired.</Message></Error>")
    )
    with pytest.raises(ProviderRefused, match="It has expired"):
        await assuming.provider.list(assuming.target, RemoteQuery())
    await assuming.provider.list(assuming.target, RemoteQuery())
    assert len(world.fake.requests_for("role")) == 2


@pytest.mark.parametrize("body", ["", "<a/>", "<AssumeRoleResponse/>", "{}", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"])
async def test_an_answer_without_keys_is_none(world: World, body: str) -> None:
    world.fake.plan(Fault("refuse", operation="role", status=200, body=body))
    with pytest.raises(UpstreamAnswerInvalid):
        await as_role(world).upload()


async def test_temporary_keys_of_ones_own_are_signed_with_their_token(world: World) -> None:
    access_key, issued = s3_of(world).keys.issue(SECRET)
    secrets = {
        "aws_access_key_id": Secret(access_key),
        "aws_secret_access_key": Secret(issued.secret),
        "aws_session_token": Secret(issued.token),
    }
    file = await replace(world, target=replace(world.target, secrets=secrets)).upload(b"x")
    assert await world.download(file.id) == b"x"
    assert world.fake.requests[0].headers["x-amz-security-token"] == issued.token


async def test_the_machine_s_identity_is_for_stored_credentials_alone(world: World) -> None:
    without = replace(world.target, secrets={}, fields={**FIELDS, "aws_auth_type": "machine"})
    for target in (without, replace(world.target, secrets={}, fields={**FIELDS, "aws_role_arn": ROLE})):
        with pytest.raises(InvalidValue, match="organisation"):
            await replace(world, target=target).upload()
    for kind in ("machine", "assumedRole"):
        target = replace(world.target, fields={**FIELDS, "aws_auth_type": kind})
        with pytest.raises(InvalidValue):
            await replace(world, target=target).upload()
    with pytest.raises(InvalidValue, match="credential"):
        await replace(world, target=replace(world.target, secrets={})).upload()
    assert world.fake.requests == []
    of_machine = AwsCredentials(world.egress, of_machine=lambda: KEYS)
    stored = replace(world, provider=Bedrock(world.egress, of_machine), target=replace(without, stored=True))
    file = await stored.upload(b"x")
    assert await world.download(file.id) == b"x"
    through_role = replace(stored, target=replace(stored.target, fields={**FIELDS, "aws_role_arn": ROLE}))
    await through_role.upload()
    assert [form["RoleArn"] for form in s3_of(world).roles] == [ROLE]


async def test_the_machine_is_asked_on_a_thread_and_once_for_many(world: World) -> None:
    asked = []

    def of_machine() -> AwsKeys:
        asked.append(threading.current_thread())
        return KEYS

    credentials = AwsCredentials(world.egress, of_machine=of_machine)
    assert await asyncio.gather(*(credentials.keys(MachineRole()) for _ in range(9))) == [KEYS] * 9
    assert len(asked) == 1
    assert asked[0] is not threading.main_thread()


async def test_a_machine_without_an_identity_is_said_to_have_none(world: World) -> None:
    with pytest.raises(CredentialUnavailable, match="no identity"):
        await AwsCredentials(world.egress, of_machine=lambda: None).keys(MachineRole())


def test_the_machine_s_keys_are_found_where_aws_s_own_tools_find_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    shared = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    assert MachineKeys()() is None
    shared.write_text("[default]\naws_access_key_id = AKIDONE\naws_secret_access_key = one\n")
    assert MachineKeys()() == AwsKeys(Secret("AKIDONE"), Secret("one"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTWO")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "two")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    assert MachineKeys()() == AwsKeys(Secret("AKIDTWO"), Secret("two"), Secret("token"))


def test_static_keys_are_used_as_they_are_where_a_role_is_not_to_be_assumed() -> None:
    secrets = {name: Secret(text) for name, text in aws_secrets(SECRET).items()}
    target = Target("bedrock", secrets, {**FIELDS, "aws_role_arn": ROLE, "aws_auth_type": "accessKey"})
    assert identity_of(target, "us-east-1") == KEYS
