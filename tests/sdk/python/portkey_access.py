"""Uses Portkey's SDK for projects and API keys and prints what came back; see ../processes.py."""

from __future__ import annotations

import json
import sys
from typing import Any

from portkey_ai import Portkey


def plain(value: Any) -> Any:
    """What the SDK made of an answer."""
    return {name: part for name, part in value.model_dump().items() if name != "_headers"}


def main() -> None:
    job = json.load(sys.stdin)
    portkey = Portkey(api_key=job["api_key"], base_url=job["base_url"])
    seen: dict[str, Any] = {}
    workspaces, keys = portkey.admin.workspaces, portkey.api_keys
    made = workspaces.create(name="From Python", description="for tests", defaults={"metadata": {"team": "a"}})
    seen["made"] = plain(made)
    seen["listed"] = plain(workspaces.list(exact_name="From Python", page_size=5))
    seen["updated"] = plain(workspaces.update(workspace_id=made.id, name="From Python", description="changed"))
    seen["retrieved"] = plain(workspaces.retrieve(workspace_id=made.slug))
    key = keys.create(
        type="workspace",
        sub_type="user",
        name="key",
        workspace_id=made.id,
        user_id="ada",
        scopes=["files.read", "prompts.render"],
        rate_limits=[{"type": "requests", "unit": "rpm", "value": 60}],
        defaults={"metadata": {"a": "b"}},
        expires_at="2099-01-01T00:00:00Z",
    )
    seen["key made"] = plain(key)
    seen["files"] = Portkey(api_key=key.key, base_url=job["base_url"]).files.list().total
    seen["key updated"] = plain(keys.update(id=key.id, description="changed"))
    seen["key retrieved"] = plain(keys.retrieve(id=key.id))
    seen["keys listed"] = plain(keys.list(workspace_id=made.id, page_size=5))
    rotated = portkey.post(f"/api-keys/{key.id}/rotate", key_transition_period_ms=0)
    seen["key rotated"] = rotated.model_dump() if hasattr(rotated, "model_dump") else dict(rotated)
    seen["key deleted"] = plain(keys.delete(id=key.id))
    seen["deleted"] = plain(workspaces.delete(workspace_id=made.id, name="From Python"))
    try:
        portkey.guardrails.list()
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is looked at
        seen["guardrails"] = str(error)
    print(json.dumps(seen))  # noqa: T201 - the outcome


main()
