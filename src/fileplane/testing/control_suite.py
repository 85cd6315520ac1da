"""What every MetadataStore promises of projects, API keys and saved configs, as tests.

An implementation's own test file subclasses :class:`MetadataControlSuite` and gives it the fixtures ``clock`` and ``store``.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from typing import Any

import pytest

from fileplane.access import ApiKey, Defaults, KeyKind, Limits, NewApiKey, NewProject, Project
from fileplane.credentials import Sealed
from fileplane.errors import InvalidApiKey
from fileplane.ids import uuid7
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.control import (
    ApiKeyNotFound,
    ConfigNotFound,
    DataKeyRetired,
    MasterKeyChanged,
    RecordChanged,
    ReferenceMissing,
    SlugTaken,
    StillInUse,
    UnknownProject,
)
from fileplane.model import AuditQuery, Origin
from fileplane.saved_configs import NewConfig, NewConfigVersion, SavedConfig
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, RETENTION, StoreFixtures, make_project, record_file
from fileplane.testing.secrets_suite import changed, new_data_key, new_virtual_key

SOMEBODY = Origin("key", "192.0.2.1", "req_1", "POST", "/v1/configs")
EVERY_LIMIT = Limits(1, 2, 3, 4, 5, 6)


def hash_of(text: str) -> bytes:
    """As an API key is stored."""
    return hashlib.sha256(text.encode()).digest()


async def make_key(store: MetadataStore, project: Project, plain: str = "plain", **values: Any) -> ApiKey:
    """Makes an API key."""
    defaults: dict[str, Any] = {"name": f"the {plain}", "hint": plain[-4:], "scopes": frozenset({"files.read"})}
    return await store.create_api_key(NewApiKey(project_id=project.id, key_hash=hash_of(plain), **(defaults | values)), NOBODY)


def document(data_key_id: str, text: str = "ciphertext", **values: Any) -> NewConfigVersion:
    """A document that could have been encrypted."""
    return NewConfigVersion(uuid7(1), Sealed({"document": text}, frozenset({data_key_id})), **values)


class MetadataControlSuite(StoreFixtures):
    """See the module."""

    @pytest.fixture
    async def data_key(self, store: MetadataStore) -> str:
        """The data key that encrypts."""
        return await new_data_key(store)

    async def make_config(self, store: MetadataStore, project: Project, data_key: str, slug: str = "pc-mine", **values: Any) -> SavedConfig:
        """Saves a config."""
        return await store.create_config(NewConfig(project.id, slug, f"the {slug}", document(data_key, **values)), SOMEBODY)

    async def changes_of(self, store: MetadataStore, resource_id: str) -> list[str]:
        """What the audit log says of a resource, oldest first."""
        entries = (await store.list_audit(AuditQuery(100, resource_id=resource_id))).entries
        return [f"{entry.resource_type}.{entry.action}" for entry in reversed(entries)]

    async def test_a_project_keeps_what_it_was_made_with(self, store: MetadataStore, clock: ManualClock) -> None:
        new = NewProject("mine", "Größe", "what for", EVERY_LIMIT, Defaults(metadata={"team": "ä"}, allow_override=False))
        made = await store.create_project(new, NOBODY)
        for name in ("slug", "name", "description", "limits", "defaults"):
            assert getattr(made, name) == getattr(new, name), name
        now = clock.now_ms() // 1000
        assert (made.created_at, made.updated_at, made.version) == (now, now, 1)
        assert [await store.find_project(made.id), await store.find_project("mine"), *await store.list_projects()] == [made] * 3

    async def test_an_unknown_project_is_not_found(self, store: MetadataStore, project: Project) -> None:
        for text in ("unknown", "", uuid7(0), project.name + "x"):
            with pytest.raises(UnknownProject):
                await store.find_project(text)
        with pytest.raises(UnknownProject):
            await store.update_project(replace(project, id=uuid7(0)), NOBODY)
        with pytest.raises(UnknownProject):
            await store.delete_project(uuid7(0), NOBODY)

    async def test_of_racing_updates_of_a_project_one_wins(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        clock.advance(5)
        attempts = [store.update_project(replace(project, name=f"name {number}", limits=EVERY_LIMIT), NOBODY) for number in range(6)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert [outcome for outcome in outcomes if isinstance(outcome, Project)] == [await store.find_project(project.id)]
        assert sum(isinstance(outcome, RecordChanged) for outcome in outcomes) == 5
        after = await store.find_project(project.id)
        assert (after.version, after.updated_at - after.created_at, after.limits) == (2, 5, EVERY_LIMIT)

    async def test_the_slug_of_a_project_is_not_changed(self, store: MetadataStore, project: Project) -> None:
        assert (await store.update_project(replace(project, slug="another"), NOBODY)).slug == project.slug

    async def test_a_removed_project_is_gone_with_its_keys_and_its_slug_is_free(self, store: MetadataStore, project: Project) -> None:
        key = await make_key(store, project)
        assert await store.revoke_api_key(key.id, NOBODY)
        await store.delete_project(project.id, SOMEBODY)
        assert await store.list_projects() == []
        with pytest.raises(UnknownProject):
            await store.find_project(project.id)
        assert await store.find_api_key(hash_of("plain")) is None
        again = await make_project(store, project.slug)
        assert again.id != project.id
        assert await self.changes_of(store, project.id) == ["workspaces.create", "workspaces.delete"]

    async def test_nothing_is_made_in_a_project_that_is_gone(self, store: MetadataStore, project: Project, data_key: str) -> None:
        await store.delete_project(project.id, NOBODY)
        for attempt in (
            make_key(store, project),
            self.make_config(store, project, data_key),
            store.create_virtual_key(new_virtual_key("mine", project_ids=frozenset({project.id})), NOBODY),
        ):
            with pytest.raises(UnknownProject):
                await attempt
        with pytest.raises(InvalidApiKey):
            await record_file(store, project.id)

    async def test_a_project_in_use_is_not_removed_and_what_uses_it_is_counted(
        self, store: MetadataStore, project: Project, other: Project, data_key: str, clock: ManualClock
    ) -> None:
        keys = [await make_key(store, project, f"plain {number}") for number in range(2)]
        for slug in ("virtual", "shared"):
            await store.create_virtual_key(new_virtual_key(slug, project_ids=frozenset({project.id, other.id})), NOBODY)
        await self.make_config(store, project, data_key, virtual_keys=frozenset({"virtual"}))
        with pytest.raises(StillInUse) as refusal:
            await store.delete_project(project.id, NOBODY)
        assert refusal.value.users == ("2 API keys", "1 config", "2 virtual keys")
        file = await record_file(store, project.id)
        ended = await record_file(store, project.id, expires_after=3_600)
        clock.advance(3_600)
        with pytest.raises(StillInUse) as refusal:
            await store.delete_project(project.id, NOBODY, force=True)
        assert refusal.value.users[0] == "1 file"
        await store.delete_file(project.id, file.id, RETENTION, NOBODY)
        await store.delete_project(project.id, SOMEBODY, force=True)
        assert [key.revoked_at for key in await store.list_api_keys(project.id)] == [clock.now_ms() // 1000] * 2
        assert await store.list_configs() == []
        assert [key.project_ids for key in await store.list_virtual_keys()] == [frozenset({other.id})] * 2
        assert (await self.changes_of(store, keys[0].id))[-1] == "api_keys.delete"
        assert {remains.file_id for remains in await store.ended_files(None, 10)} == {ended.id}

    async def test_a_project_that_the_organisations_keys_work_in_stays(self, store: MetadataStore, project: Project) -> None:
        await make_key(store, project, kind=KeyKind.ORGANISATION_SERVICE)
        with pytest.raises(StillInUse):
            await store.delete_project(project.id, NOBODY, force=True)

    async def test_an_api_key_keeps_what_it_was_made_with(self, store: MetadataStore, project: Project, clock: ManualClock) -> None:
        new = NewApiKey(
            project.id,
            "name",
            hash_of("plain"),
            "lain",
            frozenset({"files.read", "files.write"}),
            KeyKind.WORKSPACE_USER,
            expires_at=clock.now_ms() // 1000 + 60,
            description="what for",
            user_id="somebody",
            other_scopes=frozenset({"prompts.render"}),
            limits=EVERY_LIMIT,
            defaults=Defaults(metadata={"tier": "gold"}),
        )
        made = await store.create_api_key(new, NOBODY)
        for name in ("project_id", "name", "hint", "scopes", "kind", "expires_at", "description", "user_id", "other_scopes", "limits"):
            assert getattr(made, name) == getattr(new, name), name
        assert (made.defaults, made.organisation, made.last_used_at, made.version) == (new.defaults, False, None, 1)
        assert await store.get_api_key(made.id) == made
        found = await store.find_api_key(hash_of("plain"))
        assert found is not None
        assert (found.key, found.project, found.works_until) == (made, project, None)

    async def test_an_updated_key_is_another_to_whoever_read_it_before(self, store: MetadataStore, project: Project) -> None:
        key = await make_key(store, project)
        after = replace(key, name="new", scopes=frozenset(), other_scopes=frozenset({"a.b"}), limits=EVERY_LIMIT, expires_at=7)
        updated = await store.update_api_key(after, SOMEBODY)
        assert updated == replace(after, version=2)
        with pytest.raises(RecordChanged):
            await store.update_api_key(after, SOMEBODY)
        with pytest.raises(RecordChanged):
            await store.rotate_api_key(key, hash_of("new"), "new", 60, SOMEBODY)
        found = await store.find_api_key(hash_of("plain"))
        assert found is not None
        assert (found.key, await store.find_api_key(hash_of("new"))) == (updated, None)
        assert await self.changes_of(store, key.id) == ["api_keys.create", "api_keys.update"]

    async def test_a_rotated_key_works_in_both_forms_until_the_overlap_ends(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        key = await make_key(store, project, "first")
        now = clock.now_ms() // 1000
        key = await store.rotate_api_key(key, hash_of("second"), "cond", 60, SOMEBODY)
        clock.advance(10)
        key = await store.rotate_api_key(key, hash_of("third"), "hird", 100, SOMEBODY)
        found = {plain: await store.find_api_key(hash_of(plain)) for plain in ("first", "second", "third")}
        ends = {plain: known.works_until for plain, known in found.items() if known is not None}
        assert ends == {"first": now + 60, "second": now + 110, "third": None}
        assert [known.key for known in found.values() if known is not None and known.works_at(now + 59)] == [key] * 3
        assert [plain for plain, known in found.items() if known is not None and known.works_at(now + 60)] == ["second", "third"]
        assert (key.hint, key.version) == ("hird", 3)

    async def test_a_key_that_was_rotated_without_an_overlap_is_unknown(self, store: MetadataStore, project: Project) -> None:
        key = await make_key(store, project, "first")
        await store.rotate_api_key(key, hash_of("second"), "cond", 0, SOMEBODY)
        assert await store.find_api_key(hash_of("first")) is None

    async def test_a_revocation_ends_every_form_of_a_key(self, store: MetadataStore, project: Project) -> None:
        key = await make_key(store, project, "first")
        key = await store.rotate_api_key(key, hash_of("second"), "cond", 3_600, SOMEBODY)
        assert await store.revoke_api_key(key.id, SOMEBODY)
        assert await store.find_api_key(hash_of("first")) is None
        found = await store.find_api_key(hash_of("second"))
        assert found is not None
        assert found.key.revoked_at is not None
        for attempt in (
            store.get_api_key(key.id),
            store.update_api_key(found.key, NOBODY),
            store.rotate_api_key(found.key, hash_of("third"), "hird", 0, NOBODY),
        ):
            with pytest.raises(ApiKeyNotFound):
                await attempt
        assert await self.changes_of(store, key.id) == ["api_keys.create", "api_keys.rotate", "api_keys.delete"]

    async def test_the_last_use_of_a_key_never_goes_back(self, store: MetadataStore, project: Project) -> None:
        key = await make_key(store, project)
        for used_at in (100, 160, 130):
            await store.note_key_use(key.id, used_at)
        after = await store.get_api_key(key.id)
        assert (after.last_used_at, after.version) == (160, key.version)

    async def test_a_config_keeps_every_document_it_has_had(self, store: MetadataStore, project: Project, data_key: str) -> None:
        made = await self.make_config(store, project, data_key, text="one")
        assert (made.number, made.sealed.fields["document"], made.created_by, made.is_default) == (1, "one", "key", False)
        renamed = await store.update_config(made, "renamed", None, NOBODY)
        assert (renamed.name, renamed.number, renamed.version_id, renamed.updated_by) == ("renamed", 1, made.version_id, None)
        second = document(data_key, "two")
        now = await store.update_config(renamed, "renamed", second, SOMEBODY)
        assert (now.number, now.version_id, now.sealed) == (2, second.id, second.sealed)
        versions = await store.list_config_versions("pc-mine")
        assert [(version.number, version.sealed.fields["document"]) for version in versions] == [(2, "two"), (1, "one")]
        assert [await store.get_config("pc-mine"), *await store.list_configs(project.id)] == [now] * 2
        assert await self.changes_of(store, made.id) == ["configs.create", "configs.update", "configs.update"]

    async def test_a_document_that_comes_into_force_leaves_a_new_name_as_it_is(
        self, store: MetadataStore, project: Project, data_key: str
    ) -> None:
        made = await self.make_config(store, project, data_key)
        await store.update_config(made, "renamed", None, NOBODY)
        assert (await store.update_config(made, None, document(data_key, "two"), NOBODY)).name == "renamed"

    async def test_of_racing_documents_one_comes_into_force(self, store: MetadataStore, project: Project, data_key: str) -> None:
        made = await self.make_config(store, project, data_key)
        attempts = [store.update_config(made, "name", document(data_key, f"text {number}"), NOBODY) for number in range(6)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert sum(isinstance(outcome, RecordChanged) for outcome in outcomes) == 5
        assert len(await store.list_config_versions("pc-mine")) == 2

    async def test_a_config_is_of_its_project_and_its_slug_is_taken_once(
        self, store: MetadataStore, project: Project, other: Project, data_key: str
    ) -> None:
        made = await self.make_config(store, project, data_key)
        with pytest.raises(SlugTaken):
            await self.make_config(store, other, data_key)
        assert (await store.list_configs(other.id), await store.list_configs()) == ([], [made])
        with pytest.raises(ConfigNotFound):
            await store.get_config("pc-unknown")
        with pytest.raises(ConfigNotFound):
            await store.list_config_versions("pc-unknown")

    async def test_a_config_names_only_what_its_project_may_use(
        self, store: MetadataStore, project: Project, other: Project, data_key: str
    ) -> None:
        await store.create_virtual_key(new_virtual_key("foreign", project_ids=frozenset({other.id})), NOBODY)
        await self.make_config(store, other, data_key, "pc-foreign")
        for values, kind in (
            ({"virtual_keys": frozenset({"foreign"})}, "virtual key"),
            ({"virtual_keys": frozenset({"unknown"})}, "virtual key"),
            ({"configs": frozenset({"pc-foreign"})}, "config"),
        ):
            with pytest.raises(ReferenceMissing) as refusal:
                await self.make_config(store, project, data_key, "pc-mine", **values)
            assert refusal.value.kind == kind
        assert await store.list_configs(project.id) == []
        assert len((await store.list_audit(AuditQuery(100, action="create", resource_type="configs"))).entries) == 1

    async def test_what_a_config_names_cannot_be_removed(self, store: MetadataStore, project: Project, data_key: str) -> None:
        virtual_key = await store.create_virtual_key(new_virtual_key("mine", project_ids=frozenset({project.id})), NOBODY)
        await self.make_config(store, project, data_key, "pc-inner")
        outer = await self.make_config(
            store, project, data_key, "pc-outer", virtual_keys=frozenset({"mine"}), configs=frozenset({"pc-inner"})
        )
        for attempt in (
            store.delete_virtual_key("mine", NOBODY),
            store.update_virtual_key(virtual_key, changed(virtual_key, project_ids=frozenset()), NOBODY),
            store.delete_config("pc-inner", NOBODY),
        ):
            with pytest.raises(StillInUse) as refusal:
                await attempt
            assert refusal.value.users == ("config pc-outer",)
        await store.update_config(outer, "name", document(data_key), NOBODY)
        await store.delete_virtual_key("mine", NOBODY)
        await store.delete_config("pc-inner", NOBODY)

    async def test_a_default_route_is_a_config_of_the_project_and_cannot_be_removed(
        self, store: MetadataStore, project: Project, other: Project, data_key: str
    ) -> None:
        await self.make_config(store, project, data_key)
        key, route = await make_key(store, project), Defaults("pc-mine", allow_override=False)
        foreign = await make_key(store, other, "foreign")
        for attempt in (
            store.update_project(replace(other, defaults=route), NOBODY),
            store.update_api_key(replace(foreign, defaults=route), NOBODY),
            make_key(store, other, "another", defaults=route),
        ):
            with pytest.raises(ReferenceMissing):
                await attempt
        project = await store.update_project(replace(project, defaults=route), NOBODY)
        key = await store.update_api_key(replace(key, defaults=route), NOBODY)
        assert (project.defaults, key.defaults) == (route, route)
        assert (await store.get_config("pc-mine")).is_default
        with pytest.raises(StillInUse) as refusal:
            await store.delete_config("pc-mine", NOBODY)
        assert refusal.value.users == (f"API key {key.id}", f"project {project.slug}")
        await store.update_project(replace(project, defaults=Defaults()), NOBODY)
        await store.revoke_api_key(key.id, NOBODY)
        await store.delete_config("pc-mine", SOMEBODY)
        assert await store.list_configs() == []

    async def test_the_documents_of_configs_are_encrypted_anew_like_virtual_keys(
        self, store: MetadataStore, project: Project, data_key: str
    ) -> None:
        made = await self.make_config(store, project, data_key, text="one")
        await store.update_config(made, "name", document(data_key, "two"), NOBODY)
        active = await new_data_key(store)
        with pytest.raises(DataKeyRetired):
            await self.make_config(store, project, data_key, "pc-late")
        assert await store.drop_unused_data_keys(NOBODY) == []
        stale = await store.stale_records("", 10)
        assert [(found.kind, found.label) for found in stale] == [("config_version", "config 'pc-mine'")] * 2
        for found in stale:
            anew = Sealed({"document": f"{found.sealed.fields['document']} anew"}, frozenset({active}))
            assert await store.reseal_record(found, anew, NOBODY)
            assert not await store.reseal_record(found, anew, NOBODY)
        texts = [version.sealed.fields["document"] for version in await store.list_config_versions("pc-mine")]
        assert texts == ["two anew", "one anew"]
        assert await store.drop_unused_data_keys(NOBODY) == [data_key]
        await store.delete_config("pc-mine", NOBODY)
        await new_data_key(store)
        assert await store.drop_unused_data_keys(NOBODY) == [active]

    async def test_a_provider_uses_the_credential_of_another_virtual_key(
        self, store: MetadataStore, project: Project, data_key: str
    ) -> None:
        await store.create_virtual_key(new_virtual_key("credential", data_key), NOBODY)
        made = await store.create_virtual_key(
            new_virtual_key("provider", integration="credential", project_ids=frozenset({project.id}), expires_at=9), NOBODY
        )
        assert (made.integration, made.expires_at, made.sealed) == ("credential", 9, Sealed())
        with pytest.raises(StillInUse) as refusal:
            await store.delete_virtual_key("credential", NOBODY)
        assert refusal.value.users == ("virtual key provider",)
        for values in ({"integration": "unknown"}, {"integration": "provider"}, {"integration": "credential", "provider": "anthropic"}):
            with pytest.raises(ReferenceMissing):
                await store.create_virtual_key(new_virtual_key("wrong", **values), NOBODY)
        await store.delete_virtual_key("provider", NOBODY)
        await store.delete_virtual_key("credential", NOBODY)

    async def test_what_a_lost_master_key_has_encrypted_can_be_given_up_and_nothing_else_is(
        self, store: MetadataStore, project: Project, data_key: str
    ) -> None:
        sealed = await store.create_virtual_key(new_virtual_key("sealed", data_key, project_ids=frozenset({project.id})), NOBODY)
        plain = await store.create_virtual_key(new_virtual_key("plain", references={"api_key": "env:KEY"}), NOBODY)
        config = await self.make_config(store, project, data_key, virtual_keys=frozenset({"sealed"}))
        in_force = str(await store.master_key_id())
        with pytest.raises(MasterKeyChanged):
            await store.forget_ciphertexts("another", "new", NOBODY)
        assert await store.get_virtual_key("sealed") == sealed
        await store.forget_ciphertexts(in_force, "new", SOMEBODY)
        assert (await store.master_key_id(), await store.list_data_keys()) == ("new", [])
        after = await store.get_virtual_key("sealed")
        assert (after.sealed, after.version) == (Sealed(dict.fromkeys(sealed.sealed.fields, "")), sealed.version + 1)
        assert replace(after, sealed=sealed.sealed, version=sealed.version, updated_at=sealed.updated_at) == sealed
        assert await store.get_virtual_key("plain") == plain
        assert replace(await store.get_config("pc-mine"), sealed=config.sealed) == config
        assert (await store.get_config("pc-mine")).sealed == Sealed({"document": ""})
        with pytest.raises(StillInUse):
            await store.delete_virtual_key("sealed", NOBODY)
        assert await self.changes_of(store, in_force) == ["secrets.forget"]
