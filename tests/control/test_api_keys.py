from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fileplane import errors
from fileplane.access import ALL_SCOPES, ORGANISATION_SCOPES, ApiKey, Defaults, KeyKind, Limits, Principal, Project
from fileplane.control.api_keys import ApiKeys, KeyChanges
from fileplane.control.authority import OPERATOR
from fileplane.control.changes import DefaultChanges, LimitChanges
from fileplane.control.projects import ProjectChanges, Projects
from fileplane.errors import BeyondOwnRights, InvalidApiKey, InvalidValue, MissingScope, RecordNotFound
from fileplane.http.auth import principal_of
from fileplane.ids import hash_api_key
from fileplane.metadata.control import RecordChanged
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.model import Origin
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import make_project
from fileplane.unset import UNSET

NOBODY = Origin()
MANAGER = ["workspace_service_api_keys.create", "workspace_service_api_keys.update", "files.read"]


@pytest.fixture
async def project(store: SqliteMetadataStore) -> Project:
    return await make_project(store, "mine")


@pytest.fixture
def api_keys(store: SqliteMetadataStore, clock: ManualClock) -> ApiKeys:
    return ApiKeys(store, clock)


async def caller(
    store: SqliteMetadataStore, api_keys: ApiKeys, project: Project, scopes: list[str] | None = None, **values: object
) -> tuple[Principal, str]:
    """A new key as a caller, and its plain text."""
    wanted = replace(KeyChanges("manager", scopes=MANAGER if scopes is None else scopes), **values)
    _, plain = await api_keys.create(OPERATOR, KeyKind.WORKSPACE_SERVICE, project.id, wanted, None, NOBODY)
    return await principal(store, plain), plain


async def principal(store: SqliteMetadataStore, plain: str) -> Principal:
    known = await store.find_api_key(hash_api_key(plain))
    assert known is not None
    return principal_of(known)


async def mint(api_keys: ApiKeys, caller: Principal, **values: object) -> ApiKey:
    wanted = replace(KeyChanges("new", scopes=["files.read"]), **values)
    made, _ = await api_keys.create(caller, KeyKind.WORKSPACE_SERVICE, None, wanted, None, NOBODY)
    return made


async def test_a_new_key_is_bound_by_whatever_binds_the_one_that_makes_it(
    store: SqliteMetadataStore, api_keys: ApiKeys, project: Project, clock: ManualClock
) -> None:
    ends = clock.now_ms() // 1000 + 100
    bound, _ = await caller(
        store,
        api_keys,
        project,
        expires_at=ends,
        limits=LimitChanges({"requests_per_minute": 10}),
        defaults=DefaultChanges(allow_override=False),
    )
    made = await mint(api_keys, bound)
    assert (made.expires_at, made.limits, made.defaults.allow_override) == (ends, Limits(requests_per_minute=10), False)
    for values, param in (
        ({"expires_at": ends + 1}, "expires_at"),
        ({"limits": LimitChanges({"requests_per_minute": 11})}, "limits.requests_per_minute"),
        ({"defaults": DefaultChanges(allow_override=True, config="pc-other")}, "defaults"),
    ):
        with pytest.raises(BeyondOwnRights) as refusal:
            await mint(api_keys, bound, **values)
        assert refusal.value.param == param
    for changes in (KeyChanges(expires_at=None), KeyChanges(limits=LimitChanges({"requests_per_minute": None}))):
        with pytest.raises(BeyondOwnRights):
            await api_keys.update(bound, made.id, changes, NOBODY)
        with pytest.raises(BeyondOwnRights):
            await api_keys.update(bound, bound.key_id, changes, NOBODY)


async def test_a_route_that_the_project_prescribes_cannot_be_left_by_making_a_key(
    store: SqliteMetadataStore, api_keys: ApiKeys, project: Project
) -> None:
    await Projects(store).update(OPERATOR, project.id, ProjectChanges(defaults=DefaultChanges(allow_override=False)), NOBODY)
    bound, _ = await caller(store, api_keys, project)
    with pytest.raises(BeyondOwnRights):
        await mint(api_keys, bound, defaults=DefaultChanges(config="pc-another"))
    assert (await mint(api_keys, bound)).defaults == Defaults(None, allow_override=False)


