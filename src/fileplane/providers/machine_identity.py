"""The identities that Azure gives the machine which a server runs on: what is asked, and of whom. Nothing here calls anything.

Where they are asked for is said by the environment, in Azure's own variables, and never by a request or a stored field:

- a managed identity by ``IDENTITY_ENDPOINT`` and ``IDENTITY_HEADER`` (App Service, Container Apps, Functions), else by the metadata
  service of the virtual machine, at its fixed address or at ``AZURE_POD_IDENTITY_AUTHORITY_HOST``;
- a workload identity by ``AZURE_AUTHORITY_HOST``, with ``AZURE_TENANT_ID``, ``AZURE_CLIENT_ID`` and ``AZURE_FEDERATED_TOKEN_FILE``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from fileplane.errors import CredentialUnavailable, FileplaneError
from fileplane.providers.egress_policy import parse_base_url

AUTHORITY: Final = "https://login.microsoftonline.com"
METADATA_SERVICE: Final = "http://169.254.169.254"
_METADATA_PATH: Final = "/metadata/identity/oauth2/token"
_METADATA_VERSION: Final = "2018-02-01"
_APP_SERVICE_VERSION: Final = "2019-08-01"
_LONGEST_ASSERTION: Final = 1 << 16
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """Of the machine; ``client_id`` says which, where it has several. ``scope`` is what the token is for."""

    client_id: str | None
    scope: str


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """Of the service account that a container runs as; without client id or tenant the environment's."""

    client_id: str | None
    tenant: str | None
    scope: str


def managed_request(identity: ManagedIdentity, environment: Mapping[str, str] = os.environ) -> tuple[str, dict[str, str]]:
    """URL and headers of the GET that gives a managed identity's token.

    Raises :class:`~fileplane.errors.CredentialUnavailable` when the environment names no place that can be asked.
    """
    query = {"resource": identity.scope.removesuffix("/.default")}
    if identity.client_id is not None:
        query["client_id"] = identity.client_id
    endpoint, secret = environment.get("IDENTITY_ENDPOINT"), environment.get("IDENTITY_HEADER")
    if endpoint and secret:
        query = {"api-version": _APP_SERVICE_VERSION, **query}
        return f"{_base('IDENTITY_ENDPOINT', endpoint)}?{urlencode(query)}", {"X-IDENTITY-HEADER": secret}
    service = environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or METADATA_SERVICE
    query = {"api-version": _METADATA_VERSION, **query}
    return f"{_base('AZURE_POD_IDENTITY_AUTHORITY_HOST', service)}{_METADATA_PATH}?{urlencode(query)}", {"Metadata": "true"}


def workload_grant(identity: WorkloadIdentity, environment: Mapping[str, str] = os.environ) -> tuple[str, dict[str, str]]:
    """The tenant, and the form that is exchanged for a workload identity's token. Reads the file of the assertion, which is replaced often.

    Raises :class:`~fileplane.errors.CredentialUnavailable`.
    """
    tenant, client_id = identity.tenant or environment.get("AZURE_TENANT_ID"), identity.client_id or environment.get("AZURE_CLIENT_ID")
    path = environment.get("AZURE_FEDERATED_TOKEN_FILE")
    if not tenant or not client_id or not path:
        raise CredentialUnavailable(
            "The machine of this server has no workload identity: AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_FEDERATED_TOKEN_FILE are not "
            "all set."
        )
    try:
        with Path(path).open("rb") as file:
            assertion = file.read(_LONGEST_ASSERTION + 1).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialUnavailable("The token of the workload identity cannot be read: see AZURE_FEDERATED_TOKEN_FILE.") from error
    if not assertion or len(assertion) > _LONGEST_ASSERTION:
        raise CredentialUnavailable("The token of the workload identity cannot be used: see AZURE_FEDERATED_TOKEN_FILE.")
    form = {"client_id": client_id, "client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion, "scope": identity.scope}
    return tenant, {"grant_type": "client_credentials", **form}


def authority(environment: Mapping[str, str] = os.environ) -> str:
    """Where Microsoft Entra ID is asked for tokens, without a slash at the end: Azure's other clouds have addresses of their own."""
    named = environment.get("AZURE_AUTHORITY_HOST") or AUTHORITY
    return _base("AZURE_AUTHORITY_HOST", named if "://" in named else f"https://{named}")


def _base(variable: str, text: str) -> str:
    try:
        return parse_base_url(text, param=variable).url()
    except FileplaneError as error:
        raise CredentialUnavailable(f"The environment's {variable} is no URL that can be called.") from error
