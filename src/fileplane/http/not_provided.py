"""What Portkey's SDKs can ask for and Fileplane does not have: told as such, with what to use instead, and never pretended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from fileplane.errors import NotProvided
from fileplane.http.auth import Authenticator, joined_headers


@dataclass(frozen=True, slots=True)
class Missing:
    """``path`` with everything below it, whatever the method. ``advice`` says what to do instead, or is empty."""

    path: str
    what: str
    advice: str = ""


_KEYS_INSTEAD: Final = "Give each person or program an API key of its own (/v1/api-keys)."
_NOT_A_PROXY: Final = "Fileplane keeps and routes files; send model calls to a gateway for models."
_METRICS_INSTEAD: Final = "The server's metrics are at /metrics, the changes at /v1/audit-logs."
_PROMPTS: Final = "Keep prompts with the program that uses them, or as files (/v1/files)."
_LIMITS_INSTEAD: Final = "Set 'limits' on a workspace or an API key."

NOT_PROVIDED: Final = (
    Missing("/v1/admin/users", "users and invitations", _KEYS_INSTEAD),
    Missing("/v1/admin/workspaces/{workspace_id}/users", "members of workspaces", _KEYS_INSTEAD),
    Missing("/v1/prompts", "prompts and partials", _PROMPTS),
    Missing("/v1/v1/prompts", "prompts", _PROMPTS),
    Missing("/v1/prompt", "prompts", _PROMPTS),
    Missing("/v1/guardrails", "guardrails", _NOT_A_PROXY),
    Missing("/v1/labels", "labels of prompts", _PROMPTS),
    Missing("/v1/collections", "collections of prompts", _PROMPTS),
    Missing("/v1/logs", "logs of model calls and their exports", _METRICS_INSTEAD),
    Missing("/v1/analytics", "analytics of model calls", _METRICS_INSTEAD),
    Missing("/v1/feedback", "feedback on model calls", _NOT_A_PROXY),
    Missing("/v1/policies/usage-limits", "policies for usage", _LIMITS_INSTEAD),
    Missing("/v1/policies/rate-limits", "policies for rates", _LIMITS_INSTEAD),
    Missing(
        "/v1/secret-references",
        "secret references as records of their own",
        "Write env:NAME or file:/path as the value of a secret of a virtual key.",
    ),
    Missing("/v1/mcp-integrations", "MCP integrations", _NOT_A_PROXY),
    Missing("/v1/mcp-servers", "MCP servers", _NOT_A_PROXY),
    Missing("/v1/integrations/{slug}/models", "lists of an integration's models", "Any model that the provider has may be named in files."),
)


def not_provided_routes(authenticator: Authenticator) -> list[Route]:
    """A route for everything in the table; to be put behind those of the operations."""
    return [Route(path, _Refusal(missing, authenticator), methods=None) for missing in NOT_PROVIDED for path in _paths(missing)]


def _paths(missing: Missing) -> tuple[str, str]:
    return missing.path, f"{missing.path}/{{rest:path}}"


class _Refusal:
    """Says so to whoever has an API key, whatever its scopes."""

    def __init__(self, missing: Missing, authenticator: Authenticator) -> None:
        self._missing = missing
        self._authenticator = authenticator

    async def __call__(self, scope: AsgiScope, _receive: Receive, _send: Send) -> None:
        scope["state"]["operation"] = "not_provided"
        scope["state"]["principal"] = await self._authenticator.authenticate(joined_headers(scope))
        raise NotProvided(f"Fileplane does not have {self._missing.what}. {self._missing.advice}".rstrip())
