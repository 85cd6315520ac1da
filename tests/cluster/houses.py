"""The stores of two nodes over one PostgreSQL and one object store, on one clock that is moved by hand, with one project."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from itertools import count

from fileplane.blob_location import BlobLocation
from fileplane.blobs.base import BlobMissing
from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.blobs.opening import open_object_store
from fileplane.files.janitor import Janitor
from fileplane.files.ownership import claim_blobs
from fileplane.ids import new_blob_key
from fileplane.metadata.postgres import PostgresMetadataStore
from fileplane.model import File, NewFile, StoredBlob
from fileplane.settings import Settings
from fileplane.testing.clock import ManualClock
from fileplane.testing.faults import NaughtyBlobStore, NaughtyMetadataStore, Plan
from fileplane.testing.metadata_store_suite import NOBODY, PLENTY, RETENTION, make_project

HOUR = 3_600
DAY = 24 * HOUR
CONTENT = b"content"
SIZE = len(CONTENT)
_numbers = count(1)


class House:
    """One node."""

    def __init__(self, url: str, place: BlobLocation, clock: ManualClock) -> None:
        self.clock = clock
        self.settings = Settings(orphan_grace_seconds=HOUR, tombstone_seconds=DAY, sweep_interval_seconds=HOUR)
        self.metadata = PostgresMetadataStore(url, clock, deadline_seconds=60, connections=3)
        self.blobs: ObjectBlobStore = open_object_store(place, largest_blob=0, slowest_bytes_per_second=1 << 20, deadline_seconds=60)
        self.project_id = ""

    def janitor(self, plan: Plan | None = None) -> Janitor:
        """A janitor of these stores, behind faults if there is a plan."""
        if plan is None:
            return Janitor(self.metadata, self.blobs, self.clock, self.settings)
        return Janitor(NaughtyMetadataStore(self.metadata, plan), NaughtyBlobStore(self.blobs, plan), self.clock, self.settings)

    async def blob(self, content: bytes = CONTENT) -> StoredBlob:
        """A committed blob that no file refers to. Its time is the object store's own, which this clock begins at."""
        async with self.blobs.writer(new_blob_key()) as writer:
            await writer.write(content)
            return await writer.commit()

    async def record(self, blob: StoredBlob, expires_after: int | None = None) -> File:
        new = NewFile(blob, "user_data", "data.bin", "application/octet-stream", "key", expires_after)
        return (await self.metadata.create_file(self.project_id, new, PLENTY, NOBODY)).file

    async def file(self, expires_after: int | None = None) -> File:
        return await self.record(await self.blob(), expires_after)

    async def deleted(self) -> File:
        file = await self.file()
        await self.metadata.delete_file(self.project_id, file.id, RETENTION, NOBODY)
        return file

    async def read(self, blob_key: str) -> bytes | None:
        """The bytes, or None when they are gone."""
        try:
            async with self.blobs.open(blob_key) as reader:
                return b"".join([piece async for piece in reader])
        except BlobMissing:
            return None

    async def keys(self) -> set[str]:
        return {info.key async for info in self.blobs.walk() if info.committed}

    async def unfinished(self) -> list[str]:
        return [info.key async for info in self.blobs.walk(uncommitted_only=True)]

    async def assert_sound(self) -> None:
        """Every file that is kept has its bytes, and the counters are right."""
        keys = await self.keys()
        assert {entry.blob_key for entry in await self.metadata.kept_files(("", ""), 10_000) if not entry.due} <= keys
        assert await self.metadata.counter_drifts() == []


async def two_houses(stack: AsyncExitStack, url: str, place: BlobLocation) -> tuple[House, House]:
    clock = ManualClock(time.time())
    houses = House(url, place, clock), House(url, place, clock)
    for house in houses:
        stack.push_async_callback(house.metadata.close)
        stack.push_async_callback(house.blobs.close)
        await claim_blobs(house.metadata, house.blobs, str(place))
    project_id = (await make_project(houses[0].metadata, f"house-{next(_numbers)}")).id
    for house in houses:
        house.project_id = project_id
    return houses
