"""Access tokens of Microsoft Entra ID, kept until shortly before they expire: for client credentials and for the machine's identities."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from fileplane.errors import CredentialUnavailable, InvalidValue, UpstreamAnswerInvalid
from fileplane.providers.egress import Egress
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.file_objects import parse_json
from fileplane.providers.kept_tokens import KeptTokens
from fileplane.providers.machine_identity import ManagedIdentity, WorkloadIdentity, authority, workload_grant
from fileplane.providers.outbound_headers import pool_key
from fileplane.providers.refusals import MOST_ANSWER_BYTES, refusal
from fileplane.providers.request_body import RequestBody
from fileplane.secrets.values import Secret

DEFAULT_SCOPE: Final = "https://cognitiveservices.azure.com/.default"
_TENANT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,126}[A-Za-z0-9])?")
_SPARE_SECONDS: Final = 300.0
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """Who asks for a token, of which tenant, for what."""

    tenant: str
    client_id: str
    client_secret: Secret = field(repr=False)
    scope: str = DEFAULT_SCOPE


Identity: TypeAlias = ClientCredentials | ManagedIdentity | WorkloadIdentity


class EntraTokens(KeptTokens[Identity]):
    """One for a process. ``authority`` stands in for the one that the environment names."""

    def __init__(self, egress: Egress, *, authority: str | None = None, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(self._fetched, _key_of, spare_seconds=_SPARE_SECONDS, now=now)
        self._egress = egress
        self._authority = authority

    async def _fetched(self, identity: Identity) -> tuple[Secret, float]:
        """Raises :class:`~fileplane.errors.ProviderRefused` when client credentials are refused, and as every call to a provider.

        :class:`~fileplane.errors.CredentialUnavailable` when the machine has no such identity.
        """
        if isinstance(identity, ManagedIdentity):
            status, body = await self._egress.ask_machine(identity)
            if status != _OK:
                raise CredentialUnavailable(f"The machine of this server gets no token: {refusal(status, {}, body).message}")
            return _token_of(parse_json(body))
        if isinstance(identity, WorkloadIdentity):
            tenant, form = await asyncio.to_thread(workload_grant, identity)
            return await self._granted(tenant, form, Secret(form["client_assertion"]))
        secret = identity.client_secret
        form = {"grant_type": "client_credentials", "client_id": identity.client_id, "client_secret": secret.reveal()}
        return await self._granted(identity.tenant, form | {"scope": identity.scope}, secret)

    async def _granted(self, tenant: str, form: Mapping[str, str], secret: Secret) -> tuple[Secret, float]:
        if not _TENANT.fullmatch(tenant):
            raise InvalidValue("The tenant is no id or domain name.", param="x-portkey-azure-entra-tenant-id")
        content = urlencode(form).encode()
        request = EgressRequest(
            "POST",
            f"{self._authority or authority()}/{tenant}/oauth2/v2.0/token",
            {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            body=RequestBody(_once(content), len(content)),
            repeatable=True,
        )
        async with self._egress.call(request) as response:
            body = await response.read(MOST_ANSWER_BYTES)
            if response.status != _OK:
                raise refusal(response.status, response.headers, body, [secret])
        return _token_of(parse_json(body))


def _key_of(identity: Identity) -> bytes:
    """Says of two identities whether they are the same, and nothing of what is secret of them."""
    if isinstance(identity, ClientCredentials):
        named = {"tenant": identity.tenant, "id": identity.client_id, "scope": identity.scope}
        return pool_key({**{name: Secret(text) for name, text in named.items()}, "secret": identity.client_secret})
    return pool_key({"identity": Secret(repr(identity))})


def _token_of(answer: Any) -> tuple[Secret, float]:
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token:
        raise UpstreamAnswerInvalid("Microsoft Entra ID answered without a token.")
    try:
        return Secret(token), _lifetime_of(answer)
    except (TypeError, ValueError) as error:
        raise UpstreamAnswerInvalid("Microsoft Entra ID answered without saying how long its token is valid.") from error


def _lifetime_of(answer: Mapping[str, Any]) -> float:
    """Seconds. App Service says only when its tokens end, in seconds since the epoch."""
    if "expires_in" in answer or "expires_on" not in answer:
        return float(answer.get("expires_in", 0))
    return float(answer["expires_on"]) - time.time()


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
