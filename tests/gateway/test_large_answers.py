"""What a provider says takes a bounded part of the server's memory, however it says it."""

from __future__ import annotations

import pytest

from gateway.conftest import Project
from support.jobs import LINE

ENDPOINT = {"endpoint": "/v1/embeddings", "completion_window": "24h"}
MANY = b'{"object": "list", "has_more": false, "data": [{"id": "file-1", "some": [' + b"{}," * 1_000_000 + b"{}]}]}"


@pytest.mark.parametrize(("operation", "path"), [("list", "/files"), ("batches.list", "/batches"), ("batches.get", "/batches/batch_1")])
def test_an_answer_of_very_many_small_values_is_not_read(project: Project, operation: str, path: str) -> None:
    body = MANY if operation.endswith("list") else b'{"id": "batch_1", "some": [' + b"0," * 500_000 + b"0]}"
    project.fake.plan("refuse", operation, status=200, body=body.decode(), headers={"content-type": "application/json"})
    answer = project.client.get(path, headers=project.own)
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        502,
        "openai: The provider's answer has more values than can be read.",
    )


def test_a_page_of_very_large_jobs_ends_early_and_leads_on_to_all_of_them(project: Project) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key()}
    file_id = project.upload(headers, LINE).json()["id"]
    note = {"input_file_id": file_id, "metadata": {"note": "x" * 1_000_000}} | ENDPOINT
    begun = [project.client.post("/batches", headers=headers, json=note).json()["id"] for _ in range(28)]
    seen: list[str] = []
    pages, more = 0, True
    while more:
        after = {"after": seen[-1]} if seen else {}
        page = project.client.get("/batches", params={"limit": 100} | after, headers=headers).json()
        assert page["data"]
        assert not any("stale" in job for job in page["data"])
        seen += [job["id"] for job in page["data"]]
        pages, more = pages + 1, page["has_more"]
    assert seen == begun[::-1]
    assert pages > 1
