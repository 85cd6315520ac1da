"""Files whose bytes are in an object store: a real server with SQLite for its records and SeaweedFS for its blobs."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from fileplane.blob_location import BlobLocation
from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.ids import new_blob_key
from fileplane.testing.blob_store_suite import everything, put, read
from support.expect import assert_file, assert_openai_error
from support.object_servers import ObjectServer, seaweedfs
from support.object_stores import OpenStore, located
from support.polling import eventually
from support.server import RunningServer, run_fileplane, running_server

MIB = 1 << 20
BODY = bytes(range(251)) * (9 * MIB // 251)


@pytest.fixture(scope="module")
def location(seaweed: ObjectServer) -> BlobLocation:
    return located(seaweed)


@pytest.fixture(scope="module")
def served(seaweed: ObjectServer, location: BlobLocation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    data_dir: Path = tmp_path_factory.mktemp("served") / "data"
    options = {"deleted_retention_seconds": 0, "janitor_interval_seconds": 0.2}
    with running_server(data_dir, variables=seaweed.environment, blob_store=location, **options) as server:
        yield server


@pytest.fixture
def client(served: RunningServer) -> Iterator[httpx2.Client]:
    with served.client() as client:
        yield client


@pytest.fixture
async def blobs(seaweed: ObjectServer, location: BlobLocation, open_store: OpenStore) -> AsyncIterator[ObjectBlobStore]:
    """The server's own blobs, seen from beside it."""
    async with open_store(seaweed, location=location) as store:
        yield store


def upload(client: httpx2.Client, body: bytes, name: str = "data.bin") -> dict[str, object]:
    return assert_file(client.post("/files", data={"purpose": "user_data"}, files={"file": (name, body)}), bytes=len(body))


@pytest.mark.parametrize("body", [b"", b"small", BODY], ids=["empty", "small", "two parts"])
def test_what_is_uploaded_is_read_back_whole_and_in_part(client: httpx2.Client, body: bytes):
    path = f"/files/{upload(client, body)['id']}/content"
    whole = client.get(path)
    assert (whole.status_code, whole.content) == (200, body)
    head = client.head(path)
    assert head.headers["content-length"] == str(len(body))
    assert head.headers["etag"] == f'"{hashlib.sha256(body).hexdigest()}"'
    if body:
        part = client.get(path, headers={"Range": f"bytes={len(body) - 3}-"})
        assert (part.status_code, part.content) == (206, body[-3:])
    assert_openai_error(client.get(path, headers={"Range": f"bytes={len(body)}-"}), 416, "invalid_range", param="range")


def test_the_bytes_are_in_the_bucket_and_not_in_the_data_directory(client: httpx2.Client, served: RunningServer):
    upload(client, b"where is it?")
    assert not (served.data_dir / "blobs").exists()
    assert client.get(f"{served.url}/readyz").status_code == 200


async def test_a_refused_upload_leaves_nothing_in_the_bucket(client: httpx2.Client, blobs: ObjectBlobStore):
    before = {info.key for info in await everything(blobs)}
    answer = client.post("/files", data={"purpose": "nonsense"}, files={"file": ("data.bin", BODY)})
    assert_openai_error(answer, 400, "invalid_value", param="purpose")
    assert {info.key for info in await everything(blobs)} <= before


async def test_a_deleted_file_is_removed_from_the_bucket_by_the_janitor(
    client: httpx2.Client, served: RunningServer, blobs: ObjectBlobStore
):
    before = {info.key for info in await everything(blobs)}
    file_id = upload(client, BODY)["id"]
    (key,) = {info.key for info in await everything(blobs)} - before
    assert client.delete(f"/files/{file_id}").status_code == 200
    assert_openai_error(client.get(f"/files/{file_id}/content"), 404, None, param="id")
    collected = served.run("gc", "--json", FILEPLANE_BLOB_STORE=str(served.settings["FILEPLANE_BLOB_STORE"]), **credentials(served))
    assert collected.returncode == 0, collected.stderr
    assert key not in {info.key for info in await everything(blobs)}


def credentials(served: RunningServer) -> dict[str, str]:
    return {name: value for name, value in served.settings.items() if name.startswith("AWS_")}


