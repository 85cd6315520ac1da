"""AWS's keys at the fake, and the check of what is signed with them, by botocore's own computation."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from fileplane.testing.fake_provider.wire import RecordedRequest

REGION: Final = "us-east-1"
_PREFIX: Final = "AKIA"
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/, ]+)/(\d{8})/([^/, ]+)/([^/, ]+)/aws4_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})"
)
_MOST_SKEW_SECONDS: Final = 900


def aws_secrets(secret: str) -> dict[str, str]:
    """An access key. Its id is its secret in hexadecimal, so that the fake knows every key that a test makes up."""
    return {"aws_access_key_id": _PREFIX + secret.encode().hex().upper(), "aws_secret_access_key": secret}


class NotSigned(Exception):
    """Why a request is refused, as S3 says it."""

    def __init__(self, status: int, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.more = status, code, message, more


@dataclass(slots=True)
class TemporaryKeys:
    """Of an assumed role. ``account`` is the secret of whoever assumed it."""

    account: str
    secret: str
    token: str


@dataclass(slots=True)
class KeyRing:
    """Every key that the fake knows."""

    issued: dict[str, TemporaryKeys] = field(default_factory=dict)

    def issue(self, account: str) -> tuple[str, TemporaryKeys]:
        """New keys for somebody's role."""
        access_key = f"ASIA{secrets.token_hex(8).upper()}"
        self.issued[access_key] = TemporaryKeys(account, secrets.token_urlsafe(30), f"token+/{secrets.token_urlsafe(30)}=")
        return access_key, self.issued[access_key]

    def account_of(self, request: RecordedRequest, service: str, now: int, body: bytes | None = None) -> str:
        """The secret whose account a request is signed for. Raises :class:`NotSigned`.

        ``body`` is what was sent, where no header says its hash.
        """
        match = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
        if match is None:
            raise NotSigned(403, "AccessDenied", "Access Denied")
        access_key, date, region, scope, names, signature = match.groups()
        account, secret = self._known(access_key, request.headers.get("x-amz-security-token"))
        moment = request.headers.get("x-amz-date", "")
        if region != REGION or scope != service or not moment.startswith(date):
            message = f"The authorization header is malformed; the region '{region}' is wrong; expecting '{REGION}'"
            raise NotSigned(400, "AuthorizationHeaderMalformed", message, Region=REGION)
        if abs(datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() - now) > _MOST_SKEW_SECONDS:
            raise NotSigned(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
        unsigned = {name for name in request.headers if name.startswith("x-amz-")} - set(names.split(";"))
        if unsigned or "host" not in names.split(";"):
            raise NotSigned(403, "AccessDenied", "There were headers present in the request which were not signed")
        signed = {name: request.headers.get(name, "") for name in names.split(";")}
        if not hmac.compare_digest(_signature(request, signed, service, secret, body), signature):
            raise NotSigned(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
        return account

    def _known(self, access_key: str, token: str | None) -> tuple[str, str]:
        issued = self.issued.get(access_key)
        if issued is not None and token == issued.token:
            return issued.account, issued.secret
        if issued is None and access_key.startswith(_PREFIX):
            try:
                secret = bytes.fromhex(access_key.removeprefix(_PREFIX)).decode()
            except ValueError:
                secret = ""
            if secret:
                return secret, secret
        code = "InvalidAccessKeyId" if issued is None else "InvalidToken"
        raise NotSigned(403, code, f"The AWS Access Key Id you provided does not exist in our records: {access_key}.")


def _signature(request: RecordedRequest, signed: Mapping[str, str], service: str, secret: str, body: bytes | None) -> str:
    from botocore.auth import S3SigV4Auth, SigV4Auth  # noqa: PLC0415 - an optional library, and this flavour's alone
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - the same
    from botocore.credentials import Credentials  # noqa: PLC0415 - the same

    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials("unused", secret), service, REGION)
    again = AWSRequest(request.method, f"http://{request.headers.get('host', '')}{request.target}", dict(signed), body)
    again.context["timestamp"] = request.headers["x-amz-date"]
    computed: str = signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again)
    return computed
