"""The adapter for Vertex AI against fake-gcs-server, which is nobody's mock, and read back by Google's own client library.

What the server was sent cannot be seen there, so that promises about requests are shown by the fake of test_vertex.py alone. Nor does it
know credentials, faults, or a limit of 256 KiB that chunks are multiples of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import quote

import httpx2
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from fileplane.providers import vertex_upload
from fileplane.providers.base import RemoteQuery, Target
from fileplane.providers.egress import Egress
from fileplane.providers.object_ids import parse_object_id
from fileplane.providers.registry import Registry
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.fake_provider.flavours import FLAVOURS
from fileplane.testing.fake_provider.wire import RecordedRequest
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_world import LOOPBACK, SECRET, World, pattern
from support.object_servers import BUCKET, ObjectServer, fake_gcs

FIELDS = {"vertex_storage_bucket_name": BUCKET, "file_purpose": "upload"}


@dataclass
class Emulator:
    """What the suite asks of its fake, as far as the server can tell it."""

    url: str
    requests: list[RecordedRequest] = field(default_factory=list)
    flavour: Any = FLAVOURS["vertex-ai"]
    open_connections: int = 0

    @property
    def accounts(self) -> Any:
        kept = {one["name"]: SimpleNamespace(filename=one["metadata"]["filename"], name=one["name"]) for one in self.objects()}
        return SimpleNamespace(of=lambda _: SimpleNamespace(files=kept), ahead_seconds=0)

    def objects(self) -> list[dict[str, Any]]:
        """Oldest first."""
        items = httpx2.get(f"{self.url}/storage/v1/b/{BUCKET}/o", trust_env=False).json().get("items", [])
        return sorted(items, key=lambda one: (one["timeCreated"], one["name"]))

    def content(self, name: str) -> bytes:
        path = f"/storage/v1/b/{BUCKET}/o/{quote(name, safe='')}"
        return httpx2.get(f"{self.url}{path}", params={"alt": "media"}, trust_env=False).content

    def reset(self) -> None:
        pass

    def clear(self) -> None:
        for one in self.objects():
            httpx2.delete(f"{self.url}/storage/v1/b/{BUCKET}/o/{quote(one['name'], safe='')}", trust_env=False)


@dataclass(frozen=True, slots=True)
class EmulatedWorld(World):
    async def stored(self) -> list[bytes]:
        emulator: Any = self.fake
        return [emulator.content(one["name"]) for one in emulator.objects()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    directory: Path = tmp_path_factory.mktemp("gcs")
    with fake_gcs(directory / "server") as running:
        yield running


@pytest.fixture
async def world(server: ObjectServer) -> AsyncIterator[World]:
    emulator: Any = Emulator(server.endpoint)
    emulator.clear()
    egress = Egress(Settings(egress_allow=LOOPBACK))
    target = Target("vertex-ai", {"api_key": Secret(SECRET)}, FIELDS, custom_host=server.endpoint)
    yield EmulatedWorld(emulator, Registry(egress).get("vertex-ai"), target, egress)
    await egress.close()


class TestEmulated(ProviderSuite):
    flavour = "vertex-ai"
    fields: ClassVar[Mapping[str, str]] = FIELDS
    in_forms = False
    streams = False

    @pytest.fixture
    async def world(self, world: World) -> World:
        return world

    def requests_with_the_file(self, world: World) -> list[RecordedRequest]:
        return world.fake.requests


@pytest.fixture
def bucket(server: ObjectServer) -> Iterator[storage.Bucket]:
    client = storage.Client(project="project", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.endpoint})
    yield client.bucket(BUCKET)
    client.close()


@pytest.mark.parametrize("size", [0, 1_000, (8 << 20) + 1, 20 << 20])
async def test_google_s_own_library_reads_what_was_written(world: World, bucket: storage.Bucket, size: int):
    body = pattern(size)
    file = await world.upload(body, filename="naïve 文件 🎉.jsonl", purpose="user_data", announced=False)
    place = parse_object_id(file.id)
    assert place is not None
    blob = bucket.get_blob(place.key)
    assert blob is not None
    assert blob.download_as_bytes() == body
    assert (blob.size, blob.metadata["filename"], blob.metadata["purpose"]) == (size, "naïve 文件 🎉.jsonl", "user_data")
    assert file.created_at == int(blob.time_created.timestamp())


async def test_what_google_s_own_library_writes_is_read(world: World, bucket: storage.Bucket):
    name = "fileplane/some folder/ünïcode name+1.bin"
    bucket.blob(name).upload_from_string(pattern(1_000))
    bucket.blob("elsewhere/a.bin").upload_from_string(b"elsewhere")
    [file] = (await world.provider.list(world.target, RemoteQuery())).files
    assert (file.filename, file.bytes, file.purpose) == ("ünïcode name+1.bin", 1_000, None)
    assert await world.download(file.id) == pattern(1_000)
    elsewhere = f"gs://{BUCKET}/elsewhere/a.bin"
    assert await world.download(elsewhere) == b"elsewhere"
    for file_id in (file.id, elsewhere):
        await world.provider.delete(world.target, file_id)
    assert list(bucket.list_blobs()) == []


async def test_an_upload_that_fails_leaves_no_object(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vertex_upload, "CHUNK_BYTES", 256 << 10)

    async def source() -> AsyncIterator[bytes]:
        yield pattern(900_000)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await world.upload(source=source(), length=None)
    assert await world.stored() == []
