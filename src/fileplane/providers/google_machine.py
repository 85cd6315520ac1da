"""The identity that Google, or another cloud by agreement with Google, gives the machine which a server runs on.

What there is of it is found by google-auth where Google's own tools look: the file that ``GOOGLE_APPLICATION_CREDENTIALS`` names, such as
that of a workload identity federation, or the metadata server of Compute Engine and GKE. The environment says so, and never a request or a
stored field. So its calls go past the egress policy, which no caller's words can use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from fileplane.errors import CredentialUnavailable, UnsupportedProviderOperation
from fileplane.providers.google_assertions import SCOPE

MACHINE_SECONDS: Final = 30.0
"""The longest that a caller waits for a token of the machine."""
_CALL_SECONDS: Final = 5.0


def machine_token() -> tuple[str, float]:
    """An access token and the seconds that it lasts. Blocks for as long as the machine's services take; for a thread.

    Raises :class:`~fileplane.errors.CredentialUnavailable`, and where google-auth is not installed
    :class:`~fileplane.errors.UnsupportedProviderOperation`.
    """
    try:
        import google.auth  # noqa: PLC0415 - an extra that only such servers have
        import urllib3  # noqa: PLC0415 - the same
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - the same
        from google.auth.transport.urllib3 import Request  # noqa: PLC0415 - the same
    except ImportError as error:
        raise UnsupportedProviderOperation(
            "This server cannot use the identity of its machine at Google: google-auth is not installed (pip install fileplane[gcs]).",
            param="x-portkey-vertex-auth-mode",
        ) from error
    try:
        with urllib3.PoolManager(timeout=urllib3.Timeout(_CALL_SECONDS), retries=False) as pool:
            request: Any = _WithoutProjects(Request(pool))  # type: ignore[no-untyped-call] # the library has only some types
            credentials: Any = google.auth.default(scopes=[SCOPE], request=request)[0]
            if not credentials.valid:
                credentials.refresh(request)
            return str(credentials.token), _lifetime_of(credentials.expiry)
    except (GoogleAuthError, OSError, ValueError) as error:
        raise CredentialUnavailable(
            "The machine of this server gets no token from Google. Set GOOGLE_APPLICATION_CREDENTIALS, or give the machine or its service "
            "account an identity."
        ) from error


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int = 403
    data: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


class _WithoutProjects:
    """Requests, but none for the name of the machine's project, which google-auth asks for unasked and nothing here needs."""

    def __init__(self, request: Any) -> None:
        self._request = request

    def __call__(self, url: str, method: str = "GET", **arguments: Any) -> Any:
        if (urlsplit(url).hostname or "").startswith("cloudresourcemanager."):
            return _Answer()
        return self._request(url, method, **arguments)


def _lifetime_of(expiry: datetime | None) -> float:
    """google-auth has times in UTC that do not say so."""
    return 0.0 if expiry is None else (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
