"""What Google is called with: the caller's own access token, or one that is fetched for a service account or the server's machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from urllib.parse import urlencode

from fileplane.errors import CredentialUnavailable, InvalidValue, UpstreamAnswerInvalid
from fileplane.providers.base import Target
from fileplane.providers.egress import Egress
from fileplane.providers.egress_policy import EgressPolicy, parse_base_url
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.file_objects import parse_json
from fileplane.providers.google_assertions import SERVICE_ACCOUNT_HEADER, TOKEN_URI, ServiceAccount, assertion_of, service_account_of
from fileplane.providers.google_machine import MACHINE_SECONDS, machine_token
from fileplane.providers.kept_tokens import KeptTokens
from fileplane.providers.outbound_headers import pool_key
from fileplane.providers.refusals import MOST_ANSWER_BYTES, refusal
from fileplane.providers.related_body import SmallBody
from fileplane.secrets.values import Secret

MODE_HEADER: Final = "x-portkey-vertex-auth-mode"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SPARE_SECONDS: Final = 225.0
"""As google-auth has it: the metadata server gives the same token again until five minutes before its end."""
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class MachineIdentity:
    """That of the machine which the server runs on."""


Identity: TypeAlias = ServiceAccount | MachineIdentity


def identity_of(target: Target) -> Identity | None:
    """Whose token a target is called with; None where it has a token of its own, or none at all.

    Raises :class:`~fileplane.errors.InvalidValue` for the machine's identity in a request's own credential, and for a service account whose
    JSON is none.
    """
    if target.fields.get("vertex_auth_mode") == "machine":
        if not target.stored:
            raise InvalidValue(
                "The identity of the server's own machine is for virtual keys that the organisation has made.", param=MODE_HEADER
            )
        return MachineIdentity()
    document = target.secrets.get("vertex_service_account_json")
    return None if document is None else service_account_of(document)


class GoogleTokens(KeptTokens[Identity]):
    """One for a process. ``now`` is a clock of seconds that never goes back."""

    def __init__(self, egress: Egress, *, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(self._fetched, _key_of, spare_seconds=_SPARE_SECONDS, now=now)
        self._egress = egress

    async def _fetched(self, identity: Identity) -> tuple[Secret, float]:
        """Raises :class:`~fileplane.errors.ProviderRefused` for a service account that is refused,
        :class:`~fileplane.errors.CredentialUnavailable` when the machine has no identity, and otherwise as every call to a provider.
        """  # noqa: D205 - one sentence
        if isinstance(identity, MachineIdentity):
            return await _of_machine()
        _check_token_uri(identity, self._egress.policy)
        assertion = Secret(await asyncio.to_thread(assertion_of, identity, int(time.time())))
        content = urlencode({"grant_type": _GRANT, "assertion": assertion.reveal()}).encode()
        body = SmallBody(content, "application/x-www-form-urlencoded")
        headers = {"Content-Type": body.content_type, "Accept": "application/json"}
        async with self._egress.call(EgressRequest("POST", identity.token_uri, headers, body=body, repeatable=True)) as response:
            answer = await response.read(MOST_ANSWER_BYTES)
            if response.status != _OK:
                raise refusal(response.status, response.headers, answer, [assertion, identity.private_key])
        return _token_of(parse_json(answer))


async def _of_machine() -> tuple[Secret, float]:
    try:
        async with asyncio.timeout(MACHINE_SECONDS):
            token, lifetime = await asyncio.to_thread(machine_token)
    except TimeoutError as error:
        raise CredentialUnavailable("The identity service of the server's machine did not answer in time. Try again.") from error
    return Secret(token), lifetime


def _check_token_uri(account: ServiceAccount, policy: EgressPolicy) -> None:
    """An assertion is as good as a credential, and whoever wrote the JSON says where it goes: to Google, or where the operator allows."""
    if account.token_uri == TOKEN_URI:
        return
    place = parse_base_url(account.token_uri, param=SERVICE_ACCOUNT_HEADER)
    # Plain HTTP is admitted only where a rule names the place, and so says whether one does.
    if policy.names(place.host) or (place.address is not None and policy.admits(place.host, place.address, plain=True)):
        return
    raise InvalidValue(
        f"The service account's token_uri is not {TOKEN_URI}. Use a key that Google has made of late, or ask the operator to name its "
        "host in the setting egress_allow.",
        param=SERVICE_ACCOUNT_HEADER,
    )


def _key_of(identity: Identity) -> bytes:
    if isinstance(identity, MachineIdentity):
        return pool_key({"identity": Secret("machine")})
    named = {"email": identity.email, "id": identity.key_id or "", "uri": identity.token_uri}
    return pool_key({**{name: Secret(text) for name, text in named.items()}, "key": identity.private_key})


def _token_of(answer: Any) -> tuple[Secret, float]:
    token = answer.get("access_token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token:
        raise UpstreamAnswerInvalid("Google answered without an access token.")
    lifetime = answer.get("expires_in", 0)
    if not isinstance(lifetime, int | float):
        raise UpstreamAnswerInvalid("Google answered without saying how long its token is valid.")
    return Secret(token), float(lifetime)
