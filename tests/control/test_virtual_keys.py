"""What may be kept as a virtual key, by whom, and who may use, see and change it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from control.conftest import NOBODY, Plane
from fileplane import errors
from fileplane.control.virtual_keys import View
from fileplane.control.wishes import integration_wishes, virtual_key_wishes
from fileplane.credentials import Sharing
from fileplane.metadata.control import RecordChanged
from fileplane.routing.providers import PROVIDERS, ProviderEntry
from fileplane.secrets.values import REDACTED

CANARY = "sk-canary-use-case-0a1b2c"
DATABRICKS = {"provider": "databricks", "key": CANARY, "custom_host": "https://one.example.com/v1"}
AZURE = {"provider": "azure-openai", "key": CANARY, "resourceName": "mine"}
SERVICE_ACCOUNT = {"type": "service_account", "client_email": "a@b.iam", "private_key": CANARY}


def complete(entry: ProviderEntry) -> dict[str, Any]:
    """Every field of a provider, its secrets with the canary in them."""
    given: dict[str, Any] = {}
    for field in entry.fields.values():
        if field.service_account:
            given[field.name] = SERVICE_ACCOUNT
        elif field.secret:
            given[field.name] = CANARY
        elif field.example:
            given[field.name] = field.example
    given |= {"custom_host": "https://files.example.com/v1"} if entry.needs_host else {}
    return given


@pytest.mark.parametrize("entry", PROVIDERS.values(), ids=lambda entry: entry.name)
async def test_every_field_of_every_provider_is_kept_and_opened_as_it_was_sent(plane: Plane, entry: ProviderEntry) -> None:
    given = complete(entry)
    made = await plane.make(plane.organisation, provider=entry.name, **given)
    opened = await plane.virtual_keys.resolve(plane.project.project_id, made.slug)
    secrets = {name: value.reveal() for name, value in opened.secrets.items()}
    for field in entry.fields.values():
        if field.service_account:
            assert json.loads(secrets[field.name]) == SERVICE_ACCOUNT
        elif field.several:
            assert opened.clear[field.name] == f"{given[field.name]}={plane.project.project_id}"
        elif field.name in given:
            assert (secrets if field.secret else opened.clear)[field.name] == given[field.name]
    assert (opened.provider, opened.custom_host) == (entry.name, given.get("custom_host"))
    assert CANARY not in f"{made!r} {opened!r}"


@pytest.mark.parametrize(
    ("given", "error", "param"),
    [
        ({"name": None}, errors.MissingParameter, "name"),
        ({"name": "  "}, errors.InvalidValue, "name"),
        ({"name": "x" * 256}, errors.InvalidValue, "name"),
        ({"name": "a\nb"}, errors.InvalidValue, "name"),
        ({"name": 5}, errors.InvalidValue, "name"),
        ({"provider": None}, errors.MissingParameter, "provider"),
        ({"provider": "opena"}, errors.InvalidValue, "provider"),
        ({"key": None}, errors.MissingParameter, "key"),
        ({"key": ""}, errors.InvalidValue, "key"),
        ({"key": 5}, errors.InvalidValue, "key"),
        ({"key": CANARY + " "}, errors.InvalidValue, "key"),
        ({"key": REDACTED}, errors.InvalidValue, "key"),
        ({"key": "x" * 70_000}, errors.InvalidValue, "key"),
        ({"apiKey": CANARY}, errors.InvalidValue, "apiKey"),
        ({"api_key": CANARY}, errors.InvalidValue, "api_key"),
        ({"model_config": {"key": CANARY}}, errors.InvalidValue, "model_config.key"),
        ({"model_config": {"apiKey": CANARY}}, errors.InvalidValue, "model_config.apiKey"),
        ({"model_config": {"nonsense": CANARY}}, errors.UnknownParameter, "model_config.nonsense"),
        ({"model_config": CANARY}, errors.InvalidValue, "model_config"),
        ({"model_config": {"usage_limits": {}}}, errors.InvalidValue, "model_config.usage_limits"),
        ({"model_config": {"name": "x"}}, errors.UnknownParameter, "model_config.name"),
        ({"nonsense": CANARY}, errors.UnknownParameter, "nonsense"),
        ({"awsRegion": "us-east-1"}, errors.UnknownParameter, "awsRegion"),
        ({"slug": "Mine"}, errors.InvalidValue, "slug"),
        ({"slug": "pc-mine"}, errors.InvalidValue, "slug"),
        ({"slug": "@mine"}, errors.InvalidValue, "slug"),
        ({"slug": "x" * 129}, errors.InvalidValue, "slug"),
        ({"note": 5}, errors.InvalidValue, "note"),
        ({"note": "x" * 2_001}, errors.InvalidValue, "note"),
        ({"custom_host": "https://user:pass@host"}, errors.InvalidValue, "custom_host"),
        ({"customHost": "ftp://host"}, errors.InvalidValue, "customHost"),
        ({"custom_host": "https://a.example", "customHost": "https://a.example"}, errors.InvalidValue, "customHost"),
        ({"sharing": "all"}, errors.InvalidValue, "sharing"),
        ({"expires_at": "soon"}, errors.InvalidValue, "expires_at"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, errors.InvalidValue, "expires_at"),
        ({"expires_at": 5}, errors.InvalidValue, "expires_at"),
        ({"usage_limits": {"credit_limit": 1}}, errors.InvalidValue, "usage_limits"),
        ({"rate_limits": []}, errors.InvalidValue, "rate_limits"),
        ({"secret_mappings": [{"target_field": "key"}]}, errors.InvalidValue, "secret_mappings"),
        ({"project_ids": "one"}, errors.InvalidValue, "project_ids"),
        ({"project_ids": ["one"], "workspace_ids": ["one"]}, errors.InvalidValue, "workspace_ids"),
        ({"project_ids": ["one"], "workspace_id": "one"}, errors.InvalidValue, "project_ids"),
        ({"integration_id": "unknown", "provider": None, "key": None}, errors.InvalidValue, "integration_id"),
    ],
)
async def test_what_is_wrong_is_named_and_no_secret_repeated(
    plane: Plane, given: dict[str, Any], error: type[errors.FileplaneError], param: str
) -> None:
    with pytest.raises(error) as refusal:
        await plane.virtual_keys.create(
            plane.project, virtual_key_wishes({"name": "Mine", "provider": "openai", "key": CANARY} | given), NOBODY
        )
    assert refusal.value.param == param
    assert CANARY not in str(refusal.value)
    assert await plane.metadata.list_virtual_keys() == []


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"key": None}, "key"),
        ({"ai_provider_id": "azure-openai"}, "configurations.azure_resource_name"),
        ({"ai_provider_id": "bedrock", "key": None, "configurations": {"aws_region": "nowhere?"}}, "configurations.aws_region"),
        ({"description": 7}, "description"),
        ({"ai_provider_id": "nope"}, "ai_provider_id"),
        ({"configurations": {"custom_headers": {"a": "b"}}}, "configurations.custom_headers"),
        ({"configurations": {"custom_host": "nowhere"}}, "configurations.custom_host"),
        ({"model_config": {}}, "model_config"),
    ],
)
async def test_an_integrations_fields_are_named_as_it_has_them(plane: Plane, given: dict[str, Any], param: str) -> None:
    with pytest.raises(errors.InvalidRequest) as refusal:
        await plane.integrate(**given)
    assert refusal.value.param == param


async def test_portkeys_fields_that_mean_nothing_may_be_null(plane: Plane) -> None:
    made = await plane.make(usage_limits=None, rate_limits=None, reset_usage=None, apiVersion=None, deploymentName=None, note=None)
    assert made.clear == {}


async def test_the_names_that_portkeys_sdk_for_node_sends_are_known(plane: Plane) -> None:
    made = await plane.make(provider="azure-openai", key=CANARY, resource_name="mine", api_version="v1", deployment_name="gpt")
    assert made.clear == {"azure_resource_name": "mine", "azure_api_version": "v1", "azure_deployment_id": "gpt"}
    with pytest.raises(errors.InvalidValue) as refusal:
        await plane.make(provider="azure-openai", key=CANARY, resource_name="not/one")
    assert refusal.value.param == "resource_name"


async def test_a_slug_is_made_from_the_name_and_taken_once_in_the_organisation(plane: Plane) -> None:
    assert (await plane.make(name="Production keys")).slug.startswith("produc-")
    await plane.make(plane.other, slug="mine")
    with pytest.raises(errors.SlugTaken) as refusal:
        await plane.make(slug="mine")
    told = str(refusal.value)
    assert plane.other.project_id not in told
    assert "other" not in told.removesuffix("Choose another.")


async def test_a_project_sees_uses_and_changes_its_own_alone(plane: Plane) -> None:
    theirs = await plane.make(plane.other, slug="theirs", key=CANARY)
    unknown = []
    for slug in ("theirs", "never-was"):
        for attempt in (
            plane.virtual_keys.get(plane.project, slug),
            plane.change(slug, name="mine now"),
            plane.virtual_keys.delete(plane.project, slug, NOBODY),
            plane.virtual_keys.resolve(plane.project.project_id, slug),
        ):
            with pytest.raises(errors.RecordNotFound) as refusal:
                await attempt
            unknown.append((str(refusal.value).replace(slug, "slug"), refusal.value.param))
    assert unknown[:4] == unknown[4:]
    assert await plane.virtual_keys.list(plane.project) == []
    assert await plane.virtual_keys.list(plane.organisation) == [theirs]
    assert await plane.virtual_keys.list(plane.organisation, project="one") == []
    with pytest.raises(errors.InvalidValue) as own:
        await plane.make(integration_id="theirs")
    with pytest.raises(errors.InvalidValue) as missing:
        await plane.make(integration_id="nobody")
    assert str(own.value).replace("theirs", "x") == str(missing.value).replace("nobody", "x")


@pytest.mark.parametrize(
    "given", [{"workspace_id": "other"}, {"workspace_id": "unknown"}, {"project_ids": ["one", "other"]}, {"project_ids": []}]
)
async def test_only_the_organisation_makes_what_is_for_others(plane: Plane, given: dict[str, Any]) -> None:
    with pytest.raises(errors.OrganisationKeyNeeded):
        await plane.make(**given)
    if given != {"workspace_id": "unknown"}:
        assert (await plane.make(plane.organisation, **given)).slug


async def test_what_is_shared_can_be_used_and_read_and_not_changed(plane: Plane) -> None:
    shared = await plane.make(plane.organisation, slug="shared", key=CANARY, project_ids=["one", "other"])
    for caller in (plane.project, plane.other):
        assert await plane.virtual_keys.get(caller, "shared") == shared
        assert await plane.secret("shared", caller=caller) == CANARY
        for attempt in (plane.change("shared", caller, name="mine"), plane.virtual_keys.delete(caller, "shared", NOBODY)):
            with pytest.raises(errors.OrganisationKeyNeeded, match="shared with your project"):
                await attempt
    assert (await plane.change("shared", plane.organisation, project_ids=["one"])).project_ids == {plane.project.project_id}
    assert (await plane.change("shared", plane.project, name="mine")).name == "mine"


async def test_a_partial_change_leaves_the_rest_as_it_is(plane: Plane) -> None:
    made = await plane.make(provider="openai", key=CANARY, openai_organization="org-1", note="what for", expires_at="2100-01-01T00:00:00Z")
    renamed = await plane.change(made.slug, name="New", openaiProject="proj-1")
    assert replace(renamed, version=1, updated_at=made.updated_at) == replace(
        made, name="New", clear={**made.clear, "openai_project": "proj-1"}
    )
    assert await plane.secret(made.slug) == CANARY
    changed = await plane.change(made.slug, key="sk-new", openai_organization=None, note=None, expires_at=None)
    assert (changed.clear, changed.note, changed.expires_at) == ({"openai_project": "proj-1"}, None, None)
    assert await plane.secret(made.slug) == "sk-new"
    for nothing in ({"key": None}, {"slug": "another"}, {"provider": "anthropic"}, {"integration_id": "another"}):
        with pytest.raises(errors.InvalidRequest):
            await plane.change(made.slug, **nothing)
    assert await plane.change(made.slug) == await plane.change(made.slug)


@pytest.mark.parametrize(
    ("given", "changes", "again"),
    [
        (DATABRICKS, {"custom_host": "https://two.example.com/v1"}, {"key": "sk-new"}),
        ({"key": CANARY}, {"custom_host": "https://two.example.com/v1"}, {"key": "sk-new"}),
        (AZURE, {"resourceName": "another"}, {"key": "sk-new"}),
        (AZURE, {"model_config": {"azure_api_version": "v1"}}, {"key": "sk-new"}),
        ({**AZURE, "azure_ad_token": CANARY}, {"resourceName": "another"}, {"key": "sk-new", "azureAdToken": "sk-new"}),
    ],
)
async def test_a_credential_goes_nowhere_else_unless_it_is_sent_again(
    plane: Plane, given: dict[str, Any], changes: dict[str, Any], again: dict[str, Any]
) -> None:
    made = await plane.make(**given)
    for caller in (plane.project, plane.organisation):
        for some in ({}, *({name: again[name]} for name in again if len(again) > 1)):
            with pytest.raises(errors.MissingParameter, match="goes only to the host saved with it"):
                await plane.change(made.slug, caller, **changes, **some)
    assert await plane.metadata.get_virtual_key(made.slug) == made
    await plane.change(made.slug, **changes, **again)
    assert await plane.secret(made.slug) == "sk-new"


async def test_references_are_the_organisations_to_set_and_the_operators_to_allow(plane: Plane) -> None:
    with pytest.raises(errors.OrganisationKeyNeeded) as refusal:
        await plane.make(key="env:ALLOWED_KEY")
    assert refusal.value.param == "key"
    for forbidden in ("env:HOME", "env:FILEPLANE_MASTER_KEY", f"file:{plane.data_dir}/master.key"):
        with pytest.raises(errors.InvalidValue, match="not allowed"):
            await plane.make(plane.organisation, key=forbidden)
    made = await plane.make(plane.organisation, key="env:ALLOWED_KEY", slug="referring")
    assert made.references == {"api_key": "env:ALLOWED_KEY"}
    assert await plane.secret("referring") == "sk-from-the-environment"
    with pytest.raises(errors.MissingParameter):
        await plane.change("referring", custom_host="https://mine.example.com")
    changed = await plane.change("referring", custom_host="https://mine.example.com", key=CANARY)
    assert (changed.references, await plane.secret("referring")) == ({}, CANARY)
    await plane.make(plane.organisation, key="env:ALLOWED_NOTHING", slug="empty")
    with pytest.raises(errors.CredentialUnavailable, match="ALLOWED_NOTHING"):
        await plane.virtual_keys.resolve(plane.project.project_id, "empty")


@pytest.mark.parametrize(
    "given",
    [
        {"provider": "azure-openai", "resourceName": "mine", "azure_auth_mode": "managed"},
        {"provider": "azure-openai", "resourceName": "mine", "azure_auth_mode": "workload", "key": CANARY},
        {
            "provider": "bedrock",
            "aws_role_arn": "arn:aws:iam::123456789012:role/files",
            "awsRegion": "us-east-1",
            "aws_s3_bucket": "my-files",
            "awsExternalId": CANARY,
        },
        {"provider": "vertex-ai", "vertex_auth_mode": "machine", "vertexRegion": "global", "vertexStorageBucketName": "files"},
    ],
)
async def test_the_identity_of_the_machine_is_the_organisations_to_lend(plane: Plane, given: dict[str, Any]) -> None:
    with pytest.raises(errors.OrganisationKeyNeeded, match="machine"):
        await plane.make(**given)
    lent = await plane.make(plane.organisation, **given)
    host = "https://mine.example.com"
    again = {name: "sk-new" for name in ("key", "awsExternalId") if name in given}
    with pytest.raises(errors.OrganisationKeyNeeded, match="machine"):
        await plane.change(lent.slug, custom_host=host, **again)
    assert (await plane.change(lent.slug, name="renamed")).custom_host is None
    assert (await plane.change(lent.slug, plane.organisation, custom_host=host, **again)).custom_host == host


async def test_a_provider_uses_the_credential_of_an_integration(plane: Plane) -> None:
    integration = await plane.integrate(key=CANARY, slug="production", custom_host="https://eu.example.com/v1")
    assert (integration.project_ids, await plane.virtual_keys.list(plane.organisation, View.PROVIDER)) == (frozenset(), [])
    made = await plane.make(plane.organisation, View.PROVIDER, integration_id="production", slug="team")
    opened = await plane.virtual_keys.resolve(plane.project.project_id, "team")
    assert (opened.secrets["api_key"].reveal(), opened.custom_host, opened.slug) == (CANARY, "https://eu.example.com/v1", "team")
    assert [key.slug for key in await plane.virtual_keys.list(plane.organisation, View.PROVIDER)] == ["team"]
    assert [key.slug for key in await plane.virtual_keys.list(plane.organisation, View.INTEGRATION)] == ["production"]
    assert (await plane.virtual_keys.get(plane.project, "team", View.PROVIDER)) == made
    for slug, view in (("team", View.INTEGRATION), ("production", View.PROVIDER)):
        with pytest.raises(errors.RecordNotFound):
            await plane.virtual_keys.get(plane.organisation, slug, view)
    for changes in ({"key": CANARY}, {"custom_host": "https://mine.example.com"}, {"sharing": "account"}):
        with pytest.raises(errors.InvalidValue):
            await plane.change("team", **changes)
    with pytest.raises(errors.RecordInUse, match="virtual key team"):
        await plane.virtual_keys.delete(plane.organisation, "production", NOBODY)


async def test_what_is_shared_wholly_is_so_only_where_the_integration_is_too(plane: Plane) -> None:
    await plane.integrate(slug="narrow", workspace_id="one")
    await plane.integrate(slug="wide", project_ids=["one", "other"], sharing="account")
    with pytest.raises(errors.InvalidValue):
        await plane.make(plane.organisation, integration_id="narrow", sharing="account")
    await plane.make(integration_id="wide", slug="all", sharing="account")
    await plane.make(integration_id="wide", slug="own")
    sharing = [(await plane.virtual_keys.resolve(plane.project.project_id, slug)).sharing for slug in ("all", "own")]
    assert sharing == [Sharing.ACCOUNT, Sharing.PROJECT]
    await plane.change("wide", plane.organisation, sharing="project")
    assert (await plane.virtual_keys.resolve(plane.project.project_id, "all")).sharing is Sharing.PROJECT


async def test_an_integration_is_not_taken_from_a_project_that_has_made_providers_of_it(plane: Plane) -> None:
    await plane.integrate(slug="production", project_ids=["one", "other"])
    await plane.make(plane.project, integration_id="production", slug="team")
    change = {"params": {"one": "workspaces[0].id", "other": "workspaces[1].id"}}
    with pytest.raises(errors.RecordInUse, match="virtual key team"):
        await plane.virtual_keys.allow_projects(plane.organisation, "production", {"one": False}, NOBODY, **change)
    after = await plane.virtual_keys.allow_projects(plane.organisation, "production", {"other": False}, NOBODY, **change)
    assert after.project_ids == {plane.project.project_id}
    for wanted in ({"other": True}, {"one": False}, {"unknown": True}):
        with pytest.raises(errors.OrganisationKeyNeeded):
            await plane.virtual_keys.allow_projects(plane.project, "production", wanted, NOBODY, {"unknown": "x", **change["params"]})


async def test_an_expired_virtual_key_is_refused_from_its_second_on(plane: Plane) -> None:
    end = plane.clock.now_ms() // 1000 + 60
    await plane.integrate(slug="production", workspace_id="one")
    made = await plane.make(plane.organisation, integration_id="production", slug="team")
    await plane.virtual_keys.update(plane.organisation, "production", integration_wishes({"expires_at": iso(end)}), NOBODY)
    plane.clock.advance(59)
    await plane.virtual_keys.resolve(plane.project.project_id, made.slug)
    plane.clock.advance(1)
    with pytest.raises(errors.InvalidValue, match="production' has expired"):
        await plane.virtual_keys.resolve(plane.project.project_id, made.slug)


def iso(seconds: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat()


async def test_changes_of_different_fields_at_once_are_all_kept(plane: Plane) -> None:
    made = await plane.make(key=CANARY)
    changes: list[dict[str, Any]] = [{"name": "New"}, {"note": "why"}, {"openai_project": "proj-1"}, {"expires_at": "2100-01-01"}]
    await asyncio.gather(*[plane.change(made.slug, **one) for one in changes])
    after = await plane.virtual_keys.get(plane.project, made.slug)
    assert (after.name, after.note, dict(after.clear), after.expires_at) == ("New", "why", {"openai_project": "proj-1"}, 4_102_444_800)
    assert (after.version, await plane.secret(made.slug)) == (5, CANARY)


async def test_a_change_that_is_overtaken_for_ever_is_told_as_a_conflict(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await plane.make()

    async def overtaken(*_: object) -> None:
        raise RecordChanged(made.slug)

    monkeypatch.setattr(plane.metadata, "update_virtual_key", overtaken)
    with pytest.raises(errors.RecordChanged):
        await plane.change(made.slug, name="New")


async def test_a_damaged_credential_or_a_lost_master_key_is_told_without_the_secret(plane: Plane) -> None:
    made = await plane.make(key=CANARY, slug="mine")
    plane.vault._opened.clear()
    damaged = replace(made, sealed=replace(made.sealed, fields={"api_key": "AAAA"}))
    await plane.metadata._engine.write(
        lambda connection: connection.execute("UPDATE virtual_keys SET encrypted_fields = ?", (json.dumps(dict(damaged.sealed.fields)),))
    )
    with pytest.raises(errors.CredentialUnavailable, match="virtual key 'mine'") as refusal:
        await plane.virtual_keys.resolve(plane.project.project_id, "mine")
    assert CANARY not in str(refusal.value)
    await plane.change("mine", name="still changeable")
    await plane.change("mine", key="sk-new")
    assert await plane.secret("mine") == "sk-new"


async def test_a_project_cannot_let_a_credential_reach_further_that_the_organisation_stored_for_it(plane: Plane) -> None:
    end = plane.clock.now_ms() // 1000 + 3_600
    shown = datetime.fromtimestamp(end, UTC).isoformat()
    await plane.integrate(slug="lent", project_ids=["one"], expires_at=shown)
    for changes in ({"sharing": "account"}, {"expires_at": None}, {"expires_at": "2090-01-01T00:00:00Z"}):
        with pytest.raises(errors.OrganisationKeyNeeded):
            await plane.change("lent", **changes)
    narrower = await plane.change("lent", expires_at=datetime.fromtimestamp(end - 60, UTC).isoformat())
    assert (narrower.sharing, narrower.expires_at) == (Sharing.PROJECT, end - 60)
    known = await plane.change("lent", key="sk-known", sharing="account", expires_at=None)
    assert (known.sharing, known.expires_at) == (Sharing.ACCOUNT, None)


async def test_what_another_project_has_made_of_a_credential_is_not_named(plane: Plane) -> None:
    await plane.integrate(slug="lent", project_ids=["other"])
    await plane.make(plane.organisation, integration_id="lent", slug="of-one", workspace_id="one")
    await plane.make(plane.other, integration_id="lent", slug="of-other")
    with pytest.raises(errors.RecordInUse, match="virtual key of-other, another project") as refusal:
        await plane.virtual_keys.delete(plane.other, "lent", NOBODY)
    assert "of-one" not in refusal.value.message
