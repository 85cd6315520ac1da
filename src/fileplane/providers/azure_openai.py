"""Azure OpenAI: the classic API with its ``api-version``, and the newer one at ``/openai/v1``, which is OpenAI's own.

The classic one answers an upload with 201, knows states that OpenAI does not, and lists everything at once: the adapter and the tables of
:mod:`fileplane.providers.file_objects` make the usual of that. Which of the two a target means is said by ``azure_api_version``. Only
the newer one is documented to have uploads in parts
(https://learn.microsoft.com/en-us/azure/foundry/reference/rest/uploads-add-upload-part).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final

from fileplane.catalog import JobKind
from fileplane.errors import InvalidValue
from fileplane.providers.access import Access, base_url_of, missing_credential
from fileplane.providers.base import (
    ByteRange,
    Capabilities,
    Paging,
    RemoteContent,
    RemoteFile,
    RemotePage,
    RemoteQuery,
    RemoteUpload,
    Target,
)
from fileplane.providers.dialects import Dialect, DialectOf, ListOrder
from fileplane.providers.egress import Egress
from fileplane.providers.entra import DEFAULT_SCOPE, ClientCredentials, EntraTokens, Identity
from fileplane.providers.machine_identity import ManagedIdentity, WorkloadIdentity
from fileplane.providers.openai import OpenAIShaped
from fileplane.providers.openai_dialect import OPENAI
from fileplane.providers.overriding import overriding
from fileplane.providers.part_uploads import NewPartUpload, PartBody, RemotePart, RemotePartUpload
from fileplane.providers.remote_jobs import JobAction, JobRecords, RecordsPage, RemoteJob, RemoteJobPage, RemoteJobQuery
from fileplane.secrets.values import Secret

CLASSIC_VERSION: Final = "2024-10-21"
"""Of the classic API, where a target names none."""
_MIB: Final = 1 << 20
_RESOURCE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_VERSION: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:-preview)?")
_CLIENT: Final = ("azure_entra_tenant_id", "azure_entra_client_id", "azure_entra_client_secret")
_MODE: Final = "x-portkey-azure-auth-mode"
_AT_V1: Final = frozenset({"v1", "preview"})
_TUNING_STATUSES: Final = {"notRunning": "queued", "pending": "queued", "creating": "validating_files", "canceled": "cancelled"}
_STATUSES: Final = {JobKind.FINE_TUNING: _TUNING_STATUSES}

CLASSIC: Final = Dialect(
    name="azure-openai",
    title="Azure OpenAI",
    base_url="",
    capabilities=Capabilities(
        paging=Paging.NONE,
        max_bytes=512 * _MIB,
        max_bytes_of={"batch": 200 * _MIB},
        purposes=frozenset({"assistants", "batch", "fine-tune"}),
        jobs=frozenset({JobKind.BATCH, JobKind.FINE_TUNING}),
        unverified=frozenset({"max_bytes", "ranges"}),
    ),
    filters_purpose=True,
    order=ListOrder.ANY,
    job_statuses=_STATUSES,
)
V1: Final = replace(
    OPENAI,
    name="azure-openai",
    title="Azure OpenAI",
    base_url="",
    job_statuses=_STATUSES,
    capabilities=replace(OPENAI.capabilities, unverified=frozenset({"max_bytes", "ranges", "purposes", "uploads"})),
)


def azure_openai(egress: Egress, tokens: EntraTokens | None = None, overrides: str | None = None) -> OpenAIShaped:
    """The adapter. ``tokens`` is given where another authority than the environment's is asked for them."""
    return _AzureOpenAI(egress, overriding("azure-openai", dialect_of, overrides), tokens or EntraTokens(egress))


