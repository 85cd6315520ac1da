"""Keys for calls to AWS: static ones, those of assumed roles, and those of the machine, kept until minutes before they end.

A role is assumed at AWS's Security Token Service in the target's region, by way of the egress; ``AWS_ENDPOINT_URL_STS``, a variable of
AWS's own tools, names another place. The machine's identity is found by botocore as by every tool of AWS: environment, web identity
(``AWS_WEB_IDENTITY_TOKEN_FILE``), shared files, container, instance. That makes calls of its own, past the egress, to places that AWS and
the operator's environment name and no request or stored field has a part in; it runs on a thread, and is waited for with a deadline.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from fileplane.errors import CredentialUnavailable, UnsupportedProviderOperation, UpstreamAnswerInvalid
from fileplane.providers.aws_identities import AssumedRole, AwsIdentity, AwsKeys, MachineRole
from fileplane.providers.egress import Egress
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.kept_tokens import KeptTokens
from fileplane.providers.outbound_headers import pool_key
from fileplane.providers.refusals import MOST_ANSWER_BYTES, refusal
from fileplane.providers.request_body import RequestBody, once
from fileplane.providers.xml_answers import parse_xml
from fileplane.secrets.values import Secret

STS_VARIABLE: Final = "AWS_ENDPOINT_URL_STS"
_SPARE_SECONDS: Final = 300.0
_MACHINE_SECONDS: Final = 15.0
_MACHINE_KEPT_SECONDS: Final = 60.0
_VERSION: Final = "2011-06-15"
_SESSION: Final = "fileplane"
_OK: Final = 200
_SIGNING: Final = "fileplane.providers.aws_signing"


class AwsCredentials:
    """One for a process. ``of_machine`` finds the machine's keys, for tests; it is called on a thread."""

    def __init__(
        self,
        egress: Egress,
        *,
        of_machine: Callable[[], AwsKeys | None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._egress = egress
        self._of_machine = of_machine or MachineKeys()
        self._kept: KeptTokens[AssumedRole | MachineRole] = KeptTokens(self._fetch, _key_of, spare_seconds=_SPARE_SECONDS, now=now)

    async def keys(self, identity: AwsIdentity, within: float | None = None) -> AwsKeys:
        """Keys that are valid for minutes at least, ``within`` so many seconds.

        Raises :class:`~fileplane.errors.ProviderRefused` when AWS refuses the role, :class:`~fileplane.errors.CredentialUnavailable` when
        the machine has no identity, and otherwise as every call to a provider.
        """
        if isinstance(identity, AwsKeys):
            return identity
        return _read(await self._kept.token(identity, within))

    def drop(self, identity: AwsIdentity, keys: AwsKeys) -> None:
        """Lets new keys be fetched, unless somebody has done so since ``keys`` were refused."""
        if isinstance(identity, AwsKeys):
            return
        kept = self._kept.kept(identity)
        if kept is not None and _read(kept) == keys:
            self._kept.drop(identity, kept)

    async def _fetch(self, identity: AssumedRole | MachineRole) -> tuple[Secret, float]:
        if isinstance(identity, AssumedRole):
            keys, seconds = await self._assumed(identity)
            return _written(keys), seconds
        try:
            async with asyncio.timeout(_MACHINE_SECONDS):
                found = await asyncio.to_thread(self._of_machine)
        except TimeoutError as error:
            raise CredentialUnavailable("The identity of the server's machine could not be found out in time. Try again.") from error
        if found is None:
            raise CredentialUnavailable("AWS gives the machine of this server no identity: no role, and nothing in its environment.")
        # It is renewed below minutes before its end, and asking for it costs nothing until then.
        return _written(found), _MACHINE_KEPT_SECONDS + _SPARE_SECONDS

    async def _assumed(self, role: AssumedRole) -> tuple[AwsKeys, float]:
        from fileplane.providers.aws_signing import signature_headers  # noqa: PLC0415 - the library is optional, and loads slowly

        by = await self.keys(role.by)
        form = {"Action": "AssumeRole", "Version": _VERSION, "RoleArn": role.role_arn, "RoleSessionName": _SESSION}
        if role.external_id is not None:
            form["ExternalId"] = role.external_id.reveal()
        content = urlencode(form).encode()
        url = f"{os.environ.get(STS_VARIABLE) or f'https://sts.{role.region}.{domain_of(role.region)}'}".rstrip("/") + "/"
        headers, secret_headers = signature_headers(
            "POST",
            url,
            {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
            hashlib.sha256(content).hexdigest(),
            keys=by,
            region=role.region,
            service="sts",
        )
        body = RequestBody(once(content), len(content))
        request = EgressRequest("POST", url, headers, secret_headers, body, repeatable=True, identity=by.secrets())
        secrets = [*by.secrets().values(), *secret_headers.values(), *([] if role.external_id is None else [role.external_id])]
        async with self._egress.call(request) as response:
            answer = await response.read(MOST_ANSWER_BYTES)
            if response.status != _OK:
                raise refusal(response.status, response.headers, answer, secrets)
        return _keys_of(answer)


class MachineKeys:
    """Finds the machine's keys, by botocore. Blocks. The session is kept, so that it is botocore that renews what ends."""

    def __init__(self) -> None:
        self._found: Any = None

    def __call__(self) -> AwsKeys | None:
        """The keys as they are now; None where there are none. Raises :class:`~fileplane.errors.CredentialUnavailable`."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the library is optional, and loads slowly
        from botocore.session import Session  # noqa: PLC0415 - the same

        try:
            if self._found is None:
                self._found = Session().get_credentials()
            if self._found is None:
                return None
            frozen = self._found.get_frozen_credentials()
        except (BotoCoreError, ClientError, OSError, ValueError) as error:
            raise CredentialUnavailable("The identity of the server's machine cannot be read: see AWS's variables and files.") from error
        token = None if frozen.token is None else Secret(frozen.token)
        return AwsKeys(Secret(frozen.access_key), Secret(frozen.secret_key), token)


async def library() -> None:
    """Returns when what signs is loaded. Raises :class:`~fileplane.errors.UnsupportedProviderOperation` where it is not installed."""
    if _SIGNING in sys.modules:
        return
    try:
        await asyncio.to_thread(importlib.import_module, _SIGNING)
    except ImportError as error:
        raise UnsupportedProviderOperation(
            "This server has not been installed with what calls to AWS need. Ask its operator to run: pip install fileplane[s3].",
            param="x-portkey-provider",
        ) from error


def domain_of(region: str) -> str:
    """Of AWS's services in a region. Isolated regions have others, which ``custom_host`` names."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _keys_of(answer: bytes) -> tuple[AwsKeys, float]:
    root = parse_xml(answer)
    found = next((given for result in root.all("AssumeRoleResult") for given in result.all("Credentials")), None)
    texts = [] if found is None else [found.value(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")]
    if not texts or not all(texts):
        raise UpstreamAnswerInvalid("AWS answered without keys.")
    access, secret, token, end = (text or "" for text in texts)
    try:
        moment = datetime.fromisoformat(end)
    except ValueError as error:
        raise UpstreamAnswerInvalid("AWS answered without saying how long its keys are valid.") from error
    seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return AwsKeys(Secret(access), Secret(secret), Secret(token)), seconds


def _key_of(identity: AssumedRole | MachineRole) -> bytes:
    if isinstance(identity, MachineRole):
        return pool_key({"machine": Secret("role")})
    named = {"role": Secret(identity.role_arn), "region": Secret(identity.region)}
    external = {} if identity.external_id is None else {"external": identity.external_id}
    return pool_key({**named, **external, **(identity.by.secrets() if isinstance(identity.by, AwsKeys) else {"by": Secret("machine")})})


def _written(keys: AwsKeys) -> Secret:
    return Secret(json.dumps({name: secret.reveal() for name, secret in keys.secrets().items()}))


def _read(kept: Secret) -> AwsKeys:
    return AwsKeys(**{name: Secret(text) for name, text in json.loads(kept.reveal()).items()})
