"""Portkey's Python SDK as an operator uses it: a workspace, an API key, a credential and a config, from their making to their end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from portkey_ai import AsyncPortkey, Portkey
from scenario import Steps, Waited


def plain(value: Any) -> Any:
    """What an answer holds, whether the SDK has a model for it or not."""
    return json.loads(value.model_dump_json()) if hasattr(value, "model_dump_json") else value


class Operator:
    """``portkey_ai.Portkey`` or ``AsyncPortkey`` with an organisation's key."""

    def __init__(self, steps: Steps, connect: Callable[[str], Any], wrap: Callable[[Any], Any]) -> None:
        self._steps = steps
        self._connect = connect
        self._client = connect(steps.job["api_key"])
        self._wrap = wrap

    def take(self, step: str, resource: Any, method: str, **values: Any) -> dict[str, Any]:
        return self._steps.take(step, lambda: plain(getattr(self._wrap(resource), method)(**values))) or {}

    def go_through(self) -> None:
        name, secret = self._steps.job["client"], self._steps.job["secret"]
        client = self._client
        workspaces = client.admin.workspaces
        workspace = self.take("workspace create", workspaces, "create", name=f"{name} space", defaults={"metadata": {"team": "blue"}})
        place = workspace.get("id")
        self.take("workspace retrieve", workspaces, "retrieve", workspace_id=place)
        self.take("workspace list", workspaces, "list")
        self.take("workspace update", workspaces, "update", workspace_id=place, description="for tests")
        key = self.key(place, name)
        credential = self.credential(place, name, secret)
        config = self.config(place, name, credential)
        self.provider(place, name, secret)
        self.refusals(place, credential)
        self.take("config delete", client.configs, "delete", slug=config)
        self.take("virtual key delete", client.virtual_keys, "delete", slug=credential)
        self.take("key delete", client.api_keys, "delete", id=key)
        self.take("workspace delete", workspaces, "delete", workspace_id=place, name=f"{name} space")
        self.take("workspace after", workspaces, "retrieve", workspace_id=place)

    def key(self, place: Any, name: str) -> Any:
        keys = self._client.api_keys
        made = self.take(
            "key create",
            keys,
            "create",
            type="workspace",
            sub_type="service",
            name=f"{name} key",
            workspace_id=place,
            scopes=["files.read", "files.write", "files.delete", "completions.write"],
            rate_limits=[{"type": "requests", "unit": "rpm", "value": 500}],
        )
        self.take("key retrieve", keys, "retrieve", id=made.get("id"))
        self.take("key list", keys, "list", workspace_id=place)
        self.take("key update", keys, "update", id=made.get("id"), name="renamed", scopes=["files.read", "files.write", "files.delete"])
        self.take("key updated", keys, "retrieve", id=made.get("id"))
        user = self._connect(made.get("key", "none"))
        self.take("key use", user.files, "create", file=("a.txt", b"words"), purpose="user_data")
        self.take("key oversteps", user.api_keys, "list")
        rotated = self.take(
            "key rotate", self._client, "post", url=f"/api-keys/{made.get('id')}/rotate", key_transition_period_ms=1_800_000
        )
        self.take("key new use", self._connect(rotated.get("key", "none")).files, "list")
        listed = self.take("key old use", user.files, "list")
        for file in listed.get("data", []):
            self.take("file delete", self._connect(made.get("key", "none")).files, "delete", file_id=file["id"])
        return made.get("id")

    def credential(self, place: Any, name: str, secret: str) -> Any:
        resource = self._client.virtual_keys
        made = self.take("virtual key create", resource, "create", name=f"{name} openai", provider="openai", key=secret, workspace_id=place)
        slug = made.get("slug")
        self.take("virtual key retrieve", resource, "retrieve", slug=slug)
        self.take("virtual key list", resource, "list", workspace_id=place)
        self.take("virtual key update", resource, "update", slug=slug, note="for tests", key=f"{secret}-anew")
        self.take("virtual key updated", resource, "retrieve", slug=slug)
        return slug

    def config(self, place: Any, name: str, credential: Any) -> Any:
        resource = self._client.configs
        document = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": credential}]}
        made = self.take("config create", resource, "create", name=f"{name} config", config=document, workspace_id=place)
        slug = made.get("slug")
        self.take("config retrieve", resource, "retrieve", slug=slug)
        self.take("config list", resource, "list", workspace_id=place)
        self.take("config update", resource, "update", slug=slug, config={"virtual_key": credential, "retry": {"attempts": 2}})
        self.take("config updated", resource, "retrieve", slug=slug)
        return slug

    def provider(self, place: Any, name: str, secret: str) -> None:
        integrations, providers = self._client.integrations, self._client.providers
        made = self.take("integration create", integrations, "create", name=f"{name} account", ai_provider_id="openai", key=secret)
        integration = made.get("slug")
        self.take("integration retrieve", integrations, "retrieve", slug=integration)
        self.take("integration list", integrations, "list")
        made = self.take("provider create", providers, "create", name=f"{name} provider", integration_id=integration, workspace_id=place)
        slug = made.get("slug")
        self.take("provider retrieve", providers, "retrieve", slug=slug, workspace_id=place)
        self.take("provider list", providers, "list", workspace_id=place)
        self.take("provider update", providers, "update", slug=slug, workspace_id=place, name="renamed")
        self.take("integration in use", integrations, "delete", slug=integration)
        self.take("provider delete", providers, "delete", slug=slug, workspace_id=place)
        self.take("integration delete", integrations, "delete", slug=integration)

    def refusals(self, place: Any, credential: Any) -> None:
        client = self._client
        self.take("virtual key in use", client.virtual_keys, "delete", slug=credential)
        self.take("workspace in use", client.admin.workspaces, "delete", workspace_id=place)
        self.take("config wrong", client.configs, "create", name="wrong", config={"strategy": {"mode": "guess"}, "targets": []})
        self.take("not provided", client.guardrails, "list")


def main() -> None:
    steps = Steps(json.load(sys.stdin))
    base_url = steps.job["base_url"]
    if sys.argv[1] == "sync":
        Operator(steps, lambda key: Portkey(base_url=base_url, api_key=key), lambda resource: resource).go_through()
    else:
        Operator(steps, lambda key: AsyncPortkey(base_url=base_url, api_key=key), Waited).go_through()
    sys.stdout.write(json.dumps(steps.results))


if __name__ == "__main__":
    main()
