"""Who may let AWS be called as what: the machine's identity is the organisation's, and another role takes the secrets again."""

from __future__ import annotations

from typing import Any

import pytest

from control.conftest import Plane
from fileplane import errors

PLACE = {"provider": "bedrock", "aws_region": "us-east-1", "aws_s3_bucket": "files"}
KEYS = {"aws_access_key_id": "AKIA1", "aws_secret_access_key": "s"}
ROLE = "arn:aws:iam::123456789012:role/files"


@pytest.mark.parametrize(
    "given",
    [
        {"aws_auth_type": "machine"},
        {"aws_auth_type": "machine", **KEYS},
        {"aws_role_arn": ROLE},
        {"aws_role_arn": ROLE, "aws_external_id": "x"},
    ],
)
async def test_the_machine_s_identity_is_for_the_organisation_to_give(plane: Plane, given: dict[str, Any]) -> None:
    with pytest.raises(errors.OrganisationKeyNeeded, match="machine"):
        await plane.make(**PLACE, **given)
    made = await plane.make(plane.organisation, **PLACE, **given)
    assert (await plane.virtual_keys.resolve(plane.project.project_id, made.slug)).clear["aws_s3_bucket"] == "files"
    await plane.make(**PLACE, **KEYS, aws_role_arn=ROLE)


@pytest.mark.parametrize("changed", [{"aws_role_arn": ROLE + "-2"}, {"aws_role_arn": None}, {"aws_auth_type": "accessKey"}])
async def test_keys_act_as_nobody_else_unless_they_are_sent_again(plane: Plane, changed: dict[str, Any]) -> None:
    made = await plane.make(**PLACE, **KEYS, aws_role_arn=ROLE)
    with pytest.raises(errors.MissingParameter, match=next(iter(changed))):
        await plane.change(made.slug, **changed)
    await plane.change(made.slug, **changed, **KEYS)


async def test_a_credential_without_keys_role_or_machine_is_not_complete(plane: Plane) -> None:
    for given in ({}, {"aws_auth_type": "assumedRole"}, {"aws_access_key_id": "AKIA1"}):
        with pytest.raises(errors.MissingParameter):
            await plane.make(plane.organisation, **PLACE, **given)
