"""Resumable uploads by tus 1.0, over the wire, against a real server."""

from __future__ import annotations

import base64
import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import httpx2
import pytest

from support.expect import assert_file_object, assert_openai_error
from support.part_uploads import complete, send_part, settled
from support.polling import eventually
from support.raw_http import Connection, head
from support.server import RunningServer, running_server
from support.tenants import NewTenant, Tenant
from support.tus import (
    BYTES,
    VERSION,
    create,
    created,
    described,
    file_id_of,
    look,
    metadata,
    offset_of,
    place_of,
    send,
    sent,
    terminate,
)

UNKNOWN = "/tus/upload_0123456789abcdef0123456789abcdef"
WHOLE = random.Random(5).randbytes(300_000)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Two workers, small parts."""
    with running_server(tmp_path_factory.mktemp("tus") / "data", workers=2, max_part_bytes=65_536) as server:
        yield server


def begin_patch(server: RunningServer, place: str, offset: int, length: int, data: bytes) -> Connection:
    """A PATCH that has sent only so much of what it has announced."""
    connection = Connection(server)
    announced = {"content-type": BYTES, "upload-offset": str(offset), "content-length": str(length), "tus-resumable": "1.0.0"}
    connection.send(head("PATCH", f"/v1{place}", server.api_key, **announced))
    connection.send(data)
    return connection


def test_a_file_comes_in_pieces_and_is_made_with_the_last_byte(api: httpx2.Client) -> None:
    answer = create(api, 9, filename="ä.txt", filetype="text/plain", relativePath="x")
    assert (answer.status_code, answer.content, answer.headers["tus-resumable"]) == (201, b"", "1.0.0")
    place = place_of(answer)
    looked = look(api, place)
    assert (looked.headers["upload-offset"], looked.headers["upload-length"], looked.headers["cache-control"]) == ("0", "9", "no-store")
    assert looked.headers["upload-metadata"] == metadata(filename="ä.txt", purpose="user_data", filetype="text/plain", relativePath="x")
    assert "x-fileplane-file-id" not in sent(api, place, 0, b"The ").headers
    assert offset_of(api, place) == 4
    file_id = file_id_of(sent(api, place, 4, b"world"))
    assert_file_object(api.get(f"/files/{file_id}").json(), bytes=9, filename="ä.txt", purpose="user_data")
    content = api.get(f"/files/{file_id}/content")
    assert (content.content, content.headers["content-type"]) == (b"The world", "text/plain")
    assert settled(api, file_id)["status"] == "processed"
    looked = look(api, place)
    assert (looked.headers["upload-offset"], file_id_of(looked)) == ("9", file_id)
    assert "upload-expires" not in looked.headers
    records = api.get("/audit-logs", params={"method": "PATCH", "resource_id": file_id}).json()["records"]
    assert [record["action"] for record in records] == ["create"]
    shown = api.get(place.replace("tus", "uploads")).json()
    assert (shown["status"], shown["file"]["id"], [part["bytes"] for part in shown["parts"]]) == ("completed", file_id, [4, 5])


@pytest.mark.parametrize("first", [b"The ", b"The world"])
def test_a_creation_may_bring_the_first_bytes_or_all(api: httpx2.Client, first: bytes) -> None:
    answer = create(api, 9, first)
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, str(len(first)))
    if len(first) < 9:
        answer = sent(api, place_of(answer), 4, b"world")
    assert api.get(f"/files/{file_id_of(answer)}/content").content == b"The world"


def test_an_upload_of_no_bytes_is_a_file_at_once(api: httpx2.Client) -> None:
    answer = create(api, 0)
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "0")
    file_id = file_id_of(answer)
    assert settled(api, file_id)["bytes"] == 0
    content = api.get(f"/files/{file_id}/content")
    assert (content.content, content.headers["etag"]) == (b"", f'"{hashlib.sha256().hexdigest()}"')
    assert api.delete(f"/files/{file_id}").status_code == 200


def test_a_length_that_is_deferred_comes_with_any_later_request(api: httpx2.Client) -> None:
    place = created(api, None)
    assert look(api, place).headers["upload-defer-length"] == "1"
    assert "upload-length" not in look(api, place).headers
    sent(api, place, 0, b"abc")
    assert_openai_error(send(api, place, 3, b"", upload_length="2"), 400, "invalid_value", param="upload-length")
    sent(api, place, 3, b"d", upload_length="6")
    assert look(api, place).headers["upload-length"] == "6"
    assert "upload-defer-length" not in look(api, place).headers
    assert_openai_error(send(api, place, 4, b"ef", upload_length="7"), 400, "invalid_value", param="upload-length")
    assert api.get(f"/files/{file_id_of(sent(api, place, 4, b'ef'))}/content").content == b"abcdef"
    late = created(api, None)
    sent(api, late, 0, b"abc")
    assert api.get(f"/files/{file_id_of(sent(api, late, 3, b'', upload_length='3'))}/content").content == b"abc"


def test_the_server_says_what_it_can_do_to_anybody(server: RunningServer) -> None:
    for path in ("/v1/tus", "/v1/tus/", f"/v1{UNKNOWN}"):
        answer = httpx2.options(f"{server.url}{path}", headers={"tus-resumable": "0.1"}, trust_env=False)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["tus-version"] == "1.0.0"
        assert answer.headers["tus-max-size"] == str(8 << 30)
        assert answer.headers["tus-checksum-algorithm"].split(",")[0] == "sha1"
        extensions = answer.headers["tus-extension"].split(",")
        assert set(extensions) == {
            *("creation", "creation-defer-length", "creation-with-upload", "expiration", "checksum", "termination"),
        }


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.0, 1.0.0"])
def test_another_version_of_the_protocol_is_refused_and_nothing_is_done(api: httpx2.Client, version: str | None) -> None:
    place = created(api, 3)
    own = {} if version is None else {"tus-resumable": version}
    without = {name: value for name, value in described(3).items() if name != "tus-resumable"}
    answers = [
        api.post("/tus", headers=without | own),
        api.patch(place, headers={"content-type": BYTES, "upload-offset": "0", **own}, content=b"abc"),
        api.head(place, headers=own),
        api.delete(place, headers=own),
    ]
    for answer in answers:
        assert (answer.status_code, answer.headers["tus-version"], answer.headers["tus-resumable"]) == (412, "1.0.0", "1.0.0")
    assert_openai_error(answers[0], 412, "unsupported_protocol_version", param="tus-resumable")
    assert offset_of(api, place) == 0
    assert len(api.get("/uploads").json()["data"]) == 1


def test_a_wrong_offset_changes_nothing_and_is_told_the_right_one(api: httpx2.Client) -> None:
    place = created(api, 6)
    sent(api, place, 0, b"abc")
    for wrong in (0, 2, 4, 6, 10**17):
        answer = send(api, place, wrong, b"")
        assert_openai_error(answer, 409, "upload_offset_mismatch", param="upload-offset", definitive=True)
        assert answer.headers["upload-offset"] == "3"
    final = sent(api, place, 3, b"def")
    assert_openai_error(send(api, place, 3, b"def"), 409, "upload_offset_mismatch", param="upload-offset", definitive=True)
    # The last request again, by a client that did not get its answer.
    assert file_id_of(send(api, place, 6, b"")) == file_id_of(final)


@pytest.mark.parametrize(
    ("headers", "status", "code", "param"),
    [
        ({"upload-offset": "-1"}, 400, "invalid_value", "upload-offset"),
        ({"upload-offset": "x"}, 400, "invalid_value", "upload-offset"),
        ({"upload-offset": ""}, 400, "invalid_value", "upload-offset"),
        ({"upload-offset": "9" * 30}, 400, "invalid_value", "upload-offset"),
        ({"content-type": "application/octet-stream"}, 415, "unsupported_media_type", "content-type"),
        ({"content-type": ""}, 415, "unsupported_media_type", "content-type"),
        ({"content-encoding": "gzip"}, 415, "unsupported_media_type", "content-encoding"),
        ({"upload-checksum": "crc32 AAAA"}, 400, "invalid_value", "upload-checksum"),
        ({"upload-checksum": "sha1 AAAA"}, 400, "invalid_value", "upload-checksum"),
        ({"upload-checksum": "sha1"}, 400, "invalid_value", "upload-checksum"),
    ],
)
def test_what_is_wrong_with_an_append_is_named(api: httpx2.Client, headers: dict[str, str], status: int, code: str, param: str) -> None:
    place = created(api, 3)
    right = {**VERSION, "content-type": BYTES, "upload-offset": "0"}
    answer = api.patch(place, headers=right | headers, content=b"abc")
    assert_openai_error(answer, status, code, param=param)
    del right["upload-offset"]
    assert_openai_error(api.patch(place, headers=right, content=b"abc"), 400, "missing_required_parameter", param="upload-offset")
    assert offset_of(api, place) == 0


@pytest.mark.parametrize(
    ("headers", "status", "code", "param"),
    [
        ({"upload-length": "x"}, 400, "invalid_value", "upload-length"),
        ({"upload-length": "-1"}, 400, "invalid_value", "upload-length"),
        ({"upload-length": str(8 * 2**30 + 1)}, 413, "file_too_large", "upload-length"),
        ({"upload-length": str(10**17)}, 413, "file_too_large", "upload-length"),
        ({"upload-defer-length": "1"}, 400, "invalid_value", "upload-defer-length"),
        ({"upload-defer-length": "0"}, 400, "invalid_value", "upload-defer-length"),
        ({"upload-concat": "partial"}, 400, "invalid_value", "upload-concat"),
        ({"upload-metadata": ""}, 400, "missing_required_parameter", "filename"),
        ({"upload-metadata": metadata(filename="a")}, 400, "missing_required_parameter", "purpose"),
        ({"upload-metadata": metadata(filename="a", purpose="nonsense")}, 400, "invalid_value", "purpose"),
        ({"upload-metadata": metadata(filename="a\n", purpose="user_data")}, 400, "invalid_value", "filename"),
        ({"upload-metadata": metadata(name="", purpose="user_data")}, 400, "invalid_value", "filename"),
        ({"upload-metadata": "filename /w==,purpose dXNlcl9kYXRh"}, 400, "invalid_value", "filename"),
        ({"upload-metadata": "filename !!,purpose dXNlcl9kYXRh"}, 400, "invalid_value", "upload-metadata"),
        ({"upload-metadata": "a YQ==,a YQ=="}, 400, "invalid_value", "upload-metadata"),
        ({"upload-metadata": ",,"}, 400, "invalid_value", "upload-metadata"),
        ({"upload-metadata": "a " + "YQ==" * 2_000}, 400, "invalid_value", "upload-metadata"),
        (
            {"upload-metadata": metadata(filename="a", purpose="user_data", expires_after="60")},
            *(400, "integer_below_min_value", "expires_after[seconds]"),
        ),
        (
            {"upload-metadata": metadata(filename="a", purpose="user_data", expires_after="soon")},
            *(400, "invalid_value", "expires_after[seconds]"),
        ),
    ],
)
def test_what_is_wrong_with_a_creation_is_named_and_nothing_is_made(
    api: httpx2.Client, headers: dict[str, str], status: int, code: str, param: str
) -> None:
    assert_openai_error(api.post("/tus", headers=described(3) | headers), status, code, param=param)
    assert api.get("/uploads").json()["data"] == []


def test_names_of_other_clients_are_understood_and_an_expiry_begins_with_the_file(api: httpx2.Client) -> None:
    pairs = metadata(name="a.csv", type="text/csv", purpose="user_data", expires_after="7200") + ",empty ,flag"
    answer = api.post("/tus", headers={**VERSION, "upload-length": "1", "upload-metadata": pairs})
    assert answer.status_code == 201
    assert look(api, place_of(answer)).headers["upload-metadata"] == pairs
    file = api.get(f"/files/{file_id_of(sent(api, place_of(answer), 0, b'x'))}").json()
    assert (file["filename"], file["expires_at"] - file["created_at"]) == ("a.csv", 7_200)


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5"])
def test_a_body_with_a_checksum_is_taken_whole_or_not_at_all(api: httpx2.Client, algorithm: str) -> None:
    place = created(api, 6)
    right, wrong = (f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}" for data in (b"abc", b"other"))
    refused = send(api, place, 0, b"abc", upload_checksum=wrong)
    assert_openai_error(refused, 460, "checksum_mismatch", param="upload-checksum")
    assert offset_of(api, place) == 0
    sent(api, place, 0, b"abc", upload_checksum=right)
    assert_openai_error(send(api, place, 3, b"", upload_checksum=right), 460, "checksum_mismatch", param="upload-checksum")
    assert api.get(f"/files/{file_id_of(sent(api, place, 3, b'abc', upload_checksum=right))}/content").content == b"abcabc"


def test_a_body_beyond_the_length_is_refused_however_it_is_sent(api: httpx2.Client) -> None:
    place = created(api, 3)
    assert_openai_error(send(api, place, 0, b"abcd"), 413, "file_too_large", param="upload-length")
    assert_openai_error(send(api, place, 0, iter([b"ab", b"cd"])), 413, "file_too_large", param="upload-length")
    assert offset_of(api, place) == 0
    assert file_id_of(send(api, place, 0, iter([b"ab", b"c"])))
    for beyond in (b"d", iter([b"d"])):
        assert_openai_error(send(api, place, 3, beyond), 413, "file_too_large", param="upload-length")
    assert send(api, place, 3, iter(())).status_code == 204


def test_a_body_that_goes_on_behind_a_full_part_and_the_length_is_refused(two_workers: RunningServer) -> None:
    with two_workers.client() as client:
        place = created(client, 65_536)
        assert_openai_error(send(client, place, 0, iter([b"x" * 65_536, b"y"])), 413, "file_too_large", param="upload-length")
        assert offset_of(client, place) == 0
        assert file_id_of(send(client, place, 0, iter([b"x" * 65_536])))


@pytest.mark.parametrize("method", ["PATCH", "HEAD", "DELETE"])
def test_a_method_that_a_client_cannot_say_is_named_in_a_header(api: httpx2.Client, method: str) -> None:
    place = created(api, 3)
    headers = {**VERSION, "x-http-method-override": method, "content-type": BYTES, "upload-offset": "0"}
    with httpx2.Client(base_url=api.base_url, headers=api.headers, trust_env=False) as plain:
        answer = plain.post(place, headers=headers, content=b"abc" if method == "PATCH" else b"")
        assert answer.status_code == {"PATCH": 204, "HEAD": 200, "DELETE": 204}[method]
        assert_openai_error(plain.post(place, headers=headers | {"x-http-method-override": "GET"}), 405, "method_not_allowed")
    if method == "DELETE":
        assert look(api, place).status_code == 410
    else:
        assert offset_of(api, place) == (3 if method == "PATCH" else 0)


def test_what_is_terminated_is_gone_and_frees_its_room_at_once(tight: Tenant) -> None:
    api = tight.client
    place = created(api, 190_000)
    sent(api, place, 0, b"x" * 150_000)
    assert_openai_error(create(api, 190_000), 400, "storage_quota_exceeded", param="file")
    assert terminate(api, place).status_code == 204
    for answer in (look(api, place), terminate(api, place), send(api, place, 150_000, b"x")):
        assert (answer.status_code, answer.headers["tus-resumable"]) == (410, "1.0.0")
    assert api.get(place.replace("tus", "uploads")).json()["status"] == "cancelled"
    assert created(api, 190_000)


def test_terminating_a_complete_upload_deletes_its_file_for_whoever_may(tenant: Tenant, new_tenant: NewTenant) -> None:
    api = tenant.client
    answer = create(api, 3, b"abc")
    place, file_id = place_of(answer), file_id_of(answer)
    writer = new_tenant(project_id=tenant.key.project_id, scopes=frozenset({"files.write"})).client
    assert_openai_error(terminate(writer, place), 403, "missing_scope", type="permission_error")
    hold = api.post(f"/files/{file_id}/holds", json={"reason": "test"}).json()["id"]
    assert_openai_error(terminate(api, place), 409, "file_in_use", param="id", definitive=True)
    api.delete(f"/files/{file_id}/holds/{hold}")
    assert terminate(api, place).status_code == 204
    assert api.get(f"/files/{file_id}").status_code == 404
    assert_openai_error(send(api, place, 3, b""), 410, "upload_gone", param="id")
    assert api.post(f"/files/{file_id}/restore").status_code == 200
    assert file_id_of(look(api, place)) == file_id


def test_another_projects_upload_does_not_exist_and_neither_does_one_in_parts(tenant: Tenant, new_tenant: NewTenant) -> None:
    place, other = created(tenant.client, 3), new_tenant().client
    in_parts = tenant.client.post("/uploads", json={"filename": "a", "purpose": "user_data", "bytes": 3, "mime_type": "text/plain"}).json()[
        "id"
    ]
    calls: list[Callable[[httpx2.Client, str], httpx2.Response]] = [look, terminate, lambda client, path: send(client, path, 0, b"abc")]
    for call in calls:
        for client, path in ((other, place), (tenant.client, UNKNOWN), (tenant.client, "/tus/x"), (tenant.client, f"/tus/{in_parts}")):
            answer = call(client, path)
            assert (answer.status_code, answer.headers["tus-resumable"]) == (404, "1.0.0")
    assert_openai_error(send(other, place, 0, b"abc"), 404, None, param="id")
    assert offset_of(tenant.client, place) == 0


def test_parts_by_other_means_and_completions_are_refused(api: httpx2.Client) -> None:
    place = created(api, 6)
    sent(api, place, 0, b"abc")
    upload_id = place.removeprefix("/tus/")
    assert_openai_error(send_part(api, upload_id, b"def"), 400, "upload_resumable", param="id")
    [part] = api.get(f"/uploads/{upload_id}").json()["parts"]
    assert_openai_error(complete(api, upload_id, [part["id"]]), 400, "upload_resumable", param="id")
    assert api.post(f"/uploads/{upload_id}/cancel").json()["status"] == "cancelled"
    assert look(api, place).status_code == 410


def test_every_request_puts_the_expiry_off(api: httpx2.Client) -> None:
    answer = create(api, 3)
    shown = api.get(place_of(answer).replace("tus", "uploads")).json()
    assert parsedate_to_datetime(answer.headers["upload-expires"]).timestamp() == shown["expires_at"]
    assert shown["expires_at"] - shown["created_at"] == 86_400
    later = sent(api, place_of(answer), 0, b"a").headers["upload-expires"]
    assert parsedate_to_datetime(later) >= parsedate_to_datetime(answer.headers["upload-expires"])


def test_the_quota_ends_an_upload_and_keeps_what_came_before(tight: Tenant) -> None:
    api = tight.client
    place = created(api, 150_000)
    sent(api, place, 0, b"x" * 100_000)
    assert create(api, 180_000, b"y" * 180_000).status_code == 201
    assert_openai_error(send(api, place, 100_000, b"x" * 50_000), 400, "storage_quota_exceeded", param="file")
    assert offset_of(api, place) == 100_000
    assert_openai_error(create(api, None, b"x" * 90_000), 400, "storage_quota_exceeded", param="file")
    pending = [upload for upload in api.get("/uploads").json()["data"] if upload["status"] == "pending"]
    assert [upload["bytes"] for upload in pending] == [150_000]


def test_an_upload_without_a_length_ends_at_the_limit_of_its_purpose(tight: Tenant) -> None:
    place = created(tight.client, None)
    sent(tight.client, place, 0, b"x" * 100_000)
    refused = send(tight.client, place, 100_000, iter([b"x" * 60_000, b"x" * 60_000]))
    assert_openai_error(refused, 413, "file_too_large", param="upload-length")
    assert_openai_error(send(tight.client, place, 100_000, b"", upload_length="200001"), 413, "file_too_large", param="upload-length")
    assert offset_of(tight.client, place) == 100_000


def test_where_headers_lead_to_a_provider_there_is_no_tus(api: httpx2.Client) -> None:
    headers = {"x-portkey-provider": "openai", "x-portkey-api-key": api.headers["authorization"].removeprefix("Bearer ")}
    answer = api.post("/tus", headers=described(3) | headers | {"authorization": "Bearer sk-own"})
    assert_openai_error(answer, 501, "unsupported_provider_operation", param="x-portkey-provider", definitive=True)
    place = created(api, 3)
    native = {**VERSION, "x-portkey-provider": "fileplane"}
    assert api.head(place, headers=native).status_code == 200


@pytest.mark.parametrize("leaving", ["fin", "half-close", "reset"])
def test_what_came_before_a_connection_broke_is_kept(two_workers: RunningServer, leaving: str) -> None:
    def kept() -> int:
        return sum(part["bytes"] for part in client.get(place.replace("tus", "uploads")).json()["parts"])

    with two_workers.client() as client:
        place = created(client, len(WHOLE))
        with begin_patch(two_workers, place, 0, len(WHOLE), WHOLE[:200_000]) as connection:
            # Full parts are durable by now; of the rest nobody knows yet, and what is reset may not be read any more.
            eventually(lambda: kept() >= 131_072, "parts are durable", seconds=30)
            connection.leave(leaving)
            if leaving != "reset":
                eventually(lambda: kept() == 200_000, "everything that was sent is kept", seconds=30)
            offset = offset_of(client, place)
        file_id = file_id_of(sent(client, place, offset, WHOLE[offset:]))
        assert client.get(f"/files/{file_id}/content").content == WHOLE


def test_a_connection_that_only_seems_to_be_there_is_ended_by_whoever_asks_for_the_offset(two_workers: RunningServer) -> None:
    """Whichever of the two workers is asked. The old request is told, too."""
    with two_workers.client() as client:
        for _ in range(2):
            place = created(client, len(WHOLE))
            with begin_patch(two_workers, place, 0, len(WHOLE), WHOLE[:100_000]) as connection:
                eventually(lambda where=place: client.get(where.replace("tus", "uploads")).json()["parts"], "it is under way", seconds=30)
                assert_openai_error(send(client, place, 0, WHOLE), 423, "upload_locked", param="id")
                # A connection of its own for each, so that either worker may get it.
                with two_workers.client() as again:
                    offset = offset_of(again, place)
                    assert 65_536 <= offset <= 100_000
                    assert_openai_error(connection.answer(), 423, "upload_locked", param="id")
                    file_id = file_id_of(sent(again, place, offset, WHOLE[offset:]))
                    assert again.get(f"/files/{file_id}/content").content == WHOLE


def test_of_requests_that_append_at_once_exactly_one_wins(two_workers: RunningServer) -> None:
    def append(start: threading.Barrier, place: str) -> httpx2.Response:
        with two_workers.client() as client:
            start.wait(30)
            return send(client, place, 0, WHOLE)

    with two_workers.client() as client, ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            place, start = created(client, len(WHOLE)), threading.Barrier(8)
            answers = list(pool.map(append, [start] * 8, [place] * 8))
            statuses = sorted(answer.status_code for answer in answers)
            assert statuses[0] == 204, statuses
            assert set(statuses[1:]) <= {409, 423}, statuses
            [won] = [answer for answer in answers if answer.status_code == 204]
            assert client.get(f"/files/{file_id_of(won)}/content").content == WHOLE
