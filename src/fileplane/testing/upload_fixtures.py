"""Uploads in parts, as the conformance suites of metadata stores make them."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from fileplane.access import Project
from fileplane.ids import new_blob_key
from fileplane.metadata.base import MetadataStore
from fileplane.model import File, StoredBlob
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY
from fileplane.uploads import Completion, NewPart, NewUpload, Part, Upload

LIFETIME: Final = 3_600


async def begin(store: MetadataStore, project: Project, size: int = 30, **values: Any) -> Upload:
    """An upload of so many bytes."""
    return await store.create_upload(project.id, NewUpload("user_data", "data.bin", size, "text/plain", "key", **values), LIFETIME)


async def add(store: MetadataStore, upload: Upload, size: int = 10, quota_bytes: int = PLENTY, **values: Any) -> Part:
    """A part of so many bytes."""
    blob = StoredBlob(new_blob_key(), size, hashlib.sha256(b"").hexdigest())
    return await store.add_part(upload.project_id, upload.id, NewPart(blob, "key"), quota_bytes, **values)


async def complete(store: MetadataStore, upload: Upload, *parts: Part, **values: Any) -> Upload:
    """Completes an upload with these parts."""
    wanted = Completion(tuple(part.id for part in parts), "key")
    return await store.complete_upload(upload.project_id, upload.id, wanted, NOBODY, **values)


async def make_file(store: MetadataStore, project: Project, count: int = 3) -> File:
    """A file of so many parts of ten bytes."""
    upload = await begin(store, project, 10 * count)
    file = (await complete(store, upload, *[await add(store, upload) for _ in range(count)])).file
    assert file is not None
    return file


async def sweep(store: MetadataStore) -> list[str]:
    """Forgets every part that is given up, as if its blob were gone; their ids."""
    return [entry.file_id for entry in await store.forget_parts(await store.given_up_parts(None, 1_000))]
