"""A provider that repeats the credential it was called with tells it to nobody, wherever in its answer it stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from gateway.conftest import Project

CANARY = "canary/of+a-stored.credential=0123456789"
ESCAPED: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "slashes escaped": lambda text: text.replace("/", "\\/"),
    "all escaped": lambda text: text.replace(CANARY, "".join(f"\\u{ord(character):04x}" for character in CANARY)),
}


def told(answer: httpx2.Response) -> bool:
    """Whether the credential is in it anywhere."""
    return CANARY in answer.text or CANARY in json.dumps(answer.json()) or CANARY in str(answer.headers)


@pytest.mark.parametrize("escape", ESCAPED)
def test_a_credential_in_the_description_of_a_file_is_not_shown(project: Project, escape: str) -> None:
    slug = project.virtual_key(credential=CANARY)
    kept, shared = ({"x-portkey-virtual-key": one} for one in (slug, project.virtual_key(f"{slug}-all", CANARY, sharing="account")))
    file_id = project.upload(kept).json()["id"]
    described: dict[str, Any] = {"id": file_id, "object": "file", "bytes": 3, "created_at": 1_700_000_000, "filename": f"of {CANARY}.jsonl"}
    described |= {"purpose": f"batch {CANARY}", "status": "error", "status_details": f"{CANARY} may not"}
    calls = {
        "get": lambda headers: project.client.get(f"/files/{file_id}", headers=headers),
        "list": lambda headers: project.client.get("/files", headers=headers),
        "upload": project.upload,
    }
    for operation, call in calls.items():
        for headers in (kept, shared):
            body = {"object": "list", "data": [described], "has_more": False} if operation == "list" else described | {"id": "file-other"}
            body = described if operation == "get" else body
            project.fake.plan("refuse", operation, status=200, body=ESCAPED[escape](json.dumps(body)))
            answer = call(headers)
            assert answer.status_code == 200, answer.text
            assert not told(answer)
            project.fake.reset()


def test_a_credential_in_the_type_of_a_download_is_not_passed_on(project: Project) -> None:
    canary = CANARY.replace("/", "-").replace("=", "-")
    headers = {"x-portkey-virtual-key": project.virtual_key(credential=canary)}
    file_id = project.upload(headers).json()["id"]
    project.fake.plan("refuse", "content", status=200, body="abc", headers={"content-type": f"text/{canary}", "x-request-id": canary})
    answer = project.client.get(f"/files/{file_id}/content", headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    assert canary not in str(answer.headers)