class _AzureOpenAI(OpenAIShaped):
    """Fetches a new token, and asks once more, when one that was kept is refused: it may have been revoked before its time.

    An upload is not sent a second time. It fails, and the next one has a new token.
    """

    def __init__(self, egress: Egress, dialect_of: DialectOf, tokens: EntraTokens) -> None:
        super().__init__("azure-openai", egress, dialect_of, self._access)
        self._tokens = tokens

    async def _access(self, target: Target, dialect: Dialect) -> Access:
        version = target.fields.get("azure_api_version", CLASSIC_VERSION)
        query = {} if version == "v1" else {"api-version": version}
        return Access(base_url_of(target, _own_base_url(target, version)), await _credential(target, dialect, self._tokens), {}, query)

    async def upload(self, target: Target, upload: RemoteUpload) -> RemoteFile:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().upload, target, upload), again=False)

    async def list(self, target: Target, query: RemoteQuery) -> RemotePage:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().list, target, query))

    async def get(self, target: Target, file_id: str) -> RemoteFile:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().get, target, file_id))

    @asynccontextmanager
    async def open(self, target: Target, file_id: str, span: ByteRange | None = None) -> AsyncIterator[RemoteContent]:
        """See the protocol."""
        opened = super().open
        async with AsyncExitStack() as stack:
            yield await self._tokens.renewing(identity_of(target), lambda: stack.enter_async_context(opened(target, file_id, span)))

    async def delete(self, target: Target, file_id: str) -> None:
        """See the protocol."""
        await self._tokens.renewing(identity_of(target), partial(super().delete, target, file_id))

    async def create_job(self, target: Target, kind: JobKind, document: Mapping[str, Any]) -> RemoteJob:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().create_job, target, kind, document))

    async def get_job(self, target: Target, kind: JobKind, job_id: str) -> RemoteJob:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().get_job, target, kind, job_id))

    async def list_jobs(self, target: Target, kind: JobKind, query: RemoteJobQuery) -> RemoteJobPage:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().list_jobs, target, kind, query))

    async def act_on_job(self, target: Target, kind: JobKind, job_id: str, action: JobAction) -> RemoteJob:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().act_on_job, target, kind, job_id, action))

    async def job_records(self, target: Target, job_id: str, records: JobRecords, query: RemoteJobQuery) -> RecordsPage:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().job_records, target, job_id, records, query))

    async def create_upload(self, target: Target, new: NewPartUpload) -> RemotePartUpload:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().create_upload, target, new))

    async def add_part(self, target: Target, upload_id: str, part: PartBody) -> RemotePart:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().add_part, target, upload_id, part), again=False)

    async def complete_upload(
        self, target: Target, upload_id: str, part_ids: Sequence[str], md5: str | None, size: int | None = None
    ) -> RemotePartUpload:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().complete_upload, target, upload_id, part_ids, md5, size))

    async def cancel_upload(self, target: Target, upload_id: str) -> RemotePartUpload:
        """See the protocol."""
        return await self._tokens.renewing(identity_of(target), partial(super().cancel_upload, target, upload_id))


def dialect_of(target: Target) -> Dialect:
    """The classic dialect, or that of ``/openai/v1``. Raises :class:`~fileplane.errors.InvalidValue` for a version that is none."""
    version = target.fields.get("azure_api_version", CLASSIC_VERSION)
    if version in _AT_V1:
        return V1
    if not _VERSION.fullmatch(version):
        raise InvalidValue("The version of Azure's API is v1, or a date such as 2024-10-21.", param="x-portkey-azure-api-version")
    return CLASSIC


def _own_base_url(target: Target, version: str) -> str:
    resource = target.fields.get("azure_resource_name", "")
    if not _RESOURCE.fullmatch(resource):
        if target.custom_host is not None:
            return target.custom_host
        raise InvalidValue("Azure OpenAI cannot be called without the name of the resource.", param="x-portkey-azure-resource-name")
    return f"https://{resource.lower()}.openai.azure.com/openai{'/v1' if version in _AT_V1 else ''}"


def identity_of(target: Target) -> Identity | None:
    """Whose token a target is called with; None where it has a key or a token of its own.

    Raises :class:`~fileplane.errors.InvalidValue` for an identity of the machine in a request's own credential.
    """
    fields, mode = target.fields, target.fields.get("azure_auth_mode", "default")
    scope = fields.get("azure_entra_scope", DEFAULT_SCOPE)
    if mode in {"managed", "workload"}:
        if not target.stored:
            raise InvalidValue("The identity of the server's own machine is for virtual keys that the organisation has made.", param=_MODE)
        if mode == "managed":
            return ManagedIdentity(fields.get("azure_managed_client_id"), scope)
        return WorkloadIdentity(fields.get("azure_workload_client_id"), fields.get("azure_entra_tenant_id"), scope)
    if "azure_ad_token" in target.secrets or (mode != "entra" and "api_key" in target.secrets):
        return None
    if not all(name in {**fields, **target.secrets} for name in _CLIENT):
        return None
    return ClientCredentials(fields[_CLIENT[0]], fields[_CLIENT[1]], target.secrets[_CLIENT[2]], scope)


async def _credential(target: Target, dialect: Dialect, tokens: EntraTokens) -> dict[str, Secret]:
    identity = identity_of(target)
    within = target.request_timeout_seconds
    token = target.secrets.get("azure_ad_token") if identity is None else await tokens.token(identity, within)
    if token is not None:
        return {"Authorization": Secret(f"Bearer {token.reveal()}")}
    if "api_key" in target.secrets:
        return {"api-key": target.secrets["api_key"]}
    if target.custom_host is not None:
        return {}
    raise missing_credential(dialect.title)
