"""The five calls against a dictionary: whatever two projects do, in whatever order, the answers are the model's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx2
import pytest

from fileplane.metadata.base import MetadataStore
from fileplane.metadata.postgres import PostgresMetadataStore
from support.clock import ManualClock
from support.file_model import ModelFile, ModelProject, Query
from support.files_machine import FilesMachine, TimedFilesMachine, run
from support.forms import uploaded
from support.nodes import TakingTurns
from support.projects import new_key
from support.server import RunningServer
from support.tenants import Tenant
from support.timed_app import TimedApp, timed_app


def test_a_real_server_answers_as_the_model(server: RunningServer):
    def clients() -> list[httpx2.Client]:
        return [server.client(new_key(server.data_dir).plain) for _ in range(2)]

    run(lambda: FilesMachine(clients, lambda: int(time.time())), examples=8, steps=20)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimedApp]:
    with timed_app(tmp_path_factory.mktemp("model") / "data", tombstone_seconds=10**9) as app:
        yield app


def test_the_application_answers_as_the_model_however_time_goes(app: TimedApp):
    run(lambda: TimedFilesMachine(app), examples=20, steps=25)


@pytest.mark.full
def test_two_nodes_over_one_postgresql_that_take_turns_answer_as_the_model(tmp_path, url):
    def nodes(_: Path, clock: ManualClock) -> MetadataStore:
        return cast("MetadataStore", TakingTurns([PostgresMetadataStore(url, clock, deadline_seconds=60) for _ in range(2)]))

    with timed_app(tmp_path / "data", open_metadata=nodes, tombstone_seconds=10**9) as app:
        run(lambda: TimedFilesMachine(app), examples=20, steps=20)


def test_the_model_itself_notices_a_wrong_answer(tenant: Tenant):
    file = uploaded(tenant.client, b"content")
    model = ModelProject(lambda: int(time.time()))
    model.files[str(file["id"])] = ModelFile(file, b"content")
    assert tenant.client.get("/files").json() == model.page(Query())
    tenant.client.delete(f"/files/{file['id']}")
    assert tenant.client.get("/files").json() != model.page(Query())
