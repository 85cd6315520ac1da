"""A node that is cut off from the database in the middle of a change keeps nobody else from theirs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count

import psycopg
import pytest

from fileplane.errors import StorageUnavailable
from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.metadata.postgres_schema import prepare_postgres
from fileplane.model import Origin
from fileplane.testing.metadata_store_suite import make_project, new_file
from support.postgres import PostgresServer
from support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = pytest.mark.full

NOBODY = Origin()
PLENTY = 10**15
DEADLINE_SECONDS = 1.0
LET_GO_SECONDS = 20
"""Soon, however slow the machine is, and long before TCP by itself would notice."""


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of the statement before which the way is cut, counted down; of those that :func:`through` says."""
    left = [0]
    execute = psycopg.Connection.execute

    def counted(connection: psycopg.Connection, query: object, *values: object, **options: object) -> object:
        if (proxy := _PROXIES.get(connection.info.port)) is not None:
            left[0] -= 1
            if left[0] == 0:
                proxy.hold()
        return execute(connection, query, *values, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", counted)
    yield left
    _PROXIES.clear()


_PROXIES: dict[int, TcpProxy] = {}


async def test_wherever_a_change_is_cut_off_its_locks_are_given_up_and_others_go_on(database: PostgresServer, cut: list[int]):
    name = database.new_database()
    prepare_postgres(database.url(name))
    other = PostgresMetadataStore(database.url(name), deadline_seconds=DEADLINE_SECONDS, connections=2)
    project = await make_project(other, "project")
    for number in count(1):
        with tcp_proxy(database.port) as proxy:
            _PROXIES[proxy.port] = proxy
            store = PostgresMetadataStore(database.url(name, port=proxy.port), deadline_seconds=DEADLINE_SECONDS, connections=2)
            await store.usage(project.id)
            cut[0] = number
            try:
                await store.create_file(project.id, new_file(), PLENTY, NOBODY)
            except StorageUnavailable:
                await _created_in_the_end(other, project.id, number)
            reached = cut[0] <= 0
            proxy.release()
            await store.close()
            assert await other.counter_drifts() == []
        if not reached:
            break
    await other.close()
    assert number > 8


async def _created_in_the_end(store: PostgresMetadataStore, project_id: str, number: int) -> None:
    until = time.monotonic() + LET_GO_SECONDS
    while True:
        try:
            await store.create_file(project_id, new_file(), PLENTY, NOBODY)
        except StorageUnavailable:
            assert time.monotonic() < until, f"the locks are still held, of a change that was cut off before its statement {number}"
            await asyncio.sleep(0)
        else:
            return
