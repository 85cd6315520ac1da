"""What a project and its keys may do holds for what passes through as well."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from fileplane.access import Defaults, Limits
from fileplane.opening import open_metadata
from fileplane.settings import Settings
from fileplane.testing.metadata_store_suite import NOBODY
from gateway.conftest import Fake, Project
from support.limited import change_limits
from support.polling import eventually
from support.projects import new_key
from support.server import RunningServer


@pytest.fixture
def limited(gateway: RunningServer, fake: Fake, request: pytest.FixtureRequest) -> Iterator[Project]:
    key = new_key(gateway.data_dir)
    change_limits(gateway.data_dir, key.project_id, request.param)
    made = Project(gateway, fake, key.plain, f"sk-limited-{key.id}")
    with made.client:
        yield made


LARGE = os.urandom(1 << 20)


@pytest.mark.parametrize("limited", [Limits(file_bytes=500_000)], indirect=True, ids=["a file's bytes"])
@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
def test_a_file_larger_than_the_project_may_send_is_refused_and_is_not_at_the_provider(limited: Project, declared: bool) -> None:
    request = limited.client.build_request(
        "POST", "/files", headers=limited.own, data={"purpose": "user_data"}, files={"file": ("a.bin", LARGE)}
    )
    content: Any = request.read()
    headers = {**limited.own, "content-type": request.headers["content-type"]}
    answer = limited.client.post("/files", headers=headers, content=content if declared else iter([content]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")
    assert limited.fake.files(limited.credential) == []


@pytest.mark.parametrize("limited", [Limits(upload_bytes_per_day=1_500_000)], indirect=True, ids=["a day's bytes"])
def test_the_days_bytes_count_what_passes_through(limited: Project) -> None:
    assert limited.upload(limited.own, LARGE, "a.bin", purpose="user_data").status_code == 200
    answer = limited.upload(limited.own, LARGE, "a.bin", purpose="user_data")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert len(limited.fake.files(limited.credential)) == 1


@pytest.mark.parametrize("limited", [Limits(storage_bytes=10, files=1)], indirect=True, ids=["what is kept"])
def test_what_is_kept_here_is_not_counted_for_what_is_not(limited: Project) -> None:
    for _ in range(2):
        assert limited.upload(limited.own, LARGE, "a.bin", purpose="user_data").status_code == 200


def test_a_project_that_is_bound_to_its_config_takes_no_other_route(project: Project) -> None:
    slug = project.virtual_key()
    config = project.client.post("/configs", json={"name": "bound", "config": {"virtual_key": slug}}).json()["data"]["slug"]

    async def bind() -> None:
        async with open_metadata(Settings(data_dir=project.server.data_dir)) as metadata:
            [key] = [one for one in await metadata.list_virtual_keys(None) if one.slug == slug]
            [project_id] = key.project_ids
            found = await metadata.find_project(project_id)
            await metadata.update_project(replace(found, defaults=Defaults(config, allow_override=False)), NOBODY)

    asyncio.run(bind())

    def refused() -> httpx2.Response | None:
        answer = project.client.get("/files", headers=project.own)
        return answer if answer.status_code == 403 else None

    eventually(lambda: refused() is not None, 15)
    others: list[dict[str, str]] = [project.own, {"x-portkey-provider": "fileplane"}, {"x-portkey-virtual-key": slug}]
    for headers in (*others, *({**other, "x-portkey-config": config} for other in others)):
        answer = project.client.get("/files", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "beyond_own_rights")
    for headers in ({}, {"x-portkey-config": config}):
        assert project.client.get("/files", headers=headers).headers["x-portkey-provider"] == "openai"