async def test_a_missing_object_is_an_integrity_error_and_found_by_the_check(
    client: httpx2.Client, served: RunningServer, blobs: ObjectBlobStore
):
    before = {info.key for info in await everything(blobs)}
    file_id = upload(client, b"soon lost")["id"]
    (key,) = {info.key for info in await everything(blobs)} - before
    await blobs.delete(key)
    assert_openai_error(client.get(f"/files/{file_id}/content"), 500, "storage_integrity_error", type="server_error", definitive=True)
    checked = served.run("check", "--json", FILEPLANE_BLOB_STORE=str(served.settings["FILEPLANE_BLOB_STORE"]), **credentials(served))
    assert checked.returncode == 8, checked.stderr
    assert str(file_id) in checked.stdout
    assert client.delete(f"/files/{file_id}", params={"purge": "true"}).status_code == 200


@pytest.mark.full
async def test_a_server_that_starts_leaves_the_uploads_of_another_alone(seaweed: ObjectServer, open_store: OpenStore, tmp_path: Path):
    place = located(seaweed)
    async with open_store(seaweed, location=place) as store, store.writer(new_blob_key()) as writer:
        for _ in range(17):
            await writer.write(bytes(MIB))
        with running_server(tmp_path / "data", variables=seaweed.environment, blob_store=place):
            pass
        assert (await writer.commit()).size == 17 * MIB


@pytest.mark.full
async def test_a_new_database_is_not_put_beside_the_blobs_of_another_whose_janitor_would_remove_them(
    seaweed: ObjectServer, open_store: OpenStore, tmp_path: Path
):
    place = located(seaweed)
    async with open_store(seaweed, location=place) as store:
        blob = await put(store, b"of another database")
        result = run_fileplane("serve", "--data-dir", str(tmp_path / "new"), FILEPLANE_BLOB_STORE=str(place), **seaweed.environment)
        assert result.returncode == 1
        assert "belong to another" in result.stderr
        assert await read(store, blob.key) == b"of another database"


@pytest.mark.full
def test_a_backup_is_made_from_the_object_store_and_restored_into_a_data_directory_alone(
    served: RunningServer, client: httpx2.Client, tmp_path: Path
):
    store = {"FILEPLANE_BLOB_STORE": str(served.settings["FILEPLANE_BLOB_STORE"]), **credentials(served)}
    file_id = upload(client, BODY)["id"]
    made = served.run("backup", str(tmp_path / "backup"), **store)
    assert made.returncode == 0, made.stderr
    refused = run_fileplane("restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "new"), **store)
    assert refused.returncode == 1
    assert "blob_store" in refused.stderr
    restored = run_fileplane("restore", str(tmp_path / "backup"), "--data-dir", str(tmp_path / "new"))
    assert restored.returncode == 0, restored.stderr
    with running_server(tmp_path / "new", key=served.api_key) as local, local.client() as reader:
        assert reader.get(f"/files/{file_id}/content").content == BODY
    assert client.delete(f"/files/{file_id}", params={"purge": "true"}).status_code == 200


def test_no_credential_is_shown_anywhere(served: RunningServer, client: httpx2.Client):
    upload(client, b"x")
    secret = served.settings["AWS_SECRET_ACCESS_KEY"]
    with served.client() as anyone:
        told = anyone.get(f"{served.url}/metrics").text
    shown = served.run("settings", FILEPLANE_BLOB_STORE=str(served.settings["FILEPLANE_BLOB_STORE"]), **credentials(served))
    assert secret not in served.log + served.output + told + shown.stdout + shown.stderr


@pytest.mark.full
def test_a_store_that_goes_away_is_a_503_that_says_so_and_comes_back(own_directory: Path, tmp_path: Path):
    with (
        seaweedfs(own_directory) as store,
        running_server(tmp_path / "data", variables=store.environment, blob_store=store.location, storage_deadline_seconds=3) as server,
        server.client() as client,
    ):
        file_id = upload(client, b"kept")["id"]
        store.kill()
        assert_openai_error(client.get(f"/files/{file_id}/content"), 503, "storage_unavailable", type="server_error")
        assert_openai_error(
            client.post("/files", data={"purpose": "user_data"}, files={"file": ("a", b"lost")}),
            503,
            "storage_unavailable",
            type="server_error",
        )
        store.start()
        eventually(lambda: client.get(f"/files/{file_id}/content").content == b"kept", "the file is there again", seconds=30)
        # SeaweedFS reads again at once, and on a busy machine takes some fifteen seconds longer to write.
        form = {"data": {"purpose": "user_data"}, "files": {"file": ("data.bin", b"new")}}
        eventually(lambda: client.post("/files", **form).status_code == 200, "files are taken again", seconds=60)
