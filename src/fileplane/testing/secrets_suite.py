"""What every MetadataStore promises of master key, data keys and virtual keys, as tests.

An implementation's own test file subclasses :class:`MetadataSecretsSuite` and gives it the fixtures ``clock`` and ``store``.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from fileplane.access import ORGANISATION_ID, Project
from fileplane.credentials import NewDataKey, NewVirtualKey, Sealed, SealedRecord, Sharing, VirtualKey
from fileplane.ids import uuid7
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.control import (
    DataKeyRetired,
    DataKeysChanged,
    MasterKeyChanged,
    RecordChanged,
    SlugTaken,
    UnknownProject,
    VirtualKeyNotFound,
)
from fileplane.model import AuditQuery, Origin
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, StoreFixtures

MASTER = "master-1"


async def new_data_key(store: MetadataStore, master_key_id: str = MASTER) -> str:
    """Makes a data key and retires the one before."""
    await store.adopt_master_key(master_key_id)
    active = [key.id for key in await store.list_data_keys() if key.active]
    made = NewDataKey(uuid7(1), b"wrapped", master_key_id)
    assert await store.replace_data_key(made, active[0] if active else None, NOBODY)
    return made.id


def new_virtual_key(slug: str, data_key_id: str | None = None, **values: Any) -> NewVirtualKey:
    """A virtual key that could have been made."""
    sealed = Sealed() if data_key_id is None else Sealed({"api_key": f"ciphertext of {slug}"}, frozenset({data_key_id}))
    defaults: dict[str, Any] = {"id": uuid7(1), "name": f"the {slug}", "provider": "openai", "sealed": sealed}
    return NewVirtualKey(slug=slug, **(defaults | values))


def changed(key: VirtualKey, **values: Any) -> NewVirtualKey:
    """What it is to be instead."""
    same = {name: getattr(key, name) for name in NewVirtualKey.__dataclass_fields__}
    return NewVirtualKey(**(same | values))


def as_record(key: VirtualKey) -> SealedRecord:
    """Its ciphertexts, as a rotation sees them."""
    return SealedRecord("virtual_key", key.id, f"virtual key '{key.slug}'", key.sealed, key.version)


class MetadataSecretsSuite(StoreFixtures):
    """See the module."""

    async def actions(self, store: MetadataStore, resource_id: str) -> list[tuple[str, str, str]]:
        """What the audit log says of a resource, oldest first."""
        page = await store.list_audit(AuditQuery(100, resource_id=resource_id))
        return [(entry.resource_type, entry.action, entry.project_id) for entry in reversed(page.entries)]

    async def test_a_master_key_is_replaced_only_while_nothing_is_wrapped_by_it(self, store: MetadataStore) -> None:
        assert await store.master_key_id() is None
        assert await store.adopt_master_key("one") == "one"
        assert await store.adopt_master_key("two") == "two"
        await new_data_key(store, "two")
        assert await store.adopt_master_key("three") == "two"
        assert await store.master_key_id() == "two"

    async def test_of_racing_first_starts_one_master_key_is_in_force_for_all(self, store: MetadataStore) -> None:
        await asyncio.gather(*[store.adopt_master_key(f"key {number}") for number in range(5)])
        in_force = await store.master_key_id()
        await new_data_key(store, str(in_force))
        assert {await store.adopt_master_key(f"key {number}") for number in range(5)} == {in_force}

    async def test_one_data_key_at_most_is_active(self, store: MetadataStore, clock: ManualClock) -> None:
        first = await new_data_key(store)
        clock.advance(10)
        second = await new_data_key(store)
        one, two = await store.list_data_keys()
        assert (one.id, one.active, one.wrapped, one.uses) == (first, False, b"wrapped", 0)
        assert (two.id, two.active) == (second, True)
        assert one.retired_at == two.created_at == one.created_at + 10
        assert await self.actions(store, second) == [("secrets", "create_data_key", ORGANISATION_ID)]

    async def test_of_racing_replacements_one_wins_and_the_others_are_told(self, store: MetadataStore) -> None:
        active = await new_data_key(store)
        attempts = [store.replace_data_key(NewDataKey(uuid7(1), b"w", MASTER), active, NOBODY) for _ in range(8)]
        assert sorted(await asyncio.gather(*attempts)) == [False] * 7 + [True]
        assert len(await store.list_data_keys()) == 2

    async def test_a_data_key_wrapped_by_a_master_key_that_is_not_in_force_is_refused(self, store: MetadataStore) -> None:
        active = await new_data_key(store)
        with pytest.raises(MasterKeyChanged):
            await store.replace_data_key(NewDataKey(uuid7(1), b"w", "another"), active, NOBODY)
        assert [key.id for key in await store.list_data_keys()] == [active]

    async def test_a_new_master_key_comes_with_every_data_key_or_not_at_all(self, store: MetadataStore) -> None:
        first, second = await new_data_key(store), await new_data_key(store)
        with pytest.raises(DataKeysChanged):
            await store.rewrap_data_keys(MASTER, "master-2", {first: b"anew"}, NOBODY)
        with pytest.raises(MasterKeyChanged):
            await store.rewrap_data_keys("another", "master-2", {first: b"anew", second: b"anew"}, NOBODY)
        assert await store.master_key_id() == MASTER
        assert {key.wrapped for key in await store.list_data_keys()} == {b"wrapped"}
        await store.rewrap_data_keys(MASTER, "master-2", {first: b"anew 1", second: b"anew 2"}, NOBODY)
        assert await store.master_key_id() == "master-2"
        assert {key.id: key.wrapped for key in await store.list_data_keys()} == {first: b"anew 1", second: b"anew 2"}
        assert await self.actions(store, "master-2") == [("secrets", "rotate_master_key", ORGANISATION_ID)]

    async def test_a_virtual_key_is_found_by_its_slug_as_it_was_recorded(
        self, store: MetadataStore, project: Project, other: Project, clock: ManualClock
    ) -> None:
        data_key = await new_data_key(store)
        new = new_virtual_key(
            "mine",
            data_key,
            note="a note",
            custom_host="https://files.example.com/v1",
            sharing=Sharing.ACCOUNT,
            project_ids=frozenset({project.id, other.id}),
            clear={"openai_project": "p"},
            references={"openai_organization": "env:NAME"},
        )
        made = await store.create_virtual_key(new, NOBODY)
        assert made == await store.get_virtual_key("mine")
        assert changed(made) == new
        assert (made.version, made.created_at, made.updated_at) == (1, clock.now_ms() // 1000, clock.now_ms() // 1000)

    async def test_a_slug_is_used_once_in_the_organisation(self, store: MetadataStore, project: Project, other: Project) -> None:
        await store.create_virtual_key(new_virtual_key("taken", project_ids=frozenset({project.id})), NOBODY)
        with pytest.raises(SlugTaken):
            await store.create_virtual_key(new_virtual_key("taken", project_ids=frozenset({other.id})), NOBODY)
        assert [key.project_ids for key in await store.list_virtual_keys()] == [{project.id}]
        await store.delete_virtual_key("taken", NOBODY)
        await store.create_virtual_key(new_virtual_key("taken"), NOBODY)

    async def test_an_unknown_project_or_slug_is_told_apart(self, store: MetadataStore) -> None:
        with pytest.raises(UnknownProject):
            await store.create_virtual_key(new_virtual_key("mine", project_ids=frozenset({"nowhere"})), NOBODY)
        for attempt in (store.get_virtual_key("mine"), store.delete_virtual_key("mine", NOBODY)):
            with pytest.raises(VirtualKeyNotFound):
                await attempt
        assert (await store.list_audit(AuditQuery(10))).total == 0

    async def test_a_project_lists_what_it_may_use_and_nothing_else(
        self, store: MetadataStore, project: Project, other: Project, clock: ManualClock
    ) -> None:
        for slug, projects in [("one", {project.id}), ("both", {project.id, other.id}), ("none", set())]:
            await store.create_virtual_key(new_virtual_key(slug, project_ids=frozenset(projects)), NOBODY)
            clock.advance(1)
        assert [key.slug for key in await store.list_virtual_keys()] == ["one", "both", "none"]
        assert [key.slug for key in await store.list_virtual_keys(project.id)] == ["one", "both"]
        assert [key.slug for key in await store.list_virtual_keys(other.id)] == ["both"]

    async def test_an_update_replaces_everything_but_slug_and_provider(
        self, store: MetadataStore, project: Project, clock: ManualClock
    ) -> None:
        data_key = await new_data_key(store)
        before = await store.create_virtual_key(new_virtual_key("mine", data_key), NOBODY)
        clock.advance(5)
        wanted = changed(before, slug="ignored", provider="ignored", name="renamed", project_ids=frozenset({project.id}), clear={"a": "b"})
        after = await store.update_virtual_key(before, wanted, NOBODY)
        assert changed(after) == replace(wanted, slug="mine", provider="openai")
        assert (after.version, after.created_at, after.updated_at) == (2, before.created_at, before.created_at + 5)
        assert after == await store.get_virtual_key("mine")

    async def test_of_racing_updates_one_wins_and_the_others_change_nothing(self, store: MetadataStore) -> None:
        before = await store.create_virtual_key(new_virtual_key("mine"), NOBODY)
        attempts = [store.update_virtual_key(before, changed(before, name=f"name {number}"), NOBODY) for number in range(6)]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        winners = [outcome for outcome in outcomes if isinstance(outcome, VirtualKey)]
        assert winners == [await store.get_virtual_key("mine")]
        assert sum(isinstance(outcome, RecordChanged) for outcome in outcomes) == 5

    async def test_a_virtual_key_made_anew_under_the_slug_is_another(self, store: MetadataStore) -> None:
        before = await store.create_virtual_key(new_virtual_key("mine"), NOBODY)
        await store.delete_virtual_key("mine", NOBODY)
        await store.create_virtual_key(new_virtual_key("mine"), NOBODY)
        with pytest.raises(RecordChanged):
            await store.update_virtual_key(before, changed(before, name="wrong"), NOBODY)
        assert not await store.reseal_record(as_record(before), Sealed(), NOBODY)

    async def test_nothing_new_is_stored_under_a_retired_data_key(self, store: MetadataStore) -> None:
        retired = await new_data_key(store)
        before = await store.create_virtual_key(new_virtual_key("old", retired), NOBODY)
        await new_data_key(store)
        bare = await store.create_virtual_key(new_virtual_key("bare"), NOBODY)
        for attempt in (
            store.create_virtual_key(new_virtual_key("new", retired), NOBODY),
            store.update_virtual_key(bare, changed(bare, sealed=before.sealed), NOBODY),
            store.reseal_record(as_record(bare), before.sealed, NOBODY),
            store.reseal_record(as_record(before), before.sealed, NOBODY),
        ):
            with pytest.raises(DataKeyRetired):
                await attempt
        assert sorted(key.slug for key in await store.list_virtual_keys()) == ["bare", "old"]
        renamed = await store.update_virtual_key(before, changed(before, name="carried over"), NOBODY)
        assert renamed.sealed == before.sealed

    async def test_the_uses_of_a_data_key_are_counted_by_the_value(self, store: MetadataStore) -> None:
        data_key = await new_data_key(store)
        made = await store.create_virtual_key(new_virtual_key("mine", data_key), NOBODY)
        await store.update_virtual_key(made, changed(made, name="same fields"), NOBODY)
        assert (await store.list_data_keys())[0].uses == 1
        more = Sealed({**made.sealed.fields, "b": "new", "c": "new"}, made.sealed.data_key_ids)
        now = await store.get_virtual_key("mine")
        await store.update_virtual_key(now, changed(now, sealed=more), NOBODY)
        assert (await store.list_data_keys())[0].uses == 3

    async def test_a_data_key_goes_once_no_ciphertext_needs_it(self, store: MetadataStore) -> None:
        retired = await new_data_key(store)
        kept = await store.create_virtual_key(new_virtual_key("kept", retired, id=uuid7(1)), NOBODY)
        await store.create_virtual_key(new_virtual_key("deleted", retired, id=uuid7(2)), NOBODY)
        active = await new_data_key(store)
        assert [found.label for found in await store.stale_records("", 10)] == ["virtual key 'kept'", "virtual key 'deleted'"]
        assert [found.label for found in await store.stale_records("", 1)] == ["virtual key 'kept'"]
        assert [found.label for found in await store.stale_records(kept.id, 10)] == ["virtual key 'deleted'"]
        assert await store.drop_unused_data_keys(NOBODY) == []
        await store.delete_virtual_key("deleted", NOBODY)
        assert await store.drop_unused_data_keys(NOBODY) == []
        assert await store.reseal_record(as_record(kept), Sealed({"api_key": "anew"}, frozenset({active})), NOBODY)
        assert not await store.reseal_record(as_record(kept), Sealed({"api_key": "late"}, frozenset({active})), NOBODY)
        assert await store.stale_records("", 10) == []
        assert await store.drop_unused_data_keys(NOBODY) == [retired]
        assert [key.id for key in await store.list_data_keys()] == [active]
        assert (await store.get_virtual_key("kept")).sealed.fields == {"api_key": "anew"}

    async def test_every_change_of_a_virtual_key_is_in_the_audit_log_with_its_origin(
        self, store: MetadataStore, project: Project, other: Project
    ) -> None:
        data_key = await new_data_key(store)
        origin = Origin("key", "1.2.3.4", "req", "PUT", "/v1/virtual-keys/mine")
        made = await store.create_virtual_key(new_virtual_key("mine", data_key, project_ids=frozenset({project.id})), origin)
        both = frozenset({project.id, other.id})
        now = await store.update_virtual_key(made, changed(made, project_ids=both), origin)
        await store.reseal_record(as_record(now), now.sealed, origin)
        await store.delete_virtual_key("mine", origin)
        assert await self.actions(store, made.id) == [
            ("virtual_keys", "create", project.id),
            ("virtual_keys", "update", project.id),
            ("virtual_keys", "rotate", ORGANISATION_ID),
            ("virtual_keys", "delete", ORGANISATION_ID),
        ]
        entries = (await store.list_audit(AuditQuery(10, resource_id=made.id))).entries
        assert {entry.origin for entry in entries} == {origin}
