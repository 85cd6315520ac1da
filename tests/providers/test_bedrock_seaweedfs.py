"""The adapter for AWS Bedrock keeps its promises at a real store that speaks S3, where AWS's own library reads what it wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pytest
from botocore.config import Config

from fileplane.errors import ProviderRefused
from fileplane.providers.base import RemoteQuery, Target
from fileplane.providers.bedrock import Bedrock
from fileplane.providers.egress import Egress
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.object_ids import parse_object_id
from fileplane.providers.outbound_headers import checked_headers
from fileplane.secrets.values import Secret
from fileplane.settings import Settings
from fileplane.testing.fake_provider import FakeProvider, RecordedRequest
from fileplane.testing.fake_provider.flavours import FLAVOURS
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_world import LOOPBACK, World, pattern
from support.object_servers import ACCESS_KEY, BUCKET, SECRET_KEY, ObjectServer, seaweedfs

FIELDS = {"aws_region": "us-east-1", "aws_s3_bucket": BUCKET, "file_purpose": "upload"}


class Sent:
    """A request as the suite looks at it, taken from what the adapter asked the egress for."""

    def __init__(self, request: EgressRequest) -> None:
        parts = urlsplit(request.url)
        self._body = request.body
        self.method, self.path, self.query = request.method, unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)
        self.pairs = list(checked_headers(request.headers, request.secret_headers).items())
        self.headers = {name.lower(): value for name, value in self.pairs}
        if request.body is not None and request.body.length is not None:
            self.headers["content-length"] = str(request.body.length)

    @property
    def body_complete(self) -> bool:
        return self._body is None or self._body.complete


class RecordingEgress(Egress):
    """The real one, which keeps what it was asked for."""

    requests: list[Sent]

    async def answer(self, request: EgressRequest, ends_at: float) -> Any:
        self.requests.append(Sent(request))
        return await super().answer(request, ends_at)


@dataclass
class Store:
    """What the suite knows of the fake, said of the real store."""

    client: Any
    requests: list[Sent] = field(default_factory=list)
    flavour = FLAVOURS["bedrock"]
    ahead_seconds = 0

    @property
    def accounts(self) -> Store:
        return self

    def reset(self) -> None:
        self.requests.clear()

    def of(self, _credential: str) -> Any:
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix="fileplane/").get("Contents", [])
        return SimpleNamespace(files={entry["Key"]: self._file(entry["Key"]) for entry in sorted(listed, key=lambda entry: entry["Key"])})

    def _file(self, key: str) -> Any:
        found = self.client.get_object(Bucket=BUCKET, Key=key)
        content = found["Body"].read()
        return SimpleNamespace(filename=unquote(found["Metadata"]["filename"]), path=SimpleNamespace(read_bytes=lambda: content))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    with seaweedfs(tmp_path_factory.mktemp("bedrock") / "weed") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ObjectServer) -> Iterator[Any]:
    made = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=server.endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
    yield made
    made.close()


@pytest.fixture
async def world(server: ObjectServer, client: Any) -> AsyncIterator[World]:
    for entry in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=entry["Key"])
    store = Store(client)
    egress = RecordingEgress(Settings(egress_allow=LOOPBACK))
    egress.requests = store.requests
    secrets = {"aws_access_key_id": Secret(ACCESS_KEY), "aws_secret_access_key": Secret(SECRET_KEY)}
    target = Target("bedrock", secrets, FIELDS, custom_host=server.endpoint)
    try:
        yield World(cast("FakeProvider", store), Bedrock(egress), target, egress)
    finally:
        await egress.close()


class TestBedrockAtSeaweedFS(ProviderSuite):
    flavour = "bedrock"
    fields: ClassVar[Mapping[str, str]] = FIELDS
    in_forms = False
    streams = False

    @pytest.fixture
    async def world(self, world: World) -> World:
        return world

    def requests_with_the_file(self, world: World) -> list[RecordedRequest]:
        return [request for request in world.fake.requests if request.method == "PUT"]

    def is_call_on_files(self, world: World, request: RecordedRequest, file_id: str) -> bool:  # noqa: ARG002 - the suite's
        return request.path.startswith(f"/{BUCKET}/")

    def is_authorised(self, world: World, request: RecordedRequest) -> bool:  # noqa: ARG002 - the suite's
        return request.headers["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/")


async def test_aws_s_own_library_reads_what_was_written_in_parts_and_no_upload_is_left(world: World, client: Any) -> None:
    body = pattern((17 << 20) + 5)
    file = await world.upload(body, filename="naïve 文件.jsonl", announced=False)
    place = parse_object_id(file.id)
    assert place is not None
    found = client.get_object(Bucket=place.bucket, Key=place.key)
    assert found["Body"].read() == body
    assert found["Metadata"] == {"purpose": "batch", "filename": "na%C3%AFve%20%E6%96%87%E4%BB%B6.jsonl"}
    assert found["ContentType"] == "application/octet-stream"

    class ClientLeft(Exception):
        pass

    async def source() -> AsyncIterator[bytes]:
        yield pattern(20 << 20)
        raise ClientLeft

    with pytest.raises(ClientLeft):
        await world.upload(source=source(), length=None)
    assert client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    assert len(client.list_objects_v2(Bucket=BUCKET)["Contents"]) == 1


async def test_what_aws_s_own_library_wrote_is_read_by_its_uri(world: World, client: Any) -> None:
    client.put_object(Bucket=BUCKET, Key="results/job 1/file+ü.jsonl.out", Body=b'{"recordId": "one"}\n')
    uri = f"s3://{BUCKET}/results/job 1/file+ü.jsonl.out"
    file = await world.provider.get(world.target, uri)
    assert (file.bytes, file.purpose, file.filename) == (20, "batch_output", "file+ü.jsonl.out")
    assert await world.download(file.id) == b'{"recordId": "one"}\n'
    assert (await world.provider.list(world.target, RemoteQuery())).files == ()


async def test_a_key_that_no_xml_can_have_hides_no_other_and_special_characters_stay_as_they_are(world: World, client: Any) -> None:
    made = (await world.upload(b"x")).id
    place = parse_object_id(made)
    assert place is not None
    folder = place.key.rpartition("/")[0]
    for name in ("a b+c & ü <文>!'()*~=.jsonl", "bell\x07\x01.jsonl"):
        client.put_object(Bucket=BUCKET, Key=f"{folder}/{name}", Body=b"{}\n")
    for newest_first in (True, False):
        page = await world.provider.list(world.target, RemoteQuery(newest_first=newest_first))
        places = [parse_object_id(file.id) for file in page.files]
        assert {place.key for place in places if place is not None} == {place.key, f"{folder}/a b+c & ü <文>!'()*~=.jsonl"}


async def test_a_wrong_secret_is_refused_in_the_store_s_words(world: World) -> None:
    wrong = replace(world.target, secrets={**world.target.secrets, "aws_secret_access_key": Secret("not-the-secret")})
    with pytest.raises(ProviderRefused) as caught:
        await replace(world, target=wrong).upload()
    assert (caught.value.status, caught.value.code) == (403, "SignatureDoesNotMatch")
