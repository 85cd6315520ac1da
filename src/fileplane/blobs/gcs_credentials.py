"""Google's credentials: found by google-auth wherever Google's own tools look, refreshed and used for signing on a thread."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Final, Protocol

import google.auth
import urllib3
from google.auth import compute_engine, iam
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.urllib3 import Request

from fileplane.blobs.bucket import BucketUnusable, LinksImpossible

_NOTHING_TO_SIGN_WITH: Final = "Links are signed with credentials, and blob_store says credentials=none. Set content_delivery=proxy."
_SCOPES: Final = ("https://www.googleapis.com/auth/devstorage.read_write", "https://www.googleapis.com/auth/iam")


class Credentials(Protocol):
    """What requests and links are authenticated with."""

    async def headers(self) -> dict[str, str]:
        """The headers of a request. Raises GoogleAuthError."""
        ...

    async def signer(self) -> tuple[str, Any]:
        """Who signs links, and what signs bytes with ``sign``. Raises :class:`LinksImpossible` or GoogleAuthError."""
        ...

    async def sign(self, signer: Any, text: bytes) -> bytes:
        """A signature. Raises GoogleAuthError."""
        ...


class NoCredentials:
    """For emulators, which ask for none."""

    async def headers(self) -> dict[str, str]:
        """See :meth:`Credentials.headers`."""
        return {}

    async def signer(self) -> tuple[str, Any]:
        """See :meth:`Credentials.signer`."""
        raise LinksImpossible(_NOTHING_TO_SIGN_WITH)

    async def sign(self, signer: Any, text: bytes) -> bytes:  # noqa: ARG002 - whatever the text
        """See :meth:`Credentials.sign`. There is no signer to sign with."""
        raise LinksImpossible(_NOTHING_TO_SIGN_WITH)


class GoogleCredentials:
    """Application default credentials: a file, a workload identity, or the machine's own."""

    def __init__(self, deadline_seconds: float) -> None:
        """Raises :class:`BucketUnusable` when there are none."""
        timeout = urllib3.Timeout(connect=deadline_seconds / 4, read=deadline_seconds / 4)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=2)
        self._request: Any = Request(self._pool)  # type: ignore[no-untyped-call] # the library has only some types
        try:
            self._credentials: Any = google.auth.default(scopes=_SCOPES, request=self._request)[0]
        except (GoogleAuthError, OSError, ValueError) as error:
            raise BucketUnusable(
                f"There are no credentials for gs:// ({error}). Set GOOGLE_APPLICATION_CREDENTIALS, or give the machine or the service "
                "account an identity."
            ) from error
        self._refreshing = threading.Lock()

    async def headers(self) -> dict[str, str]:
        """See :meth:`Credentials.headers`."""
        if not self._credentials.valid:
            await asyncio.to_thread(self._refresh)
        return {"authorization": f"Bearer {self._credentials.token}"}

    def _refresh(self) -> None:
        with self._refreshing:
            if not self._credentials.valid:
                self._credentials.refresh(self._request)

    async def signer(self) -> tuple[str, Any]:
        """See :meth:`Credentials.signer`. A key signs by itself; a machine's identity asks the IAM service to."""
        credentials = self._credentials
        if isinstance(credentials, compute_engine.Credentials):
            await self.headers()
            email: str = credentials.service_account_email
            return email, iam.Signer(self._request, credentials, email)  # type: ignore[no-untyped-call] # as above
        signer = getattr(credentials, "signer", None)
        if signer is None or not getattr(credentials, "signer_email", None):
            raise LinksImpossible("Links are signed by a service account, which these credentials are not. Set content_delivery=proxy.")
        return credentials.signer_email, signer

    async def sign(self, signer: Any, text: bytes) -> bytes:
        """See :meth:`Credentials.sign`."""
        signature: bytes = await asyncio.to_thread(signer.sign, text)
        return signature
