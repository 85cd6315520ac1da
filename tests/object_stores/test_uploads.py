"""Uploads in parts over a real object store: the file is read as one, in any range, and goes with all of its parts."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from support.object_servers import ObjectServer
from support.object_stores import located
from support.part_uploads import assembled, complete, created, sent, settled
from support.server import running_server

SEED = 11
SIZES = (5 << 20, 70_000, 1, 1 << 20)


@pytest.fixture(params=["seaweed", pytest.param("azure", marks=pytest.mark.full), pytest.param("gcs", marks=pytest.mark.full)])
def store(request: pytest.FixtureRequest) -> ObjectServer:
    found: ObjectServer = request.getfixturevalue(request.param)
    return found


def test_a_file_of_parts_in_an_object_store_is_exact_in_every_range_and_leaves_nothing_when_it_is_purged(
    store: ObjectServer, tmp_path: Path
) -> None:
    chosen = random.Random(SEED)
    pieces = [chosen.randbytes(size) for size in SIZES]
    whole = b"".join(pieces)
    options = {"blob_store": located(store), "variables": store.environment}
    with running_server(tmp_path / "data", **options) as server, server.client() as client:
        file = assembled(client, *pieces)
        path = f"/files/{file['id']}/content"
        assert client.get(path).content == whole
        for start in [0, SIZES[0] - 1, SIZES[0], SIZES[0] + SIZES[1], len(whole) - 1, *chosen.choices(range(len(whole)), k=10)]:
            end = min(len(whole), start + chosen.randrange(1, 2 << 20))
            part = client.get(path, headers={"range": f"bytes={start}-{end - 1}"})
            assert (part.status_code, part.content) == (206, whole[start:end]), (SEED, start, end)
        assert settled(client, file["id"])["status"] == "processed"
        assert client.head(path).headers["etag"] == f'"{hashlib.sha256(whole).hexdigest()}"'
        upload_id = created(client, len(whole))
        part_ids = [sent(client, upload_id, piece) for piece in pieces]
        verified = complete(client, upload_id, part_ids, md5=hashlib.md5(whole).hexdigest())
        assert verified.json()["file"]["status"] == "processed"
        checked = server.run("check", "--read-data", **store.environment)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        for file_id in (file["id"], verified.json()["file"]["id"]):
            assert client.delete(f"/files/{file_id}", params={"purge": "true"}).status_code == 200
        assert server.run("check", **store.environment).returncode == 0
