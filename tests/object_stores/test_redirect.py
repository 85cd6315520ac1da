"""`content_delivery=redirect`: a signed URL of the store in place of the bytes, under the file's own name and type."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import httpx2
import openai
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from fileplane.blobs.base import ShownAs
from fileplane.ids import new_blob_key
from fileplane.setting_sources import load_settings
from fileplane.settings import SettingsError
from fileplane.testing.blob_store_suite import put
from support.expect import assert_file, assert_openai_error
from support.object_servers import ObjectServer
from support.object_stores import OpenStore, located
from support.part_uploads import assembled, settled
from support.polling import eventually
from support.server import RunningServer, run_fileplane, running_server

NAME = 'naïve "quoted" 文.csv'
BODY = b"a,b\n1,2\n" * 1_000
SHOWN = ShownAs("text/csv", f"attachment; filename=\"x.csv\"; filename*=UTF-8''{'%E6%96%87'}.csv")


@pytest.fixture(scope="module")
def served(seaweed: ObjectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    data_dir: Path = tmp_path_factory.mktemp("redirecting") / "data"
    options = {"blob_store": located(seaweed), "content_delivery": "redirect", "redirect_seconds": 60}
    with running_server(data_dir, variables=seaweed.environment, **options) as server:
        yield server


@pytest.fixture
def client(served: RunningServer) -> Iterator[httpx2.Client]:
    with served.client() as client:
        yield client


@pytest.fixture
def content(client: httpx2.Client) -> str:
    files = {"file": (NAME, BODY, "text/csv")}
    return f"/files/{assert_file(client.post('/files', data={'purpose': 'user_data'}, files=files))['id']}/content"


def test_content_is_a_redirect_to_the_bytes_under_their_own_name_and_type(client: httpx2.Client, content: str):
    answer = client.get(content)
    assert answer.status_code == 302
    assert answer.content == b""
    assert answer.headers["cache-control"] == "private, no-store"
    there = httpx2.get(answer.headers["location"], trust_env=False)
    assert (there.status_code, there.content) == (200, BODY)
    assert there.headers["content-type"] == "text/csv"
    assert unquote(there.headers["content-disposition"].partition("filename*=UTF-8''")[2]) == NAME
    assert there.headers["content-disposition"].startswith("attachment;")


def test_a_client_that_follows_needs_to_know_nothing_and_takes_its_key_with_it_nowhere(client: httpx2.Client, content: str):
    followed = client.get(content, follow_redirects=True)
    assert followed.content == BODY
    assert "authorization" not in followed.request.headers


def test_a_key_that_a_client_would_take_along_is_not_sent_to_the_store(served: RunningServer, content: str):
    with httpx2.Client(base_url=served.base_url, headers={"x-portkey-api-key": served.api_key}, trust_env=False) as client:
        answer = client.get(content)
        assert (answer.status_code, answer.content) == (200, BODY)


def test_the_official_sdk_follows_to_the_bytes(served: RunningServer, content: str):
    with openai.OpenAI(api_key=served.api_key, base_url=served.base_url, max_retries=0) as sdk:
        assert sdk.files.content(content.split("/")[2]).content == BODY


def test_a_range_is_repeated_by_the_client_and_answered_by_the_store(client: httpx2.Client, content: str):
    answer = client.get(content, headers={"Range": "bytes=4-7"}, follow_redirects=True)
    assert (answer.status_code, answer.content) == (206, BODY[4:8])
    assert answer.headers["content-range"] == f"bytes 4-7/{len(BODY)}"
    assert_openai_error(client.get(content, headers={"Range": f"bytes={len(BODY)}-"}), 416, "invalid_range", param="range")


def test_what_a_store_cannot_answer_as_this_server_does_is_answered_here(client: httpx2.Client, content: str):
    etag = f'"{hashlib.sha256(BODY).hexdigest()}"'
    head = client.head(content)
    assert (head.status_code, head.headers["etag"], head.headers["content-length"]) == (200, etag, str(len(BODY)))
    resumed = client.get(content, headers={"Range": "bytes=4-7", "If-Range": etag})
    assert (resumed.status_code, resumed.content) == (206, BODY[4:8])
    assert client.get(content, headers={"If-None-Match": etag}).status_code == 304


def test_a_file_of_parts_is_several_objects_and_is_sent_by_this_server(client: httpx2.Client):
    answer = client.get(f"/files/{assembled(client, b'a,b', b'1,2')['id']}/content")
    assert (answer.status_code, answer.content) == (200, b"a,b1,2")


def test_a_file_of_one_part_is_one_object_and_the_store_sends_it_under_the_files_own_name_and_type(client: httpx2.Client):
    file = assembled(client, BODY, filename=NAME, mime_type="text/csv")
    answer = client.get(f"/files/{file['id']}/content")
    assert answer.status_code == 302
    there = httpx2.get(answer.headers["location"], trust_env=False)
    assert (there.status_code, there.content, there.headers["content-type"]) == (200, BODY, "text/csv")
    assert unquote(there.headers["content-disposition"].partition("filename*=UTF-8''")[2]) == NAME
    settled(client, file["id"])
    assert client.get(f"/files/{file['id']}/content").headers["etag"] == f'"{hashlib.sha256(BODY).hexdigest()}"'


def test_who_may_not_read_a_file_is_given_no_link(served: RunningServer, client: httpx2.Client, content: str):
    with served.client(served.create_key(project="another")) as foreign:
        assert_openai_error(foreign.get(content), 404, None, param="id")
    assert client.delete(content.removesuffix("/content")).status_code == 200
    assert_openai_error(client.get(content), 404, None, param="id")


def test_a_link_is_for_one_object_and_only_to_read_it(client: httpx2.Client, content: str):
    link = client.get(content).headers["location"]
    path = urlsplit(link).path
    other = link.replace(path, path[:-1] + ("1" if path.endswith("0") else "0"))
    for method, url in (("GET", other), ("PUT", link), ("DELETE", link), ("GET", link.replace("csv", "html"))):
        assert httpx2.request(method, url, trust_env=False).status_code == 403, method


def test_no_link_is_written_to_the_log(served: RunningServer, client: httpx2.Client, content: str):
    link = client.get(content).headers["location"]
    (signature,) = parse_qs(urlsplit(link).query)["X-Amz-Signature"]
    assert signature not in served.log + served.output


@pytest.mark.parametrize("server", ["seaweed", pytest.param("azure", marks=pytest.mark.full)])
async def test_a_link_carries_name_and_type_and_ends(request: pytest.FixtureRequest, open_store: OpenStore, server: str):
    async with open_store(request.getfixturevalue(server)) as store:
        blob = await put(store, BODY)
        answer = httpx2.get(await store.link(blob.key, SHOWN, 60), trust_env=False)
        assert (answer.status_code, answer.content) == (200, BODY)
        assert (answer.headers["content-type"], answer.headers["content-disposition"]) == (SHOWN.media_type, SHOWN.disposition)
        part = httpx2.get(await store.link(blob.key, SHOWN, 60), headers={"Range": "bytes=0-2"}, trust_env=False)
        assert (part.status_code, part.content) == (206, BODY[:3])
        short = await store.link(blob.key, SHOWN, 1)
        eventually(lambda: httpx2.get(short, trust_env=False).status_code == 403, "the link ends", seconds=10)


@pytest.mark.full
async def test_a_link_can_name_the_address_at_which_clients_reach_the_store(
    seaweed: ObjectServer, azure: ObjectServer, open_store: OpenStore
):
    for server in (seaweed, azure):
        async with open_store(server, public_endpoint="https://files.example.com") as store:
            assert (await store.link(new_blob_key(), SHOWN, 60)).startswith("https://files.example.com/fileplane/")


@pytest.mark.full
async def test_a_link_to_google_is_signed_with_the_service_accounts_key(
    gcs: ObjectServer, open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    account = {"type": "service_account", "client_email": "files@example.iam", "token_uri": "https://example.com", "private_key": pem}
    file = tmp_path / "account.json"
    file.write_text(__import__("json").dumps(account | {"private_key_id": "1", "project_id": "p"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    location = located(gcs)
    options = {name: value for name, value in location.options.items() if name != "credentials"}
    location = type(location)(location.kind, location.bucket, location.prefix, options)
    blob_key = new_blob_key()
    async with open_store(gcs, location=location) as store:
        link = await store.link(blob_key, SHOWN, 60)
    unsigned, _, signature = link.partition("&X-Goog-Signature=")
    parts = urlsplit(unsigned)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (query["response-content-disposition"], query["response-content-type"]) == (SHOWN.disposition, SHOWN.media_type)
    canonical = f"GET\n{parts.path}\n{parts.query}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    scope = query["X-Goog-Credential"].removeprefix("files@example.iam/")
    text = f"GOOG4-RSA-SHA256\n{query['X-Goog-Date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key.public_key().verify(bytes.fromhex(signature), text.encode(), padding.PKCS1v15(), hashes.SHA256())
    assert parts.path == f"/fileplane/{location.prefix}/{blob_key}"


@pytest.mark.parametrize("more", [{}, {"FILEPLANE_BLOB_STORE": "s3://bucket", "FILEPLANE_VERIFY_READS": "true"}])
def test_a_redirect_without_somewhere_to_redirect_to_is_refused(more: dict[str, str]):
    with pytest.raises(SettingsError, match="content_delivery=redirect needs an object store"):
        load_settings(environment={"FILEPLANE_CONTENT_DELIVERY": "redirect"} | more)


@pytest.mark.full
def test_a_server_whose_credentials_cannot_sign_links_does_not_start(gcs: ObjectServer, tmp_path: Path):
    result = run_fileplane(
        "serve",
        *("--data-dir", str(tmp_path / "data")),
        FILEPLANE_BLOB_STORE=str(located(gcs)),
        FILEPLANE_CONTENT_DELIVERY="redirect",
    )
    assert result.returncode == 1
    assert "content_delivery=proxy" in result.stderr
