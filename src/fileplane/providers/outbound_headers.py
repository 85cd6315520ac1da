"""What may stand in the head of an outbound request."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from typing import Final

from fileplane import __version__
from fileplane.errors import InvalidValue
from fileplane.secrets.values import Secret

_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?")
_LONGEST_VALUE: Final = 8_000
_PROCESS_KEY: Final = os.urandom(32)

_USUAL: Final = {"User-Agent": f"fileplane/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
_OURS: Final = frozenset(
    ("accept", "accept-encoding", "authorization", "api-key", "connection", "content-encoding", "content-length", "content-type", "cookie",
     "cookie2", "expect", "forwarded", "host", "http2-settings", "if-range", "keep-alive", "origin", "proxy-authenticate",
     "proxy-authorization", "proxy-connection", "range", "referer", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade",
     "user-agent", "via", "x-api-key", "x-goog-api-key", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip",
     "metadata-flavor", "metadata", "x-aws-ec2-metadata-token", "x-aws-ec2-metadata-token-ttl-seconds", "x-google-metadata-request",
     "x-http-method-override", "x-http-method", "x-method-override", "idempotency-key", "x-original-url", "x-original-uri", "x-rewrite-url",
     "x-forwarded-uri", "x-forwarded-path", "x-forwarded-prefix")
)  # fmt: skip
"""What no caller can have forwarded: it belongs to a connection, to the form, to a credential, or to a metadata service, or
is taken by some servers for the method or path that is meant: past the one that was checked here, to the files of others."""


_WHOSE: Final = frozenset(
    {"openai-organization", "openai-project", "anthropic-workspace-id", "x-goog-user-project", "x-amz-security-token"}
)
"""What says on whose account a call is made, which a stored credential decides by itself."""


def forwardable(headers: Iterable[tuple[str, str]], *, stored: bool = False) -> dict[str, str]:
    """Those of a caller's headers that may be sent on as they are; the last of several with one name wins.

    Raises :class:`~fileplane.errors.InvalidValue` for one that would change whose call it is beside a ``stored`` credential.
    """
    sent = {name.lower(): value for name, value in headers if name.lower() not in _OURS and not name.lower().startswith("x-portkey-")}
    if stored and (foreign := sorted(_WHOSE & sent.keys())):
        raise InvalidValue(
            f"'{foreign[0]}' cannot be forwarded beside a stored credential, which has its own. Leave it out.", param=foreign[0]
        )
    return sent


def checked_headers(headers: Mapping[str, str], secret_headers: Mapping[str, Secret]) -> dict[str, str]:
    """Everything of a request's head, ready to be sent. Of several of one name the last wins, and a secret one over all.

    Raises :class:`~fileplane.errors.InvalidValue` for a name or value that could end a line or the head.
    """
    sent: dict[str, tuple[str, str]] = {}
    for name, value in [*headers.items(), *((name, value.reveal()) for name, value in secret_headers.items())]:
        # Of names that differ in case alone the last wins, so that nothing is said twice.
        sent[name.lower()] = (name, value)
    for name, value in sent.values():
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) or len(value) > _LONGEST_VALUE:
            shown = name if _NAME.fullmatch(name) else "headers"
            raise InvalidValue("A header or credential for the provider has characters that no header may have.", param=shown[:80])
    usual = {name: value for name, value in _USUAL.items() if name.lower() not in sent}
    return usual | dict(sent.values())


def pool_key(secret_headers: Mapping[str, Secret]) -> bytes:
    """Says of two requests whether they carry the same credentials, and nothing of what these are."""
    joined = "\n".join(f"{name.lower()}:{secret_headers[name].reveal()}" for name in sorted(secret_headers))
    return hashlib.blake2b(joined.encode("utf-8", "surrogatepass"), key=_PROCESS_KEY, digest_size=32).digest()
