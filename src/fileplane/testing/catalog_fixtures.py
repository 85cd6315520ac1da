"""What the suites of the catalog have in common: virtual keys, and files and jobs that could have been made through them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any, Final

import pytest

from fileplane.access import CallerLimits, Project
from fileplane.catalog import CatalogFile, CatalogQuery, Claim, Job, JobKind, JobReport, NewJob, NewUpload, ProviderFile, UploadedFile
from fileplane.credentials import VirtualKey
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.catalog import NewCopy
from fileplane.model import AuditQuery, Idempotency, Origin
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY, StoreFixtures, new_file
from fileplane.testing.secrets_suite import new_virtual_key

SOMEBODY: Final = Origin("key", "192.0.2.1", "req_1", "POST", "/v1/files")
CLAIM: Final = Claim("uploader", 60)
RECONCILER: Final = Claim("reconciler", 60)
_numbers: Final = count(1)


def new_id(kind: str = "file") -> str:
    """An id as providers make them."""
    return f"{kind}-{next(_numbers):08}"


def new_upload(key: VirtualKey, **values: Any) -> NewUpload:
    """A file that could be sent."""
    defaults: dict[str, Any] = {"purpose": "batch", "filename": "data.jsonl", "media_type": "application/jsonl", "created_by": "key"}
    return NewUpload(key.id, **(defaults | values))


async def reserve(store: MetadataStore, project: Project, key: VirtualKey, **values: Any) -> CatalogFile:
    """A reservation, which is not the repetition of another."""
    reservation = await store.reserve_upload(project.id, new_upload(key, **values), CLAIM, SOMEBODY)
    assert not reservation.repeated
    return reservation.file


async def reserve_with_copy(
    store: MetadataStore, project: Project, key: VirtualKey, idempotency: Idempotency | None = None, **bounds: Any
) -> tuple[CatalogFile, NewCopy]:
    """A reservation of a file whose bytes are kept here too."""
    values: dict[str, Any] = {"quota_bytes": PLENTY, "limits": CallerLimits()} | bounds
    copy = NewCopy(new_file().blob, **values)
    return (await store.reserve_upload(project.id, new_upload(key), CLAIM, SOMEBODY, idempotency, copy)).file, copy


async def put(store: MetadataStore, project: Project, key: VirtualKey, provider_file_id: str | None = None, **values: Any) -> CatalogFile:
    """A file that is at the provider."""
    file = await reserve(store, project, key, **values)
    uploaded = UploadedFile(provider_file_id or new_id(), 10, "processed", "0" * 64)
    return await store.bind_upload(project.id, file.id, uploaded, SOMEBODY)


async def delete(store: MetadataStore, file: CatalogFile) -> None:
    """Deletes a file to the end."""
    begun = await store.begin_catalog_delete(file.project_id, file.virtual_key_id, file.provider_file_id or "", CLAIM, SOMEBODY)
    assert await store.finish_catalog_delete(file.project_id, begun.id, SOMEBODY)


async def listed(store: MetadataStore, project: Project, *keys: VirtualKey, **query: Any) -> list[str]:
    """The provider's ids of one page, in its order."""
    asked = CatalogQuery(tuple(key.id for key in keys), **({"limit": 100} | query))
    return [file.provider_file_id or "" for file in (await store.list_catalog_files(project.id, asked)).files]


async def begin(store: MetadataStore, project: Project, key: VirtualKey, *inputs: CatalogFile, kind: JobKind = JobKind.BATCH) -> Job:
    """A job that is about to be created."""
    new = NewJob(key.id, kind, tuple(file.provider_file_id or "" for file in inputs), "key")
    return await store.begin_job(project.id, new, CLAIM, SOMEBODY)


async def start(
    store: MetadataStore,
    project: Project,
    key: VirtualKey,
    *inputs: CatalogFile,
    status: str = "in_progress",
    kind: JobKind = JobKind.BATCH,
) -> Job:
    """A job that exists."""
    job = await begin(store, project, key, *inputs, kind=kind)
    return (await store.bind_job(project.id, job.id, new_id("job"), JobReport(status), SOMEBODY)).job


async def refresh(store: MetadataStore, job: Job, status: str, *results: str) -> Job:
    """What the provider now says of a job; the results are not refused."""
    report = JobReport(status, tuple(ProviderFile(name, "batch_output") for name in results))
    refreshed = await store.refresh_job(job.project_id, job.virtual_key_id, job.kind, job.provider_job_id or "", report, SOMEBODY)
    assert refreshed.refused == ()
    return refreshed.job


async def changes(store: MetadataStore, resource_id: str | None) -> list[str]:
    """What the audit log says of a resource, oldest first."""
    entries = (await store.list_audit(AuditQuery(100, resource_id=resource_id))).entries
    return [f"{entry.resource_type}.{entry.action}" for entry in reversed(entries)]


class CatalogFixtures(StoreFixtures):
    """Whatever a test does, the counters are right at its end."""

    @pytest.fixture(autouse=True)
    async def counters_are_kept(self, store: MetadataStore) -> AsyncIterator[None]:
        """See the class."""
        yield
        assert await store.counter_drifts() == []

    @pytest.fixture
    async def shared(self, store: MetadataStore, project: Project, other: Project) -> VirtualKey:
        """A virtual key of both projects."""
        return await store.create_virtual_key(new_virtual_key("shared", project_ids=frozenset({project.id, other.id})), NOBODY)

    @pytest.fixture
    async def second(self, store: MetadataStore, project: Project, other: Project) -> VirtualKey:
        """Another one, of a credential of its own."""
        return await store.create_virtual_key(new_virtual_key("second", project_ids=frozenset({project.id, other.id})), NOBODY)

    @pytest.fixture
    async def twin(self, store: MetadataStore, project: Project, other: Project, shared: VirtualKey) -> VirtualKey:
        """Another one, which uses the credential of ``shared``."""
        projects = frozenset({project.id, other.id})
        return await store.create_virtual_key(new_virtual_key("twin", project_ids=projects, integration=shared.slug), NOBODY)
