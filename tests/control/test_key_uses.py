from __future__ import annotations

import logging

import pytest

from fileplane.access import ApiKey
from fileplane.control.key_uses import KeyUses, recording
from fileplane.errors import StorageUnavailable
from fileplane.metadata.sqlite import SqliteMetadataStore
from fileplane.testing.control_suite import make_key
from fileplane.testing.metadata_store_suite import make_project

NOON = 1_800_000_000


@pytest.fixture
async def key(store: SqliteMetadataStore) -> ApiKey:
    return await make_key(store, await make_project(store, "mine"))


async def test_a_use_is_recorded_beside_the_requests_and_once_a_minute(store: SqliteMetadataStore, key: ApiKey) -> None:
    uses = KeyUses(store)
    seen = []
    for seconds in (0, 1, 59, 60, 100, 121):
        uses.note(key.id, NOON + seconds)
        await uses.record()
        seen.append((await store.get_api_key(key.id)).last_used_at)
    assert seen == [NOON, NOON, NOON, NOON + 60, NOON + 60, NOON + 121]


async def test_workers_that_are_used_in_turn_record_once_a_minute_together(store: SqliteMetadataStore, key: ApiKey) -> None:
    workers = [KeyUses(store) for _ in range(3)]
    seen = set()
    for second in range(120):
        uses = workers[second % 3]
        uses.note(key.id, NOON + second)
        await uses.record()
        seen.add((await store.get_api_key(key.id)).last_used_at)
    assert seen == {NOON, NOON + 60}


async def test_what_is_pending_is_recorded_when_the_server_stops(store: SqliteMetadataStore, key: ApiKey) -> None:
    uses = KeyUses(store)
    async with recording(uses):
        uses.note(key.id, NOON)
        assert (await store.get_api_key(key.id)).last_used_at is None
    assert (await store.get_api_key(key.id)).last_used_at == NOON


class Away:
    """A store that does not answer."""

    async def note_key_use(self, _key_id: str, _used_at: int) -> None:
        raise StorageUnavailable("The database does not answer.")


async def test_a_store_that_is_away_is_told_of_once_and_fails_nothing(caplog: pytest.LogCaptureFixture) -> None:
    uses = KeyUses(Away())  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        for minute in range(5):
            uses.note("some key", NOON + minute * 60)
            await uses.record()
    assert len(caplog.records) == 1
