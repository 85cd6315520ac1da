"""Service accounts of Google: what is read of their JSON key, and the assertion that is exchanged for a token (RFC 7523)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fileplane.errors import InvalidValue
from fileplane.secrets.values import Secret

SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
"""Of Cloud Storage alone: a token of a service account that may do more does not."""
TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
SERVICE_ACCOUNT_HEADER: Final = "x-portkey-vertex-service-account-json"
_LIFETIME_SECONDS: Final = 3_600
_SKEW_SECONDS: Final = 10
_FEWEST_BITS, _MOST_BITS = 1_024, 8_192
_LONGEST_TEXT: Final = 320


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Who asks for a token, and where it is asked for; ``token_uri`` is what the JSON says, and not to be trusted."""

    email: str
    private_key: Secret = field(repr=False)
    key_id: str | None
    token_uri: str = TOKEN_URI


def service_account_of(document: Secret) -> ServiceAccount:
    """What a JSON key says. Raises :class:`~fileplane.errors.InvalidValue`, which shows nothing of it."""
    try:
        value = json.loads(document.reveal())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _wrong("is no JSON object")
    email, key = _text(value, "client_email"), value.get("private_key")
    if email is None or not isinstance(key, str):
        raise _wrong("lacks client_email or private_key")
    token_uri = value.get("token_uri", TOKEN_URI)
    if not isinstance(token_uri, str):
        raise _wrong("has a token_uri that is none")
    return ServiceAccount(email, Secret(key), _text(value, "private_key_id"), token_uri)


def assertion_of(account: ServiceAccount, now: int) -> str:
    """A signed assertion that is valid for an hour. Takes milliseconds of a processor; for a thread.

    ``now`` is in seconds since the epoch. Raises :class:`~fileplane.errors.InvalidValue` for a key that is none.
    """
    key = _key_in(account.private_key)
    header = {"alg": "RS256", "typ": "JWT", **({} if account.key_id is None else {"kid": account.key_id})}
    issued = now - _SKEW_SECONDS
    claims = {"iss": account.email, "scope": SCOPE, "aud": account.token_uri, "iat": issued, "exp": issued + _LIFETIME_SECONDS}
    signed = b".".join(_encoded(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    try:
        signature = key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    except (ValueError, InternalError):
        raise _no_key() from None
    return b".".join((signed, _encoded(signature))).decode()


def _key_in(pem: Secret) -> rsa.RSAPrivateKey:
    """The key, whose numbers are of the size that they have in a key; whether they make one shows when it signs.

    Whoever wrote the JSON wrote the key. Looking whether its numbers are prime would stop the whole process, threads or not, for seconds,
    or with larger numbers for as long as they like; and a key that is none gives away nothing but itself.
    """
    try:
        key = load_pem_private_key(pem.reveal().encode(), password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm, InternalError):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey) or not _FEWEST_BITS <= key.key_size <= _MOST_BITS:
        raise _no_key()
    numbers = key.private_numbers()
    if max(numbers.p, numbers.q, numbers.d, numbers.dmp1, numbers.dmq1, numbers.iqmp).bit_length() > key.key_size:
        raise _no_key()
    return key


def _no_key() -> InvalidValue:
    return _wrong("has a private_key that is no RSA key in PEM form")


def _encoded(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _text(value: Mapping[str, Any], name: str) -> str | None:
    found = value.get(name)
    return found if isinstance(found, str) and 0 < len(found) <= _LONGEST_TEXT else None


def _wrong(reason: str) -> InvalidValue:
    return InvalidValue(f"The service account's JSON key {reason}.", param=SERVICE_ACCOUNT_HEADER)
