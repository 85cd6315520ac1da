"""A deletion that was refused before anything was sent to the provider deletes nothing, now or later."""

from __future__ import annotations

from gateway.conftest import Project

FOREIGN = {"x-portkey-forward-headers": "openai-organization", "openai-organization": "org-other"}


def test_a_deletion_that_is_refused_here_leaves_the_file_as_it_was(project: Project) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key()}
    file_id = project.upload(headers).json()["id"]
    refused = project.client.delete(f"/files/{file_id}", headers=headers | FOREIGN)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "openai-organization")
    assert project.client.get(f"/files/{file_id}", headers=headers).status_code == 200
    assert project.client.get("/files", headers=headers).json()["total"] == 1
    assert project.fake.requests("delete") == []
    assert project.client.delete(f"/files/{file_id}", headers=headers).json()["deleted"]
