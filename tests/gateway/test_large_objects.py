"""A gibibyte of text in many scripts, through a real server to a real bucket and back: every byte, and no more memory than parts take."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

from support.limits import MIB, Peak
from support.object_servers import ACCESS_KEY, BUCKET, SECRET_KEY, ObjectServer, fake_gcs, seaweedfs
from support.server import RunningServer, running_server

pytestmark = pytest.mark.full

SIZE = 1024 * MIB
ALLOWED = 64 * MIB
LINE = '{"custom_id": "naïve-文件-🎉", "text": "ἀρχή, начало, 始まり, כתב"}\r\n'.encode()
# Of a length that has nothing in common with any part's or chunk's, so that characters are cut at every place there is.
PIECE = (LINE * 9_973)[:1_000_003]


@pytest.fixture(scope="module", params=["bedrock", "vertex-ai"])
def bucket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ObjectServer]]:
    serve = seaweedfs if request.param == "bedrock" else fake_gcs
    with serve(tmp_path_factory.mktemp("bucket") / "store") as server:
        yield request.param, server


CREDENTIALS = {
    "bedrock": {
        "aws_access_key_id": ACCESS_KEY,
        "aws_secret_access_key": SECRET_KEY,
        "aws_region": "us-east-1",
        "aws_s3_bucket": BUCKET,
    },
    "vertex-ai": {"key": "token", "vertex_project_id": "p", "vertex_region": "us-central1", "vertex_storage_bucket_name": BUCKET},
}


@pytest.fixture
def server(tmp_path: Path, bucket: tuple[str, ObjectServer]) -> Iterator[RunningServer]:
    provider, store = bucket
    with running_server(tmp_path / "data", egress_allow="127.0.0.1") as server:
        body = {"name": "large", "slug": "large", "provider": provider, "custom_host": store.endpoint, **CREDENTIALS[provider]}
        with server.client() as client:
            assert client.post("/virtual-keys", json=body).is_success
        yield server


class Text:
    """The file, piece by piece, and its hash once it has been read."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self._left = SIZE

    def read(self, _size: int = -1) -> bytes:
        piece = PIECE[: self._left]
        self._left -= len(piece)
        self.hash.update(piece)
        return piece


def form(text: Text) -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="large.jsonl"\r\n\r\n'
    while piece := text.read():
        yield piece
    yield b"\r\n--b--\r\n"


def test_a_gibibyte_of_text_in_many_scripts_arrives_bit_for_bit(server: RunningServer):
    text, received = Text(), hashlib.sha256()
    headers = {"x-portkey-virtual-key": "large", "x-portkey-file-purpose": "upload"}
    with server.client() as client:
        client.headers.update(headers)
        client.timeout = httpx2.Timeout(300)
        with Peak(server) as uploading:
            answer = client.post("/files", content=form(text), headers={"content-type": "multipart/form-data; boundary=b"})
        assert answer.status_code == 200, answer.text
        assert answer.json()["bytes"] == SIZE
        path = f"/files/{quote(answer.json()['id'], safe='')}"
        with Peak(server) as downloading, client.stream("GET", f"{path}/content") as content:
            assert content.status_code == 200
            for piece in content.iter_raw():
                received.update(piece)
        assert client.delete(path).is_success
    assert received.digest() == text.hash.digest()
    assert max(uploading.growth, downloading.growth) < ALLOWED
