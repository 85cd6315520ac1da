"""Numbers and dates that no provider can mean neither break a call nor what is kept of a project's files."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.conftest import Project
from support.jobs import LINE


@pytest.mark.parametrize(
    "date",
    ["Mon, 01 Jan 2024 00:00:00 +99999999999999", "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"],
    ids=["offset", "year"],
)
def test_a_refusal_whose_date_is_out_of_this_world_is_passed_on_as_the_refusal_it_is(project: Project, date: str) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key()}
    file_id = project.upload(headers).json()["id"]
    project.fake.plan("refuse", "get", status=429, headers={"retry-after": date}, body={"error": {"message": "slow down"}})
    answer = project.client.get(f"/files/{file_id}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["message"]) == (429, "openai: slow down")


def finished_batch(project: Project, headers: dict[str, str]) -> tuple[str, str]:
    """A batch that its provider has done, of which the catalog has not heard so; its id and that of its output."""
    file_id = project.upload(headers, LINE).json()["id"]
    asked = {"input_file_id": file_id, "endpoint": "/v1/embeddings", "completion_window": "24h"}
    batch_id = project.client.post("/batches", headers=headers, json=asked).json()["id"]
    while not (output := project.client.get(f"/batches/{batch_id}", headers=project.own).json()["output_file_id"]):
        pass
    return batch_id, output


@pytest.mark.parametrize("lie", [{"bytes": 1 << 63}, {"bytes": 1 << 70}, {"bytes": str((1 << 63) - 1)}, {"bytes": (1 << 63) - 1}], ids=str)
def test_a_result_of_a_size_that_cannot_be_is_served_all_the_same(project: Project, lie: dict[str, Any]) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key()}
    for _ in range(2):
        batch_id, output = finished_batch(project, headers)
        described = {"id": output, "object": "file", "created_at": 1_700_000_000, "filename": "r.jsonl", "purpose": "batch_output"}
        project.fake.plan("refuse", "get", status=200, body=described | {"status": "processed"} | lie)
        shown = project.client.get(f"/batches/{batch_id}", headers=headers)
        assert (shown.status_code, shown.json()["output_file_id"]) == (200, output)
        assert project.client.get(f"/files/{output}/content", headers=headers).status_code == 200
    assert project.client.get("/files", headers=headers).json()["total"] == 4


@pytest.mark.parametrize("created", [-5, "1960-01-01T00:00:00Z"], ids=str)
def test_a_result_from_before_the_epoch_takes_its_place_in_the_list_as_a_new_one(project: Project, created: object) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key()}
    batch_id, output = finished_batch(project, headers)
    described = {"id": output, "object": "file", "created_at": created, "filename": "r.jsonl", "purpose": "batch_output", "bytes": 2}
    project.fake.plan("refuse", "get", status=200, body=described)
    project.client.get(f"/batches/{batch_id}", headers=headers)
    later = project.upload(headers).json()["id"]
    listed = project.client.get("/files", headers=headers).json()["data"]
    assert [file["id"] for file in listed][:2] == [later, output]
    assert listed[1]["created_at"] > 0
