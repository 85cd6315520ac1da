"""Saving, changing, showing and resolving configs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from control.conftest import NOBODY, Plane
from fileplane import errors
from fileplane.access import Defaults
from fileplane.control.config_directory import opened
from fileplane.control.configs import CACHE_SECONDS, Configs
from fileplane.control.forgetting import forget, planned_loss
from fileplane.metadata.control import RecordChanged
from fileplane.secrets.master_key import MasterKeyMissing, MasterKeySource, unlock
from fileplane.secrets.vault import Vault

CANARY = "sk-canary-saved-config-9f8e"
NATIVE = {"provider": "fileplane"}


async def stored(plane: Plane, slug: str) -> dict[str, Any]:
    return await opened(plane.vault, slug, await plane.metadata.get_config(slug))


@pytest.mark.parametrize("text", [False, True], ids=["object", "text"])
async def test_a_document_is_kept_as_it_was_written_and_shown_without_its_secrets(plane: Plane, text: bool) -> None:
    document = {"provider": "openai", "api_key": CANARY, "retry": {"attempts": 2}, "my_token": CANARY, "trace_id": "träce"}
    saved = await plane.save(json.dumps(document) if text else document)
    assert saved.slug.startswith("pc-mine-")
    assert await stored(plane, saved.slug) == document
    shown = document | {"api_key": "********", "my_token": "********"}
    assert await plane.configs.document(saved) == shown
    _, versions = await plane.configs.versions(plane.project, saved.slug)
    assert [version.document for version in versions] == [shown]
    assert CANARY not in f"{saved!r} {versions!r}"


@pytest.mark.parametrize("place", ["api_key", "my_token", "aws_secret_access_key"])
async def test_what_is_shown_can_not_be_saved_over_the_secrets(plane: Plane, place: str) -> None:
    saved = await plane.save({"targets": [{"provider": "openai", "api_key": CANARY, place: CANARY}]})
    with pytest.raises(errors.InvalidValue) as refusal:
        await plane.configs.update(plane.project, saved.slug, {"config": {"targets": [{"provider": "openai", place: "********"}]}}, NOBODY)
    assert refusal.value.param == f"targets[0].{place}"
    assert (await plane.metadata.get_config(saved.slug)).number == 1


@pytest.mark.parametrize(
    ("given", "error", "param"),
    [
        ({"name": None}, errors.MissingParameter, "name"),
        ({"name": ""}, errors.InvalidValue, "name"),
        ({"config": None}, errors.MissingParameter, "config"),
        ({"config": "not json " + CANARY}, errors.InvalidValue, "config"),
        ({"config": []}, errors.InvalidValue, "config"),
        ({"config": '{"provider": "fileplane", "provider": "openai"}'}, errors.InvalidValue, "provider"),
        (
            {"config": {"strategy": {"mode": "fallback"}, "targets": [NATIVE, {"provider": "nobody"}]}},
            errors.InvalidValue,
            "targets[1].provider",
        ),
        ({"config": {"targets": [{"virtual_key": "nobody"}]}}, errors.InvalidValue, "targets[0].virtual_key"),
        ({"config": {"provider": "@theirs"}}, errors.InvalidValue, "virtual_key"),
        ({"config": {"targets": [{"config": "pc-theirs"}]}}, errors.InvalidValue, "targets[0].config"),
        ({"config": {"provider": "openai", "api_key": CANARY + "\n"}}, errors.InvalidValue, "api_key"),
        ({"slug": "mine"}, errors.InvalidValue, "slug"),
        ({"slug": "pc-Mine"}, errors.InvalidValue, "slug"),
        ({"status": "archived"}, errors.InvalidValue, "status"),
        ({"is_default": 2}, errors.InvalidValue, "is_default"),
        ({"isDefault": "yes"}, errors.InvalidValue, "isDefault"),
        ({"isDefault": 1, "is_default": 1}, errors.InvalidValue, "isDefault"),
        ({"workspace_id": "other"}, errors.OrganisationKeyNeeded, "workspace_id"),
        ({"workspace_id": "unknown"}, errors.OrganisationKeyNeeded, "workspace_id"),
    ],
)
async def test_what_is_wrong_is_named_and_no_secret_repeated(
    plane: Plane, given: dict[str, Any], error: type[errors.FileplaneError], param: str
) -> None:
    await plane.make(plane.other, slug="theirs")
    await plane.save(NATIVE, plane.other, slug="pc-theirs")
    with pytest.raises(error) as refusal:
        await plane.configs.create(plane.project, {"name": "Mine", "config": NATIVE} | given, NOBODY)
    assert refusal.value.param == param
    assert CANARY not in str(refusal.value)
    assert await plane.configs.list(plane.project) == []


async def test_a_project_reaches_its_own_configs_and_the_organisation_all(plane: Plane) -> None:
    theirs = await plane.save(NATIVE, plane.other, slug="pc-theirs")
    for slug in ("pc-theirs", "pc-never"):
        for attempt in (
            plane.configs.get(plane.project, slug),
            plane.configs.versions(plane.project, slug),
            plane.configs.update(plane.project, slug, {"name": "mine"}, NOBODY),
            plane.configs.delete(plane.project, slug, NOBODY),
            plane.configs.resolve(plane.project.project_id, slug),
        ):
            with pytest.raises(errors.RecordNotFound):
                await attempt
    with pytest.raises(errors.SlugTaken):
        await plane.save(NATIVE, slug="pc-theirs")
    assert await plane.configs.list(plane.organisation) == [theirs]
    assert await plane.configs.list(plane.organisation, "one") == []
    made = await plane.save(NATIVE, plane.organisation, workspace_id="other")
    assert made.project_id == plane.other.project_id


async def test_a_change_of_the_document_is_a_version_and_one_of_the_name_is_none(plane: Plane) -> None:
    saved = await plane.save(NATIVE)
    renamed = await plane.configs.update(plane.project, saved.slug, {"name": "New", "slug": saved.slug, "status": "active"}, NOBODY)
    assert (renamed.name, renamed.version_id) == ("New", saved.version_id)
    after = await plane.configs.update(plane.project, saved.slug, {"config": {**NATIVE, "request_timeout": 5}}, NOBODY)
    assert (after.name, after.number, after.version_id != saved.version_id) == ("New", 2, True)
    _, versions = await plane.configs.versions(plane.project, saved.slug)
    assert [(version.number, version.document) for version in versions] == [(2, {**NATIVE, "request_timeout": 5}), (1, NATIVE)]


async def test_changes_at_once_are_all_carried_out(plane: Plane) -> None:
    saved = await plane.save(NATIVE)
    changes: list[dict[str, Any]] = [{"name": "New"}, *({"config": {**NATIVE, "request_timeout": number}} for number in (1, 2, 3))]
    await asyncio.gather(*[plane.configs.update(plane.project, saved.slug, one, NOBODY) for one in changes])
    after = await plane.configs.get(plane.project, saved.slug)
    assert (after.number, after.name) == (4, "New")


async def test_a_change_that_is_overtaken_for_ever_is_told_as_a_conflict(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = await plane.save(NATIVE)

    async def overtaken(*_: object) -> None:
        raise RecordChanged(saved.slug)

    monkeypatch.setattr(plane.metadata, "update_config", overtaken)
    with pytest.raises(errors.RecordChanged):
        await plane.configs.update(plane.project, saved.slug, {"name": "New"}, NOBODY)


async def test_the_default_of_a_project_is_one_config_and_can_be_taken_back(plane: Plane) -> None:
    first = await plane.save(NATIVE, isDefault=1)
    second = await plane.save(NATIVE, is_default=0)
    assert (first.is_default, second.is_default) == (True, False)
    second = await plane.configs.update(plane.project, second.slug, {"is_default": True}, NOBODY)
    assert [one.slug for one in await plane.configs.list(plane.project) if one.is_default] == [second.slug]
    with pytest.raises(errors.RecordInUse, match="project one"):
        await plane.configs.delete(plane.project, second.slug, NOBODY)
    await plane.configs.update(plane.project, second.slug, {"isDefault": 0}, NOBODY)
    await plane.configs.delete(plane.project, second.slug, NOBODY)
    assert (await plane.metadata.find_project("one")).defaults.config is None


async def test_what_a_config_names_stays_and_a_circle_is_refused(plane: Plane) -> None:
    await plane.make(slug="mine")
    inner = await plane.save({"virtual_key": "mine"}, slug="pc-inner")
    outer = await plane.save(
        {"targets": [{"config": "pc-inner"}, {"provider": "@mine"}], "strategy": {"mode": "fallback"}}, slug="pc-outer"
    )
    with pytest.raises(errors.RecordInUse, match="config pc-inner, config pc-outer"):
        await plane.virtual_keys.delete(plane.project, "mine", NOBODY)
    with pytest.raises(errors.RecordInUse, match="config pc-outer"):
        await plane.configs.delete(plane.project, inner.slug, NOBODY)
    with pytest.raises(errors.InvalidValue, match="leads back"):
        await plane.configs.update(plane.project, "pc-inner", {"config": {"targets": [{"config": "pc-outer"}]}}, NOBODY)
    resolved = await plane.configs.resolve(plane.project.project_id, outer.slug)
    assert resolved.root.targets[0].targets[0].credential.virtual_key == "mine"
    with pytest.raises(errors.RecordInUse, match="config pc-inner"):
        await plane.change("mine", plane.organisation, project_ids=["other"])


async def test_an_edited_config_takes_effect_in_every_worker_within_seconds(plane: Plane) -> None:
    saved = await plane.save({**NATIVE, "request_timeout": 1})
    another = Configs(plane.metadata, plane.vault, plane.clock)

    async def timeouts() -> list[int | None]:
        return [(await one.resolve(saved.project_id, saved.slug)).root.options.request_timeout_ms for one in (plane.configs, another)]

    assert await timeouts() == [1, 1]
    await plane.configs.update(plane.project, saved.slug, {"config": {**NATIVE, "request_timeout": 2}}, NOBODY)
    assert await timeouts() == [2, 1]
    assert CACHE_SECONDS <= 5
    plane.clock.advance(CACHE_SECONDS)
    assert await timeouts() == [2, 2]
    await plane.configs.delete(plane.project, saved.slug, NOBODY)
    plane.clock.advance(CACHE_SECONDS)
    with pytest.raises(errors.RecordNotFound):
        await plane.configs.resolve(saved.project_id, saved.slug)


async def test_after_a_lost_master_key_everything_but_the_secrets_is_there_and_can_be_set_anew(plane: Plane) -> None:
    await plane.make(slug="mine", openai_organization="org-1")
    await plane.make(plane.organisation, slug="referring", key="env:ALLOWED_KEY")
    config = await plane.save({"virtual_key": "mine"}, slug="pc-mine")
    source = MasterKeySource(plane.data_dir)
    assert (await planned_loss(plane.metadata, source)).master_key_id is None
    before = await plane.metadata.get_virtual_key("mine")
    source.path.unlink()
    with pytest.raises(MasterKeyMissing, match="fileplane secrets forget"):
        await unlock(plane.metadata, source)
    lost = await planned_loss(plane.metadata, source)
    assert (lost.virtual_keys, lost.configs) == ((("mine", ("api_key",)),), (("pc-mine", 1),))
    assert await plane.metadata.get_virtual_key("mine") == before

    new_id = await forget(plane.metadata, source, lost, NOBODY)
    key, made = await unlock(plane.metadata, source)
    assert (key.id, made, await plane.metadata.list_data_keys()) == (new_id, False, [])
    assert (await planned_loss(plane.metadata, source)).master_key_id is None
    vault = Vault(plane.metadata, source, key, plane.virtual_keys._references, plane.clock)
    plane.vault = plane.virtual_keys._vault = plane.configs._vault = vault

    for attempt in (
        plane.virtual_keys.resolve(plane.project.project_id, "mine"),
        plane.configs.document(config_of(await plane.configs.list(plane.project))),
    ):
        with pytest.raises(errors.CredentialUnavailable, match="Set it anew"):
            await attempt
    _, versions = await plane.configs.versions(plane.project, "pc-mine")
    assert [version.document for version in versions] == [None]
    assert await plane.secret("referring") == "sk-from-the-environment"
    after = await plane.metadata.get_virtual_key("mine")
    assert replace(after, sealed=before.sealed, version=before.version, updated_at=before.updated_at) == before
    with pytest.raises(errors.RecordInUse, match="config pc-mine"):
        await plane.virtual_keys.delete(plane.project, "mine", NOBODY)
    await plane.change("mine", key=CANARY)
    await plane.configs.update(plane.project, config.slug, {"config": {"virtual_key": "mine"}}, NOBODY)
    assert await plane.secret("mine") == CANARY
    assert (await plane.configs.resolve(plane.project.project_id, "pc-mine")).root.credential.virtual_key == "mine"


def config_of(configs: list[Any]) -> Any:
    (config,) = configs
    return config


async def bind(plane: Plane, slug: str) -> None:
    project = await plane.metadata.find_project("one")
    await plane.metadata.update_project(replace(project, defaults=Defaults(slug, allow_override=False)), NOBODY)


async def test_a_project_that_is_bound_to_its_route_does_not_choose_another_as_its_default(plane: Plane) -> None:
    bound, other = await plane.save(NATIVE), await plane.save(NATIVE)
    await bind(plane, bound.slug)
    for attempt in (
        plane.save(NATIVE, is_default=1),
        plane.configs.update(plane.project, other.slug, {"isDefault": 1}, NOBODY),
        plane.configs.update(plane.project, bound.slug, {"is_default": 0}, NOBODY),
    ):
        with pytest.raises(errors.OrganisationKeyNeeded):
            await attempt
    assert {one.slug: one.is_default for one in await plane.configs.list(plane.project)} == {bound.slug: True, other.slug: False}
    assert (await plane.configs.update(plane.organisation, other.slug, {"is_default": 1}, NOBODY)).is_default


async def test_two_changes_at_once_do_not_make_configs_lead_back_to_themselves(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = await plane.save(NATIVE), await plane.save(NATIVE)

    def leading_to(slug: str) -> dict[str, object]:
        return {"config": {"targets": [{"config": slug}]}}

    update_config = plane.metadata.update_config

    async def meanwhile(*arguments: Any) -> Any:
        # After the first has been looked at, and before it is written.
        monkeypatch.setattr(plane.metadata, "update_config", update_config)
        await plane.configs.update(plane.project, second.slug, leading_to(first.slug), NOBODY)
        return await update_config(*arguments)

    monkeypatch.setattr(plane.metadata, "update_config", meanwhile)
    with pytest.raises(errors.InvalidValue, match="leads back to itself"):
        await plane.configs.update(plane.project, first.slug, leading_to(second.slug), NOBODY)
    assert await stored(plane, first.slug) == NATIVE


@pytest.mark.parametrize(
    "credential",
    [
        {"provider": "azure-openai", "azure_resource_name": "mine", "azure_auth_mode": "managed"},
        {"provider": "azure-openai", "azure_resource_name": "mine", "azure_auth_mode": "workload"},
        {"provider": "bedrock", "aws_role_arn": "arn:aws:iam::123456789012:role/files", "aws_region": "us-east-1"},
        {"provider": "vertex-ai", "vertex_auth_mode": "machine", "vertex_storage_bucket_name": "files"},
    ],
    ids=["managed", "workload", "role", "machine"],
)
async def test_a_project_writes_no_identity_of_the_machine_into_a_config(plane: Plane, credential: dict[str, Any]) -> None:
    document = {"targets": [credential]}
    saved = await plane.save(NATIVE)
    for attempt in (plane.save(document), plane.configs.update(plane.project, saved.slug, {"config": document}, NOBODY)):
        with pytest.raises(errors.OrganisationKeyNeeded):
            await attempt
    assert await stored(plane, (await plane.save(document, plane.organisation)).slug) == document
    own = {"aws_access_key_id": "AKIA", "aws_secret_access_key": CANARY}
    if "aws_role_arn" in credential:
        assert (await plane.save({"targets": [credential | own]})).number == 1