async def test_a_former_form_of_a_key_gives_nothing_that_lasts_longer_than_itself(
    store: SqliteMetadataStore, api_keys: ApiKeys, project: Project, clock: ManualClock
) -> None:
    current, former_plain = await caller(store, api_keys, project)
    rotated = await api_keys.rotate(current, current.key_id, 60_001, NOBODY)
    assert rotated.former_ends_at == clock.now_ms() // 1000 + 61
    former = await principal(store, former_plain)
    assert (await mint(api_keys, former)).expires_at == rotated.former_ends_at
    with pytest.raises(BeyondOwnRights):
        await api_keys.rotate(former, former.key_id, 0, NOBODY)
    current = await principal(store, rotated.plain)
    await api_keys.rotate(current, current.key_id, 0, NOBODY)


async def test_a_worker_that_remembers_more_of_a_key_than_it_has_left_hands_none_of_it_on(
    store: SqliteMetadataStore, api_keys: ApiKeys, project: Project
) -> None:
    remembered, _ = await caller(store, api_keys, project)
    await api_keys.update(OPERATOR, remembered.key_id, KeyChanges(scopes=MANAGER[:2]), NOBODY)
    with pytest.raises(MissingScope) as refusal:
        await mint(api_keys, remembered)
    assert refusal.value.param == "scopes"
    await api_keys.revoke(OPERATOR, remembered.key_id, NOBODY)
    with pytest.raises(InvalidApiKey):
        await mint(api_keys, remembered, scopes=[])


async def test_keys_of_the_organisation_are_its_own_affair(store: SqliteMetadataStore, api_keys: ApiKeys, project: Project) -> None:
    everything, _ = await caller(store, api_keys, project, sorted(ALL_SCOPES - ORGANISATION_SCOPES))
    wanted = KeyChanges("root", scopes=[])
    root, _ = await api_keys.create(OPERATOR, KeyKind.ORGANISATION_SERVICE, project.id, wanted, None, NOBODY)
    for attempt in (
        api_keys.get(everything, root.id),
        api_keys.update(everything, root.id, KeyChanges(name="mine"), NOBODY),
        api_keys.rotate(everything, root.id, 0, NOBODY),
        api_keys.revoke(everything, root.id, NOBODY),
    ):
        with pytest.raises(RecordNotFound):
            await attempt
    assert root.id not in {key.id for key in await api_keys.every(everything)}
    with pytest.raises(MissingScope):
        await api_keys.create(everything, KeyKind.ORGANISATION_SERVICE, None, wanted, None, NOBODY)


ORG = {"metrics.view", "workspaces.create", "workspaces.update", "workspaces.delete"}


async def test_scopes_of_the_organisation_are_not_written_on_a_projects_key_but_stay_where_they_are(
    store: SqliteMetadataStore, api_keys: ApiKeys, project: Project
) -> None:
    for scope in sorted(ORG):
        with pytest.raises(InvalidValue, match="for keys of the organisation"):
            await caller(store, api_keys, project, [scope])
    user = KeyChanges("user", scopes=["files.read"])
    made, _ = await api_keys.create(OPERATOR, KeyKind.WORKSPACE_USER, project.id, user, "ada", NOBODY)
    old = await store.update_api_key(replace(made, scopes=made.scopes | ORG), NOBODY)
    assert (await api_keys.update(OPERATOR, old.id, KeyChanges(scopes=["files.read", *ORG]), NOBODY)).scopes == old.scopes


