"""Which key a request carries, and for how long a key that worked is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fileplane.access import NewApiKey
from fileplane.errors import InvalidApiKey, MissingApiKey
from fileplane.http.auth import Authenticator, api_key_of
from fileplane.ids import hash_api_key
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.testing.clock import ManualClock
from fileplane.testing.metadata_store_suite import NOBODY, make_project

KEY = "fpk_" + "k" * 43
HEADERS = {"authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer mine"},
        {"authorization": "bearer   mine "},
        {"x-portkey-api-key": "mine"},
        {"x-portkey-api-key": " mine ", "authorization": "Bearer OPENAI_API_KEY"},
        {"x-portkey-api-key": "mine", "authorization": "Bearer sk-of-a-provider"},
        {"x-portkey-api-key": "", "authorization": "Bearer mine"},
    ],
)
def test_the_portkey_header_is_our_key_and_otherwise_the_bearer_is(headers: dict[str, str]) -> None:
    assert api_key_of(headers) == "mine"


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": ""}, {"authorization": "Bearer "}, {"authorization": "Basic bWluZQ=="}, {"authorization": "mine"}]
)
def test_a_request_without_a_key_is_told_how_to_send_one(headers: dict[str, str]) -> None:
    with pytest.raises(MissingApiKey, match="Authorization: Bearer"):
        api_key_of(headers)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def metadata(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteMetadataStore]:
    prepare_database(tmp_path / "fileplane.db")
    store = SqliteMetadataStore(tmp_path / "fileplane.db", clock)
    yield store
    await store.close()


async def _add_key(metadata: SqliteMetadataStore, expires_at: int | None = None) -> str:
    project = await make_project(metadata, "p")
    new = NewApiKey(project.id, "name", hash_api_key(KEY), KEY[-4:], frozenset({"files.read"}), expires_at=expires_at)
    return (await metadata.create_api_key(new, NOBODY)).id


async def test_a_revoked_key_stops_working_once_the_memory_of_it_ends(metadata: SqliteMetadataStore, clock: ManualClock) -> None:
    key_id = await _add_key(metadata)
    authenticator = Authenticator(metadata, clock, 2.0)
    assert (await authenticator.authenticate(HEADERS)).key_id == key_id
    await metadata.revoke_api_key(key_id, NOBODY)
    clock.advance(1.9)
    assert (await authenticator.authenticate(HEADERS)).key_id == key_id
    clock.advance(0.2)
    with pytest.raises(InvalidApiKey, match="expired or been revoked"):
        await authenticator.authenticate(HEADERS)


async def test_a_key_expires_to_the_second_although_it_is_remembered(metadata: SqliteMetadataStore, clock: ManualClock) -> None:
    await _add_key(metadata, expires_at=clock.now_ms() // 1000 + 1)
    authenticator = Authenticator(metadata, clock, 5.0)
    await authenticator.authenticate(HEADERS)
    clock.advance(1)
    with pytest.raises(InvalidApiKey):
        await authenticator.authenticate(HEADERS)


async def test_a_key_made_a_moment_after_it_was_refused_works_at_once(metadata: SqliteMetadataStore, clock: ManualClock) -> None:
    authenticator = Authenticator(metadata, clock, 5.0)
    with pytest.raises(InvalidApiKey, match="Incorrect API key"):
        await authenticator.authenticate(HEADERS)
    key_id = await _add_key(metadata)
    assert (await authenticator.authenticate(HEADERS)).key_id == key_id
