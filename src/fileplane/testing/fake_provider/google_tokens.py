"""Where Google's access tokens come from: for service accounts whose signature is right, for workloads, and for machines at Google."""

from __future__ import annotations

import base64
import json
import time
from typing import Any, Final
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fileplane.testing.fake_provider.wire import Answer, RecordedRequest, answer_of

TOKEN_PATH: Final = "/token"  # noqa: S105 - a path
"""As service accounts' keys have it in ``token_uri``."""
EXCHANGE_PATH: Final = "/v1/token"
"""Of the security token service, which workload identity federation asks."""
METADATA_ROOT: Final = "/computeMetadata/"
_METADATA_TOKEN: Final = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105 - a path
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_LONGEST_SECONDS: Final = 3_600
_SKEW_SECONDS: Final = 60
_LIFETIME: Final = 3_599


def is_google(request: RecordedRequest) -> bool:
    """Whether a request is for one of these services: by its path, or as a machine that looks whether it is at Google."""
    looks = request.path == "/" and request.headers.get("metadata-flavor") == "Google"
    return looks or request.path in {TOKEN_PATH, EXCHANGE_PATH} or request.path.startswith(METADATA_ROOT)


class GoogleTokenEndpoint:
    """Each token is new, and all of one identity lead to one account. Assertions must be for the address that they are sent to."""

    def __init__(self) -> None:
        self._accounts: dict[str, tuple[str, rsa.RSAPublicKey]] = {}
        self.issued = 0

    def service_account(self, endpoint: str, email: str = "files@project.iam.gserviceaccount.com", **members: Any) -> str:
        """The JSON key of a new service account, as Google's console gives it out. ``members`` replace its own; None leaves one out."""
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        key_id = f"key-{len(self._accounts) + 1}"
        self._accounts[email] = (key_id, key.public_key())
        document: dict[str, Any] = {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": key_id,
            "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "client_email": email,
            "token_uri": endpoint,
            **members,
        }
        return json.dumps({name: value for name, value in document.items() if value is not None})

    def answer(self, request: RecordedRequest, content: str) -> Answer:
        """One request for a token."""
        if request.path.startswith(METADATA_ROOT) or request.path == "/":
            return self._metadata(request)
        form = {name: values[0] for name, values in parse_qs(content).items()}
        request.fields = [(name, value) for name, value in form.items() if name not in {"assertion", "subject_token"}]
        if request.path == EXCHANGE_PATH:
            if form.get("grant_type") != _EXCHANGE or not form.get("subject_token") or form["subject_token"].startswith("bad"):
                return _refused("invalid_grant", "The subject token is not one that is trusted.")
            given = {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "expires_in": _LIFETIME}
            return self._token(form["subject_token"], given)
        if form.get("grant_type") != _GRANT:
            return _refused("unsupported_grant_type", "Invalid grant_type.")
        try:
            claims = self._verified(form.get("assertion", ""), f"http://{request.headers['host']}{request.path}")
        except (ValueError, KeyError, TypeError, InvalidSignature) as error:
            return _refused("invalid_grant", f"Invalid JWT Signature. {type(error).__name__}")
        request.document = claims
        return self._token(claims["iss"], {"expires_in": _LIFETIME})

    def _verified(self, assertion: str, audience: str) -> dict[str, Any]:
        """The claims of an assertion with a right signature. Raises for every other."""
        head, payload, signature = assertion.split(".")
        header, claims = json.loads(_decoded(head)), json.loads(_decoded(payload))
        key_id, key = self._accounts[claims["iss"]]
        if (header["alg"], header["typ"], header.get("kid", key_id)) != ("RS256", "JWT", key_id):
            raise ValueError(head)
        key.verify(_decoded(signature), f"{head}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256())
        now = time.time()
        if not (claims["iat"] <= now + _SKEW_SECONDS and now < claims["exp"] <= claims["iat"] + _LONGEST_SECONDS):
            raise ValueError(payload)
        if claims["aud"] != audience or not claims["scope"].startswith("https://www.googleapis.com/auth/"):
            raise ValueError(payload)
        return dict(claims)

    def _metadata(self, request: RecordedRequest) -> Answer:
        flavour = {"metadata-flavor": "Google"}
        if request.path == "/":
            return answer_of(200, b"computeMetadata/\n", "application/text", flavour)
        if request.headers.get("metadata-flavor") != "Google" or "x-forwarded-for" in request.headers:
            return answer_of(403, b"Missing required header.", "text/html")
        if request.path == _METADATA_TOKEN:
            return self._token("machine", {"expires_in": _LIFETIME}, flavour)
        if request.path.endswith("/project/project-id"):
            return answer_of(200, b"project", "application/text", flavour)
        described = {"aliases": ["default"], "email": "machine@project.iam.gserviceaccount.com", "scopes": []}
        return answer_of(200, json.dumps(described).encode(), headers=flavour)

    def _token(self, whose: str, given: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
        self.issued += 1
        value = {"access_token": f"token-{self.issued}-of-{whose}", "token_type": "Bearer", **given}
        return answer_of(200, json.dumps(value).encode(), headers=headers)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _refused(error: str, description: str) -> Answer:
    return answer_of(400, json.dumps({"error": error, "error_description": description}).encode())
