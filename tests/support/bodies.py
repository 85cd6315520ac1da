"""For every operation that takes JSON and needs something in it: a body that it accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2

from fileplane.ids import parse_upload_id
from support.path_values import existing

_NO_PART = "part_" + "0" * 32


def completion_of(client: httpx2.Client, upload_id: str) -> dict[str, Any]:
    """All of an upload of one byte that the client can send a part to; for every other, a part that never was."""
    if parse_upload_id(upload_id) is None:
        return {"part_ids": [_NO_PART]}
    part = client.post(f"/uploads/{upload_id}/parts", files={"data": ("upload", b"x")})
    return {"part_ids": [part.json().get("id", _NO_PART)]}


BODIES: dict[str, Callable[[httpx2.Client], dict[str, Any]]] = {
    "POST /v1/files/{file_id}/holds": lambda _: {"reason": "test"},
    "POST /v1/uploads": lambda _: {"filename": "a.txt", "purpose": "user_data", "bytes": 1, "mime_type": "text/plain"},
    "POST /v1/uploads/{upload_id}/complete": lambda _: {"part_ids": [_NO_PART]},
    "POST /v1/admin/workspaces": lambda _: {"name": "made"},
    "PUT /v1/admin/workspaces/{workspace_id}": lambda _: {"description": "changed"},
    "POST /v1/api-keys/{type}/{sub_type}": lambda _: {"name": "made", "scopes": ["files.read"]},
    "PUT /v1/api-keys/{key_id}": lambda _: {"description": "changed"},
    "POST /v1/virtual-keys": lambda _: {"name": "test", "provider": "openai", "key": "sk-test"},
    "POST /v1/integrations": lambda _: {"name": "test", "ai_provider_id": "openai", "key": "sk-test"},
    "POST /v1/providers": lambda client: {"name": "test", "integration_id": existing(client, "{integration_slug}")["integration_slug"]},
    "POST /v1/configs": lambda _: {"name": "test", "config": {"provider": "fileplane"}},
    "PUT /v1/virtual-keys/{virtual_key_slug}": lambda _: {"name": "another", "key": "sk-another"},
    "PUT /v1/providers/{provider_slug}": lambda _: {"name": "another"},
    "PUT /v1/integrations/{integration_slug}": lambda _: {"description": "another"},
    "PUT /v1/integrations/{integration_slug}/workspaces": lambda _: {"workspaces": []},
    "PUT /v1/configs/{config_slug}": lambda _: {"config": '{"provider": "fileplane", "retry": {"attempts": 1}}'},
}
