"""Signatures of requests to AWS (Signature Version 4), computed by botocore. Nothing here calls anything.

Imported only when something is to be signed: botocore belongs to the extra ``s3``, and takes a while to load.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fileplane.providers.aws_identities import AwsKeys
from fileplane.secrets.values import Secret

# What is signed has the session token in it, and is told to whoever listens to this logger's details.
logging.getLogger("botocore.auth").setLevel(logging.WARNING)


class _ForS3(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Takes the payload's hash as it is given, since a part is made of pieces."""

    payload_sha256 = ""

    def payload(self, request: Any) -> str:  # noqa: ARG002 - botocore's interface
        return self.payload_sha256


class _ForOthers(SigV4Auth):  # type: ignore[misc]  # botocore has no types
    payload_sha256 = ""

    def payload(self, request: Any) -> str:  # noqa: ARG002 - botocore's interface
        return self.payload_sha256


def signature_headers(
    method: str, url: str, headers: Mapping[str, str], payload_sha256: str, *, keys: AwsKeys, region: str, service: str
) -> tuple[dict[str, str], dict[str, Secret]]:
    """The headers of a request with those that sign it, which are secret: all of ``headers``, and the host, are signed.

    ``payload_sha256`` is the body's, in hex.
    """
    token = None if keys.session_token is None else keys.session_token.reveal()
    credentials = Credentials(keys.access_key_id.reveal(), keys.secret_access_key.reveal(), token)
    signer = (_ForS3 if service == "s3" else _ForOthers)(credentials, service, region)
    signer.payload_sha256 = payload_sha256
    request = AWSRequest(method=method, url=url, headers=dict(headers))
    signer.add_auth(request)
    sent = dict(request.headers.items())
    secret = {name: Secret(sent.pop(name)) for name in ("Authorization", "X-Amz-Security-Token") if name in sent}
    return sent, secret
