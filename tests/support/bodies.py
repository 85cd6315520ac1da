"""For every operation that takes JSON and needs something in it: a body that it accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2

from support.path_values import existing

BODIES: dict[str, Callable[[httpx2.Client], dict[str, Any]]] = {
    "POST /v1/files/{file_id}/holds": lambda _: {"reason": "test"},
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