async def test_changes_at_the_same_time_are_all_made(api_keys: ApiKeys, store: SqliteMetadataStore, project: Project) -> None:
    bound, _ = await caller(store, api_keys, project)
    names = ("storage_bytes", "files", "file_bytes", "requests_per_minute")
    await asyncio.gather(
        *(api_keys.update(OPERATOR, bound.key_id, KeyChanges(limits=LimitChanges({name: 7})), NOBODY) for name in names),
        *(Projects(store).update(OPERATOR, project.id, ProjectChanges(limits=LimitChanges({name: 7})), NOBODY) for name in names),
    )
    for found in (await store.get_api_key(bound.key_id), await store.find_project(project.id)):
        assert found.limits == Limits(7, 7, 7, 7)


async def test_a_change_that_always_comes_too_late_is_told(
    api_keys: ApiKeys, store: SqliteMetadataStore, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound, _ = await caller(store, api_keys, project)
    attempts = []

    async def too_late(after: object, _origin: Origin) -> None:
        attempts.append(after)
        raise RecordChanged

    monkeypatch.setattr(store, "update_api_key", too_late)
    with pytest.raises(errors.RecordChanged):
        await api_keys.update(OPERATOR, bound.key_id, KeyChanges(name="late"), NOBODY)
    assert len(attempts) == 5


async def test_what_is_not_named_stays(api_keys: ApiKeys, store: SqliteMetadataStore, project: Project) -> None:
    bound, _ = await caller(store, api_keys, project, [*MANAGER, "prompts.render"], description="for tests", expires_at=1_900_000_000)
    before = await store.get_api_key(bound.key_id)
    after = await api_keys.update(OPERATOR, bound.key_id, KeyChanges(name=UNSET, limits=LimitChanges({"files": 3})), NOBODY)
    assert after == replace(before, limits=Limits(files=3), version=before.version + 1)
    assert before.other_scopes == {"prompts.render"}


async def test_a_form_that_a_rotation_ended_gives_nothing_more_although_a_worker_remembers_it(
    store: SqliteMetadataStore, api_keys: ApiKeys, project: Project
) -> None:
    bound, plain = await caller(store, api_keys, project)
    remembered = replace(bound, key_hash=hash_api_key(plain))
    await api_keys.rotate(OPERATOR, bound.key_id, 0, NOBODY)
    for attempt in (
        mint(api_keys, remembered),
        api_keys.rotate(remembered, bound.key_id, None, NOBODY),
        api_keys.update(remembered, bound.key_id, KeyChanges(name="mine"), NOBODY),
    ):
        with pytest.raises(InvalidApiKey):
            await attempt


async def test_a_form_that_a_worker_remembers_from_before_a_rotation_gives_nothing_that_lasts_longer_than_it(
    store: SqliteMetadataStore, api_keys: ApiKeys, project: Project, clock: ManualClock
) -> None:
    bound, plain = await caller(store, api_keys, project)
    remembered = replace(bound, key_hash=hash_api_key(plain))
    await api_keys.rotate(OPERATOR, bound.key_id, 60_000, NOBODY)
    assert (await mint(api_keys, remembered)).expires_at == clock.now_ms() // 1000 + 60
    with pytest.raises(BeyondOwnRights):
        await api_keys.rotate(remembered, bound.key_id, None, NOBODY)


async def test_what_is_taken_from_a_key_while_it_changes_itself_it_cannot_give_itself_back(
    store: SqliteMetadataStore, api_keys: ApiKeys, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound, _ = await caller(store, api_keys, project)
    find_project = store.find_project

    async def meanwhile(id_or_slug: str) -> Project:
        # Between the look at what the caller may do and the look at the key that it changes.
        monkeypatch.setattr(store, "find_project", find_project)
        await api_keys.update(OPERATOR, bound.key_id, KeyChanges(limits=LimitChanges({"files": 1})), NOBODY)
        return await find_project(id_or_slug)

    monkeypatch.setattr(store, "find_project", meanwhile)
    with pytest.raises(BeyondOwnRights):
        await api_keys.update(bound, bound.key_id, KeyChanges(limits=LimitChanges({"files": None})), NOBODY)
    assert (await store.get_api_key(bound.key_id)).limits == Limits(files=1)
