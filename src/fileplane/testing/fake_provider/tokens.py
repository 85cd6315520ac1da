"""Where tokens come from: of Azure's Microsoft Entra ID, and the identity services of machines at Azure; and Google's."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import parse_qs

from fileplane.testing.fake_provider.google_tokens import GoogleTokenEndpoint, is_google
from fileplane.testing.fake_provider.wire import Answer, RecordedRequest, answer_of

METADATA_PATH: Final = "/metadata/identity/oauth2/token"
"""Of a virtual machine's metadata service."""
APP_SERVICE_PATH: Final = "/msi/token"
"""As App Service has it in IDENTITY_ENDPOINT."""
_ENTRA: Final = "/oauth2/v2.0/token"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_AN_HOUR: Final = 3_599


def gives_tokens(request: RecordedRequest) -> bool:
    """Whether it asks for a token."""
    return request.path.endswith(_ENTRA) or request.path in {METADATA_PATH, APP_SERVICE_PATH} or is_google(request)


class TokenEndpoint:
    """Gives a new token, valid for an hour, for whatever secret, assertion or client id does not begin with ``bad``."""

    def __init__(self) -> None:
        self.issued = 0
        self.google = GoogleTokenEndpoint()

    async def answer(self, request: RecordedRequest, body: AsyncIterator[bytes]) -> Answer:
        """One request for a token."""
        content = b"".join([piece async for piece in body]).decode()
        if is_google(request):
            return self.google.answer(request, content)
        if request.path == METADATA_PATH:
            return self._metadata(request)
        if request.path == APP_SERVICE_PATH:
            return self._app_service(request)
        form = parse_qs(content)
        request.fields = [(name, values[0]) for name, values in form.items() if name not in {"client_secret", "client_assertion"}]
        assertion = form.get("client_assertion_type") == [_ASSERTION_TYPE]
        secret = form.get("client_assertion" if assertion else "client_secret", ["bad"])[0]
        if form.get("grant_type") != ["client_credentials"] or secret.startswith("bad"):
            return _refused(401, "invalid_client", f"AADSTS7000215: Invalid client secret provided: {secret}.")
        return self._token(len(secret), {"expires_in": _AN_HOUR, "ext_expires_in": _AN_HOUR})

    def _metadata(self, request: RecordedRequest) -> Answer:
        if request.headers.get("metadata") != "true" or "x-forwarded-for" in request.headers:
            return _refused(400, "invalid_request", "Required metadata header not specified")
        return self._of_machine(request, "2018-02-01", {"expires_in": str(_AN_HOUR), "expires_on": str(int(time.time()) + _AN_HOUR)})

    def _app_service(self, request: RecordedRequest) -> Answer:
        if request.headers.get("x-identity-header", "bad").startswith("bad"):
            return answer_of(401, b"")
        return self._of_machine(request, "2019-08-01", {"expires_on": str(int(time.time()) + _AN_HOUR)})

    def _of_machine(self, request: RecordedRequest, version: str, valid: dict[str, object]) -> Answer:
        if request.method != "GET" or request.query.get("api-version") != version or not request.query.get("resource"):
            return _refused(400, "invalid_request", "Required query variable 'resource' is missing")
        if request.query.get("client_id", "").startswith("bad"):
            return _refused(400, "invalid_request", "Identity not found")
        return self._token(0, {**valid, "resource": request.query["resource"]})

    def _token(self, of: int, valid: dict[str, object]) -> Answer:
        self.issued += 1
        return answer_of(200, json.dumps({"token_type": "Bearer", "access_token": f"token-{self.issued}-of-{of}", **valid}).encode())


def _refused(status: int, error: str, description: str) -> Answer:
    return answer_of(status, json.dumps({"error": error, "error_description": description}).encode())
