"""Every promise of a blob store, kept by each object store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.testing.blob_store_suite import BlobStoreSuite
from support.object_servers import ObjectServer
from support.object_stores import OpenStore

MIB = 1 << 20


class _ObjectStoreSuite(BlobStoreSuite):
    reads_on_after_deletion = False
    unfinished_bytes = 20 * MIB


class TestS3(_ObjectStoreSuite):
    @pytest.fixture
    async def store(self, seaweed: ObjectServer, open_store: OpenStore) -> AsyncIterator[ObjectBlobStore]:
        async with open_store(seaweed) as store:
            yield store


@pytest.mark.full
class TestAzure(_ObjectStoreSuite):
    shows_unfinished = False

    @pytest.fixture
    async def store(self, azure: ObjectServer, open_store: OpenStore) -> AsyncIterator[ObjectBlobStore]:
        async with open_store(azure) as store:
            yield store


@pytest.mark.full
class TestGoogle(_ObjectStoreSuite):
    shows_unfinished = False

    @pytest.fixture
    async def store(self, gcs: ObjectServer, open_store: OpenStore) -> AsyncIterator[ObjectBlobStore]:
        async with open_store(gcs) as store:
            yield store
