"""A job names no file of another project, whatever the member is called in which it does."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.conftest import Project
from support.jobs import LINE

ENDPOINT = {"endpoint": "/v1/embeddings", "completion_window": "24h"}


@pytest.mark.parametrize(
    ("where", "param"),
    [
        (lambda file_id: {"dataset": file_id}, "dataset"),
        (lambda file_id: {"method": {"supervised": {"training_data": file_id}}}, "method.supervised.training_data"),
        (lambda file_id: {"documents": ["some", file_id]}, "documents.1"),
        (lambda file_id: {"documents": [[{"source": file_id}]]}, "documents.0.0.source"),
        (lambda file_id: {"input": f"https://host/v1/files/{file_id}/content"}, "input"),
        (lambda file_id: {"fileid_list": [file_id]}, "fileid_list.0"),
    ],
    ids=["plain", "nested", "list", "lists", "address", "another name"],
)
def test_what_has_the_shape_of_a_files_id_is_not_passed_on(project: Project, neighbour: Project, where: Any, param: str) -> None:
    theirs = project.upload({"x-portkey-virtual-key": project.virtual_key(f"one-{project.credential[3:11]}")}, LINE).json()["id"]
    headers = {"x-portkey-virtual-key": neighbour.virtual_key(f"two-{project.credential[3:11]}")}
    own = neighbour.upload(headers, LINE).json()["id"]
    answers = []
    for file_id in (theirs, "file-0123456789abcdef"):
        answer = neighbour.client.post("/batches", headers=headers, json={"input_file_id": own} | ENDPOINT | where(file_id))
        answers.append((answer.status_code, answer.text))
        assert answer.json()["error"]["param"] == param
    assert answers[0] == answers[1]
    assert answers[0][0] == 400
    assert project.fake.requests("batches.create") == []


def test_the_callers_own_notes_and_words_may_be_about_files(project: Project) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key()}
    own = project.upload(headers, LINE).json()["id"]
    notes = {"metadata": {"of": "file-0123456789abcdef"}, "suffix": "profile-0123456789", "words": "a file_format of ours"}
    assert project.client.post("/batches", headers=headers, json={"input_file_id": own} | ENDPOINT | notes).status_code == 200
