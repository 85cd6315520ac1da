"""Nobody gets hold of more than they have: random keys do random things to each other, and an oracle of its own watches."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fileplane.access import ORGANISATION_SCOPES, ApiKey, KeyKind, KnownKey, Limits, NewApiKey, Project
from fileplane.control.api_keys import ApiKeys, KeyChanges
from fileplane.control.authority import has_scope
from fileplane.control.changes import DefaultChanges, LimitChanges
from fileplane.control.scopes import scope_of_kind
from fileplane.errors import FileplaneError
from fileplane.http.auth import principal_of
from fileplane.ids import hash_api_key, uuid7
from fileplane.metadata.control import ApiKeyNotFound
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.model import Origin
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, make_project

VERBS = ("create", "read", "update", "delete", "list")
SCOPES = sorted(
    {scope_of_kind(kind, verb).value for kind in KeyKind for verb in VERBS}
    | {"files.read", "files.purge", "workspaces.create", "usage.view"}
)
MANY = 2**31 + 1_900_000_000

MANAGING = frozenset(scope for scope in SCOPES if scope.startswith("workspace_"))
HANDED_ON = ["files.read", "files.purge", "usage.view", "workspace_service_api_keys.create", "workspace_user_api_keys.update"]
scope_sets = (
    st.frozensets(st.sampled_from(SCOPES)) | st.frozensets(st.sampled_from(HANDED_ON)).map(MANAGING.union) | st.just(frozenset(SCOPES))
)
names_sent = st.lists(st.sampled_from([*HANDED_ON, *HANDED_ON, *SCOPES, "prompts.render", "logs.view"]), unique=True, max_size=3)
limit_values = st.dictionaries(st.sampled_from([entry.name for entry in fields(Limits)]), st.none() | st.integers(1, 5), max_size=3)
expiries = st.none() | st.integers(1_800_000_100, 1_800_000_900)
kinds = st.sampled_from(list(KeyKind))


@dataclass(frozen=True)
class Step:
    """``actor`` and ``target`` are numbers of keys, counted round and round."""

    what: str
    actor: int
    target: int
    kind: KeyKind
    elsewhere: bool
    scopes: list[str]
    limits: dict[str, int | None]
    expires_at: int | None
    override: bool
    seconds: int


steps = st.builds(
    Step,
    st.sampled_from(["mint", "mint", "mint", "update", "update", "rotate", "revoke", "read", "list"]),
    st.integers(0, 50),
    st.integers(0, 50),
    kinds,
    st.booleans(),
    names_sent,
    limit_values,
    expiries,
    st.booleans(),
    st.sampled_from([0, 0, 0, 60, 400]),
)
founders = st.lists(
    st.tuples(kinds, st.booleans(), scope_sets, st.builds(Limits, files=st.none() | st.integers(1, 5)), expiries), min_size=2, max_size=5
)


def covers(own: KnownKey, key: ApiKey) -> bool:
    """Written without a look at the rules: whether holding ``own`` already gives everything that holding ``key`` does."""
    mine = own.key.scopes if own.key.organisation else own.key.scopes - ORGANISATION_SCOPES
    theirs = key.scopes if key.organisation else key.scopes - ORGANISATION_SCOPES
    ends = [end for end in (own.key.expires_at, own.works_until) if end is not None]
    wider = any(
        getattr(own.key.limits, entry.name) is not None and (getattr(key.limits, entry.name) or MANY) > getattr(own.key.limits, entry.name)
        for entry in fields(Limits)
    )
    outlives = bool(ends) and (key.expires_at is None or key.expires_at > min(ends))
    freer = not own.key.defaults.allow_override and key.defaults.allow_override
    elsewhere = not own.key.organisation and (key.organisation or key.project_id != own.key.project_id)
    return theirs <= mine and not (wider or outlives or freer or elsewhere)


class World:
    """Two projects, some keys that were there from the beginning, and everything that they make of it."""

    def __init__(self, store: SqliteMetadataStore, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.api_keys = ApiKeys(store, clock)
        self.plains: list[str] = []
        self.projects: list[Project] = []

    async def found(self, founders_of: list[Any]) -> None:
        self.projects = [await make_project(self.store, name) for name in ("one", "two")]
        for number, (kind, second, scopes, limits, expires_at) in enumerate(founders_of):
            plain = f"founder {number}"
            new = NewApiKey(self.projects[second].id, plain, hash_api_key(plain), "", scopes, kind, expires_at, limits=limits)
            await self.store.create_api_key(new, NOBODY)
            self.plains.append(plain)

    async def known(self, number: int) -> KnownKey | None:
        found = await self.store.find_api_key(hash_api_key(self.plains[number % len(self.plains)]))
        return found if found is not None and found.works_at(self.clock.now_ms() // 1000) else None

    async def take(self, step: Step) -> None:
        """One step of a key that works; what comes of it must be no more than the key had."""
        self.clock.advance(step.seconds)
        own, target = await self.known(step.actor), await self.store.find_api_key(hash_api_key(self.plains[step.target % len(self.plains)]))
        if own is None:
            return
        target_id = uuid7(1) if target is None else target.key.id
        before = {key.id: key for key in await self.store.list_api_keys()}
        try:
            await self.act(own, target_id, step)
        except FileplaneError as error:
            assert await self.unchanged(before), error  # noqa: PT017 - a refusal has to leave everything as it was
            if target is not None and not self.may_see(own, target.key):
                await self.assert_unknown_alike(own, target.key.id)

    async def unchanged(self, before: dict[str, ApiKey]) -> bool:
        return {key.id: key for key in await self.store.list_api_keys()} == before

    def may_see(self, own: KnownKey, key: ApiKey) -> bool:
        return own.key.organisation or (key.project_id == own.key.project_id and not key.organisation)

    async def assert_unknown_alike(self, own: KnownKey, key_id: str) -> None:
        """What is another's is refused exactly as what never was."""
        told = []
        for asked in (key_id, uuid7(2)):
            with pytest.raises(FileplaneError) as refusal:
                await self.api_keys.get(principal_of(own), asked)
            told.append((type(refusal.value), refusal.value.message.replace(asked, "ID")))
        assert told[0] == told[1]

    async def act(self, own: KnownKey, target_id: str, step: Step) -> None:
        caller, origin = principal_of(own), Origin()
        wanted = KeyChanges(
            "name", None, step.scopes, step.expires_at, LimitChanges(step.limits), DefaultChanges(allow_override=step.override)
        )
        if step.what == "mint":
            elsewhere = next(project.id for project in self.projects if project.id != own.key.project_id)
            made, plain = await self.api_keys.create(caller, step.kind, elsewhere if step.elsewhere else None, wanted, "user", origin)
            assert has_scope(caller, scope_of_kind(step.kind, "create"))
            assert covers(own, made), (own, made)
            assert made.other_scopes == {"prompts.render", "logs.view"} & set(step.scopes)
            self.plains.append(plain)
        elif step.what == "update":
            before = {key.id: key for key in await self.store.list_api_keys()}.get(target_id)
            after = await self.api_keys.update(caller, target_id, wanted, origin)
            assert before is not None
            assert has_scope(caller, scope_of_kind(before.kind, "update"))
            assert covers(own, before), (own, before)
            assert covers(own, after), (own, after)
            assert (after.kind, after.project_id) == (before.kind, before.project_id)
        elif step.what == "rotate":
            rotated = await self.api_keys.rotate(caller, target_id, step.target * 10_000, origin)
            assert has_scope(caller, scope_of_kind(rotated.key.kind, "update"))
            assert covers(own, rotated.key), (own, rotated.key)
            self.plains.append(rotated.plain)
        elif step.what == "revoke":
            revoked = await self.api_keys.revoke(caller, target_id, origin)
            assert has_scope(caller, scope_of_kind(revoked.kind, "delete"))
            assert self.may_see(own, revoked)
            with pytest.raises(ApiKeyNotFound):
                await self.store.get_api_key(target_id)
        elif step.what == "read":
            assert self.may_see(own, await self.api_keys.get(caller, target_id))
        else:
            listed = await self.api_keys.every(caller)
            assert all(self.may_see(own, key) and has_scope(caller, scope_of_kind(key.kind, "list")) for key in listed)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("privileges") / "empty.db"
    prepare_database(path)
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(founders, st.lists(steps, min_size=10, max_size=20))
def test_no_key_ever_does_or_gets_what_its_ancestors_could_not(empty_database: Path, founders_of: list[Any], taken: list[Step]) -> None:
    live_through(empty_database, founders_of, taken)


@pytest.mark.full
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(founders, st.lists(steps, min_size=10, max_size=50))
def test_no_key_does_in_a_long_time_what_its_ancestors_could_not(empty_database: Path, founders_of: list[Any], taken: list[Step]) -> None:
    live_through(empty_database, founders_of, taken)


def live_through(empty_database: Path, founders_of: list[Any], taken: list[Step]) -> None:
    path = empty_database.with_name("world.db")
    for leftover in empty_database.parent.glob("world.db*"):
        leftover.unlink()
    shutil.copy(empty_database, path)

    async def live() -> None:
        clock = ManualClock()
        store = SqliteMetadataStore(path, clock)
        try:
            world = World(store, clock)
            await world.found(founders_of)
            for step in taken:
                await world.take(step)
        finally:
            await store.close()

    asyncio.run(live())
