"""Uploads in parts, over the wire, against a real server."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from fileplane.access import Limits
from support.expect import assert_file_object, assert_openai_error
from support.forms import FORM_TYPE, field, form, part
from support.limited import limited_key
from support.part_uploads import assembled, complete, create, created, send_part, sent, settled
from support.server import RunningServer
from support.tenants import NewTenant, Tenant

UNKNOWN = "upload_0123456789abcdef0123456789abcdef"
LINE = b'{"custom_id": "%d", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "text"}}\n'


def test_parts_become_a_file_in_the_order_of_the_completion(api: httpx2.Client) -> None:
    announced = create(api, 9, filename="a.txt", mime_type="text/plain").json()
    assert announced["expires_at"] - announced["created_at"] == 3_600
    upload_id = announced["id"]
    last, first, spare = sent(api, upload_id, b"world"), sent(api, upload_id, b"The "), sent(api, upload_id, b"spare")
    shown = api.get(f"/uploads/{upload_id}").json()
    assert {entry["id"]: entry["bytes"] for entry in shown["parts"]} == {last: 5, first: 4, spare: 5}
    done = complete(api, upload_id, [first, last]).json()
    assert (done["id"], done["object"], done["status"], done["bytes"]) == (upload_id, "upload", "completed", 9)
    assert done["expires_at"] >= announced["expires_at"]
    assert "parts" not in done
    assert_file_object(done["file"], bytes=9, filename="a.txt", purpose="user_data", status="uploaded")
    file_id = done["file"]["id"]
    content = api.get(f"/files/{file_id}/content")
    assert (content.content, content.headers["content-type"]) == (b"The world", "text/plain")
    assert settled(api, file_id) == {**done["file"], "status": "processed"}
    shown = api.get(f"/uploads/{upload_id}").json()
    assert [entry["id"] for entry in shown["parts"]] == [first, last]
    assert shown["file"]["status"] == "processed"


def test_a_file_is_readable_at_once_and_keeps_its_first_validator_when_its_hash_is_known(api: httpx2.Client) -> None:
    pieces = [random.Random(number).randbytes(300_000) for number in range(4)]
    whole, file = b"".join(pieces), assembled(api, *pieces)
    path = f"/files/{file['id']}/content"
    early = api.get(path)
    assert early.content == whole
    settled(api, file["id"])
    later = api.get(path)
    assert later.headers["etag"] == f'"{hashlib.sha256(whole).hexdigest()}"'
    for etag in (early.headers["etag"], later.headers["etag"]):
        assert api.get(path, headers={"if-none-match": etag}).status_code == 304
        resumed = api.get(path, headers={"range": "bytes=299990-600010", "if-range": etag})
        assert (resumed.status_code, resumed.content) == (206, whole[299_990:600_011])
    assert api.get(path, headers={"range": "bytes=1-2", "if-range": '"other"'}).status_code == 200
    assert api.head(path).headers["content-length"] == str(len(whole))


@pytest.mark.parametrize("span", [(0, 0), (0, 9), (9, 10), (10, 19), (5, 24), (29, 29), (0, 29), (20, 29)])
def test_every_range_over_parts_is_exactly_its_bytes(api: httpx2.Client, span: tuple[int, int]) -> None:
    whole = bytes(range(30))
    file = assembled(api, whole[:10], whole[10:11], whole[11:20], whole[20:])
    answer = api.get(f"/files/{file['id']}/content", headers={"range": f"bytes={span[0]}-{span[1]}"})
    assert answer.content == whole[span[0] : span[1] + 1]
    assert answer.headers["content-range"] == f"bytes {span[0]}-{span[1]}/30"


@pytest.mark.parametrize("disposition", [b'name="data"', b'name="data"; filename=""', b'name="data"; filename="\xff"'])
def test_a_part_may_come_without_a_file_name_or_with_any(api: httpx2.Client, disposition: bytes) -> None:
    upload_id = created(api, 10_000)
    answer = send_part(api, upload_id, b"x" * 10_000, disposition=disposition)
    assert answer.status_code == 200
    assert set(answer.json()) == {"id", "object", "created_at", "upload_id", "bytes", "sha256"}
    assert answer.json()["sha256"] == hashlib.sha256(b"x" * 10_000).hexdigest()
    assert (answer.json()["object"], answer.json()["upload_id"]) == ("upload.part", upload_id)
    assert complete(api, upload_id, [answer.json()["id"]]).status_code == 200


def test_parts_may_come_at_once(tenant: Tenant) -> None:
    pieces = [bytes([number]) * 50_000 for number in range(16)]
    with tenant.server.client(tenant.key.plain) as client, ThreadPoolExecutor(8) as pool:
        upload_id = created(client, 50_000 * 16)
        part_ids = list(pool.map(lambda piece: sent(client, upload_id, piece), pieces))
        file = complete(client, upload_id, part_ids).json()["file"]
        assert client.get(f"/files/{file['id']}/content").content == b"".join(pieces)


@pytest.mark.parametrize("encode", [bytes.hex, lambda digest: digest.hex().upper(), lambda digest: base64.b64encode(digest).decode()])
def test_a_completion_with_an_md5_waits_until_it_is_verified(api: httpx2.Client, encode: Callable[[bytes], str]) -> None:
    upload_id = created(api, 6)
    part_ids = [sent(api, upload_id, b"abc"), sent(api, upload_id, b"def")]
    digest = hashlib.md5(b"abcdef").digest()
    done = complete(api, upload_id, part_ids, md5=encode(digest)).json()
    assert done["file"]["status"] == "processed"
    etag = api.head(f"/files/{done['file']['id']}/content").headers["etag"]
    assert etag == f'"{hashlib.sha256(b"abcdef").hexdigest()}"'
    assert complete(api, upload_id, part_ids, md5=encode(digest)).json() == done


def test_a_wrong_md5_or_none_at_all_leaves_the_upload_as_it_was(api: httpx2.Client) -> None:
    upload_id = created(api, 6)
    part_ids = [sent(api, upload_id, b"abc"), sent(api, upload_id, b"def")]
    md5 = hashlib.md5(b"abcdef").hexdigest()
    for wrong in (hashlib.md5(b"other").hexdigest(), "nonsense", md5[:-1], base64.b64encode(b"short").decode()):
        assert_openai_error(complete(api, upload_id, part_ids, md5=wrong), 400, "invalid_value", param="md5")
    message = assert_openai_error(complete(api, upload_id, part_ids[::-1], md5=md5), 400, "invalid_value", param="md5")
    assert hashlib.md5(b"defabc").hexdigest() in message
    assert api.get(f"/uploads/{upload_id}").json()["status"] == "pending"
    assert complete(api, upload_id, part_ids, md5=md5).json()["status"] == "completed"


def test_no_completion_is_answered_with_success_for_a_file_that_has_not_its_md5(api: httpx2.Client) -> None:
    upload_id = created(api, 6)
    part_ids = [sent(api, upload_id, b"abc"), sent(api, upload_id, b"def")]
    done = complete(api, upload_id, part_ids).json()
    wrong, right = (hashlib.md5(data).hexdigest() for data in (b"other", b"abcdef"))
    assert_openai_error(complete(api, upload_id, part_ids, md5=wrong), 400, "invalid_value", param="md5")
    assert complete(api, upload_id, part_ids, md5=right).json()["file"]["id"] == done["file"]["id"]
    assert_openai_error(complete(api, upload_id, part_ids[::-1], md5=right), 400, "upload_not_pending", param="id")
    assert api.get(f"/files/{done['file']['id']}/content").content == b"abcdef"


def test_of_completions_with_and_without_an_md5_that_race_only_those_with_a_wrong_one_are_refused(tenant: Tenant) -> None:
    with tenant.server.client(tenant.key.plain) as client, ThreadPoolExecutor(8) as pool:
        upload_id = created(client, 600_000)
        part_ids = [sent(client, upload_id, data * 300_000) for data in (b"a", b"b")]
        right, wrong = (hashlib.md5(data).hexdigest() for data in (b"a" * 300_000 + b"b" * 300_000, b"other"))
        given = [{"md5": right}, {"md5": wrong}, {}] * 4
        answers = list(pool.map(lambda more: complete(client, upload_id, part_ids, **more), given))
        for more, answer in zip(given, answers, strict=True):
            if more.get("md5") == wrong:
                assert_openai_error(answer, 400, "invalid_value", param="md5")
            else:
                assert answer.status_code == 200, answer.text
        assert client.get("/files").json()["total"] == 1


def test_a_batch_is_validated_by_the_pass_and_by_a_completion_with_an_md5(api: httpx2.Client) -> None:
    good = [LINE % number for number in range(3)]
    whole = b"".join(good)
    file = assembled(api, whole[:100], whole[100:], filename="b.jsonl", purpose="batch")
    assert settled(api, file["id"])["status"] == "processed"
    assert api.get(f"/files/{file['id']}/validation").json()["lines"] == 3
    bad = assembled(api, good[0], b"nonsense\n", filename="b.jsonl", purpose="batch")
    shown = settled(api, bad["id"])
    assert shown["status"] == "error"
    assert "2" in shown["status_details"]
    upload_id = created(api, 9, filename="b.jsonl", purpose="batch")
    done = complete(api, upload_id, [sent(api, upload_id, b"nonsense\n")], md5=hashlib.md5(b"nonsense\n").hexdigest())
    assert done.json()["file"]["status"] == "error"


def test_the_expiry_of_the_file_begins_with_its_completion(api: httpx2.Client) -> None:
    upload_id = created(api, 1, expires_after={"anchor": "created_at", "seconds": 7_200})
    file = complete(api, upload_id, [sent(api, upload_id, b"x")]).json()["file"]
    assert file["expires_at"] == file["created_at"] + 7_200
    batch = created(api, 1, purpose="batch", filename="b.txt")
    file = complete(api, batch, [sent(api, batch, b"x")]).json()["file"]
    assert file["expires_at"] == file["created_at"] + 2_592_000


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"bytes": 0}, "invalid_value", "bytes"),
        ({"bytes": -1}, "invalid_value", "bytes"),
        ({"bytes": "1"}, "invalid_value", "bytes"),
        ({"purpose": "nonsense"}, "invalid_value", "purpose"),
        ({"filename": ""}, "invalid_value", "filename"),
        ({"filename": "a\nb"}, "invalid_value", "filename"),
        ({"mime_type": None}, "invalid_value", "mime_type"),
        ({"nonsense": 1}, "unknown_parameter", "nonsense"),
        ({"expires_after": {"anchor": "created_at", "seconds": 60}}, "integer_below_min_value", "expires_after[seconds]"),
        ({"expires_after": {"anchor": "now", "seconds": 7_200}}, "invalid_value", "expires_after[anchor]"),
    ],
)
def test_what_is_wrong_with_an_announcement_is_named(api: httpx2.Client, body: dict[str, object], code: str, param: str) -> None:
    given = {"filename": "a.txt", "purpose": "user_data", "bytes": 1, "mime_type": "text/plain"} | body
    assert_openai_error(api.post("/uploads", json=given), 400, code, param=param)


@pytest.mark.parametrize("missing", ["filename", "purpose", "bytes", "mime_type"])
def test_what_an_announcement_lacks_is_named(api: httpx2.Client, missing: str) -> None:
    given = {"filename": "a.txt", "purpose": "user_data", "bytes": 1, "mime_type": "text/plain"}
    del given[missing]
    assert_openai_error(api.post("/uploads", json=given), 400, "missing_required_parameter", param=missing)


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (form(), "missing_required_parameter", "data"),
        (form(part(b'name="data"', b"")), "invalid_value", "data"),
        (form(part(b'name="data"', b"x"), part(b'name="data"', b"y")), "invalid_value", "data"),
        (form(field("purpose", "x"), part(b'name="data"', b"x")), "unknown_parameter", "purpose"),
        (form(part(b'name="file"; filename="a"', b"x")), "unknown_parameter", "file"),
        (form(part(b'name="data"', b"x"), end=b""), "invalid_multipart", None),
    ],
)
def test_what_is_wrong_with_a_part_is_named_and_leaves_nothing(api: httpx2.Client, body: bytes, code: str, param: str | None) -> None:
    upload_id = created(api, 1)
    answer = api.post(f"/uploads/{upload_id}/parts", content=body, headers={"content-type": FORM_TYPE})
    assert_openai_error(answer, 400, code, param=param)
    assert api.get(f"/uploads/{upload_id}").json()["parts"] == []


def test_a_completion_with_parts_that_do_not_fit_is_refused_and_can_be_repeated(api: httpx2.Client) -> None:
    upload_id, other = created(api, 6), created(api, 6)
    one, two, foreign = sent(api, upload_id, b"abc"), sent(api, upload_id, b"def"), sent(api, other, b"def")
    for wrong in ([], [one], [one, one], [one, foreign], [one, two, two], ["nonsense"], [one, "part_" + "0" * 32]):
        assert_openai_error(complete(api, upload_id, wrong), 400, "invalid_value", param="part_ids")
    assert_openai_error(api.post(f"/uploads/{upload_id}/complete", json={}), 400, "missing_required_parameter", param="part_ids")
    done = complete(api, upload_id, [two, one])
    assert done.json()["status"] == "completed"
    assert complete(api, upload_id, [two, one]).json()["file"]["id"] == done.json()["file"]["id"]
    assert_openai_error(complete(api, upload_id, [one, two]), 400, "upload_not_pending", param="id")
    assert_openai_error(send_part(api, upload_id, b"late"), 400, "upload_not_pending", param="id")
    assert_openai_error(api.post(f"/uploads/{upload_id}/cancel"), 400, "upload_not_pending", param="id")


def test_of_completions_that_race_all_that_say_the_same_get_the_one_file(tenant: Tenant) -> None:
    with tenant.server.client(tenant.key.plain) as client, ThreadPoolExecutor(8) as pool:
        upload_id = created(client, 6)
        one, two = sent(client, upload_id, b"abc"), sent(client, upload_id, b"def")
        answers = list(pool.map(lambda order: complete(client, upload_id, order), [[one, two], [two, one]] * 4))
        won = [answer.json()["file"]["id"] for answer in answers if answer.status_code == 200]
        assert (len(won), len(set(won))) == (4, 1)
        for lost in (answer for answer in answers if answer.status_code != 200):
            assert_openai_error(lost, 400, "upload_not_pending", param="id")
        assert client.get("/files").json()["total"] == 1


def test_a_cancelled_upload_frees_its_room_at_once_and_stays_cancelled(tight: Tenant) -> None:
    api = tight.client
    upload_id = created(api, 190_000)
    for _ in range(2):
        sent(api, upload_id, b"x" * 100_000)
    assert_openai_error(create(api, 190_000), 400, "storage_quota_exceeded", param="file")
    for _ in range(2):
        answer = api.post(f"/uploads/{upload_id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert created(api, 190_000)
    assert api.get(f"/uploads/{upload_id}").json()["parts"] == []


def test_the_quota_is_held_by_each_part_and_one_beyond_it_leaves_nothing(tight: Tenant) -> None:
    api = tight.client
    upload_id = created(api, 200_000)
    part_ids = [sent(api, upload_id, b"x" * 100_000) for _ in range(3)]
    assert_openai_error(send_part(api, upload_id, b"x"), 400, "storage_quota_exceeded", param="file")
    assert len(api.get(f"/uploads/{upload_id}").json()["parts"]) == 3
    assert complete(api, upload_id, part_ids[:2]).status_code == 200


def test_a_file_larger_than_its_limit_is_refused_when_it_is_announced(tight: Tenant) -> None:
    assert_openai_error(create(tight.client, 200_001), 413, "file_too_large", param="bytes")
    assert_openai_error(create(tight.client, 100_001, purpose="batch"), 413, "file_too_large", param="bytes")


def test_uploads_are_listed_page_by_page(api: httpx2.Client) -> None:
    ids = [created(api, 1) for _ in range(5)]
    page = api.get("/uploads", params={"limit": 2}).json()
    assert ([entry["id"] for entry in page["data"]], page["has_more"]) == (ids[:2:-1], True)
    page = api.get("/uploads", params={"limit": 10, "after": page["last_id"]}).json()
    assert ([entry["id"] for entry in page["data"]], page["has_more"]) == (ids[2::-1], False)
    oldest_first = api.get("/uploads", params={"order": "asc"}).json()
    assert [entry["id"] for entry in oldest_first["data"]] == ids
    for wrong in ("nonsense", UNKNOWN):
        assert_openai_error(api.get("/uploads", params={"after": wrong}), 400, "invalid_value", param="after")
    assert_openai_error(api.get("/uploads", params={"offset": "1"}), 400, "unknown_parameter", param="offset")


@pytest.mark.parametrize("upload_id", [UNKNOWN, "nonsense", "upload_%2e%2e%2f"])
def test_an_unknown_upload_is_told_in_the_callers_own_words(api: httpx2.Client, upload_id: str) -> None:
    for answer in (
        api.get(f"/uploads/{upload_id}"),
        send_part(api, upload_id, b"x"),
        complete(api, upload_id, ["part_" + "0" * 32]),
        api.post(f"/uploads/{upload_id}/cancel"),
    ):
        assert_openai_error(answer, 404, None, param="id")


def test_an_upload_of_another_project_does_not_exist(api: httpx2.Client, new_tenant: NewTenant) -> None:
    stranger = new_tenant().client
    upload_id = created(api, 1)
    part_id = sent(api, upload_id, b"x")
    for answer in (
        stranger.get(f"/uploads/{upload_id}"),
        send_part(stranger, upload_id, b"x"),
        complete(stranger, upload_id, [part_id]),
        stranger.post(f"/uploads/{upload_id}/cancel"),
    ):
        message = assert_openai_error(answer, 404, None, param="id")
        assert message == f"No such Upload object: {upload_id}"
    own = created(stranger, 1)
    assert_openai_error(complete(stranger, own, [part_id]), 400, "invalid_value", param="part_ids")
    assert [entry["id"] for entry in stranger.get("/uploads").json()["data"]] == [own]
    assert_openai_error(stranger.get("/uploads", params={"after": upload_id}), 400, "invalid_value", param="after")


def test_a_file_of_parts_can_be_deleted_restored_and_purged_like_any_other(api: httpx2.Client) -> None:
    file = assembled(api, b"abc", b"def")
    path = f"/files/{file['id']}"
    settled(api, file["id"])
    assert api.delete(path).status_code == 200
    assert api.get(f"{path}/content").status_code == 404
    assert api.post(f"{path}/restore").status_code == 200
    assert api.get(f"{path}/content").content == b"abcdef"
    assert api.delete(path, params={"purge": "true"}).status_code == 200
    assert api.post(f"{path}/restore").status_code == 404


def test_an_upload_of_exactly_what_the_day_and_the_key_have_left_is_taken_and_one_byte_more_is_not(server: RunningServer) -> None:
    key = limited_key(server.data_dir, key=Limits(upload_bytes_per_day=50_000, storage_bytes=20_000))
    with server.client(key.plain) as client:
        assert_openai_error(create(client, 20_001), 400, "storage_quota_exceeded", param="file")
        upload_id = created(client, 20_000)
        part_ids = [sent(client, upload_id, b"x" * 10_000) for _ in range(2)]
        other = created(client, 1)
        assert_openai_error(send_part(client, other, b"x"), 400, "storage_quota_exceeded", param="file")
        assert complete(client, upload_id, part_ids).status_code == 200
    daily = limited_key(server.data_dir, key=Limits(upload_bytes_per_day=50_000))
    with server.client(daily.plain) as client:
        assert create(client, 50_001).status_code == 429
        assert create(client, 50_000).status_code == 200
