from __future__ import annotations

import gzip

import httpx2
import pytest

from support.expect import assert_file, assert_list, assert_openai_error
from support.forms import BOUNDARY, END, FORM_TYPE, field, file_part, form, part, pieces, send, simple_form, upload
from support.raw_http import Connection
from support.stored import assert_nothing_left_behind, blob_files
from support.tenants import NewTenant, Tenant
from support.wire import answer_to, bearer, parsed_head, received_head, refusal_before_the_body, request_head

PURPOSE = field("purpose", "user_data")
FILE = file_part(b"content", filename="data.bin")
DASHED = b"--" + BOUNDARY
NAMED = b'Content-Disposition: form-data; name="file"; filename="x"'

MALFORMED = {
    "nothing at all": b"",
    "another boundary": simple_form().replace(BOUNDARY, b"other"),
    "bare line feeds": simple_form().replace(b"\r\n", b"\n"),
    "bare carriage returns": simple_form().replace(b"\r\n", b"\r"),
    "text before the form": b"preamble\r\n" + simple_form(),
    "a part without headers": form(PURPOSE, FILE, DASHED + b"\r\n\r\ncontent\r\n"),
    "a part without a disposition": form(PURPOSE, DASHED + b"\r\nContent-Type: text/plain\r\n\r\ncontent\r\n"),
    "a part that is an attachment": form(PURPOSE, DASHED + b'\r\nContent-Disposition: attachment; name="file"; filename="x"\r\n\r\nx\r\n'),
    "a part without a name": form(PURPOSE, part(b'filename="x"', b"content")),
    "a header without a colon": form(PURPOSE, part(b'name="file"; filename="x"', b"x", b"Content-Type text/plain")),
    "a header with an illegal name": form(PURPOSE, part(b'name="file"; filename="x"', b"x", b"Content\x00Type: text/plain")),
    "two dispositions": form(PURPOSE, part(b'name="file"; filename="x"', b"x", NAMED)),
    "two types": form(PURPOSE, part(b'name="file"; filename="x"', b"x", b"Content-Type: text/plain", b"content-type: text/html")),
    "base64": form(PURPOSE, part(b'name="file"; filename="x"', b"eA==", b"Content-Transfer-Encoding: base64")),
    "quoted-printable": form(PURPOSE, part(b'name="file"; filename="x"', b"x", b"Content-Transfer-Encoding: quoted-printable")),
    "eleven parts": form(*[field("expires_after[anchor]", "created_at")] * 11),
    "seventeen headers": form(PURPOSE, part(b'name="file"; filename="x"', b"x", *(b"X-%d: x" % number for number in range(16)))),
    "a header of more than 8 KiB": form(PURPOSE, part(b'name="file"; filename="' + b"x" * 9_000 + b'"', b"x")),
    "headers of more than 8 KiB": form(
        PURPOSE, part(b'name="file"; filename="x"', b"x", *(b"X-%d: " % n + b"x" * 1_000 for n in range(9)))
    ),
    "more than 64 KiB after the form": simple_form() + b"x" * 70_000,
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_form_is_refused_and_leaves_nothing(tenant: Tenant, body: bytes):
    before = blob_files(tenant.server.data_dir)
    assert_openai_error(send(tenant.client, body), 400, "invalid_multipart")
    assert_openai_error(send(tenant.client, pieces(body, 1_000)), 400, "invalid_multipart")
    assert_nothing_left_behind(tenant.server.data_dir, before)
    assert_list(tenant.client.get("/files"), [], total=0)


@pytest.mark.parametrize("last", ["file", "purpose"])
def test_no_beginning_of_a_form_is_ever_taken_for_the_form(tenant: Tenant, last: str):
    before = blob_files(tenant.server.data_dir)
    body = form(PURPOSE, FILE) if last == "file" else form(FILE, PURPOSE)
    for length in range(len(body) - len(b"\r\n")):
        assert_openai_error(send(tenant.client, body[:length]), 400, "invalid_multipart")
    assert_nothing_left_behind(tenant.server.data_dir, before)
    assert_list(tenant.client.get("/files"), [], total=0)


WELL_FORMED = {
    "no line break after the end": form(PURPOSE, FILE, end=END.removesuffix(b"\r\n")),
    "a little after the end": form(PURPOSE, FILE) + b"epilogue",
    "headers in any case": form(
        PURPOSE, DASHED + b'\r\ncontent-DISPOSITION: Form-Data; NAME="file"; FILENAME="data.bin"\r\n\r\ncontent\r\n'
    ),
    "other headers": form(PURPOSE, part(b'name="file"; filename="data.bin"', b"content", b"X-Other: anything", b"Content-Length: 7")),
    "a plain transfer encoding": form(PURPOSE, part(b'name="file"; filename="data.bin"', b"content", b"Content-Transfer-Encoding: binary")),
    "parameters without quotes": form(PURPOSE, part(b"name=file; filename=data.bin", b"content")),
    "the file name first": form(PURPOSE, part(b'filename="data.bin"; name="file"', b"content")),
    "typed fields": form(part(b'name="purpose"', b"user_data", b"Content-Type: text/plain; charset=utf-8"), FILE),
    "sixteen headers": form(PURPOSE, part(b'name="file"; filename="data.bin"', b"content", *(b"X-%d: x" % n for n in range(15)))),
}


@pytest.mark.parametrize("body", WELL_FORMED.values(), ids=WELL_FORMED)
def test_what_the_standard_allows_is_taken(api: httpx2.Client, body: bytes):
    file = assert_file(send(api, body), bytes=7, filename="data.bin", purpose="user_data")
    assert api.get(f"/files/{file['id']}/content").content == b"content"


LONGEST = "b" * 70


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/form-data; boundary="form-boundary"', "form-boundary"),
        ("Multipart/Form-Data; Boundary=form-boundary", "form-boundary"),
        ("multipart/form-data; charset=utf-8; boundary=form-boundary", "form-boundary"),
        ("multipart/form-data;boundary=form-boundary;charset=utf-8", "form-boundary"),
        ("multipart/form-data; boundary=----formdata-undici-012345678901", "----formdata-undici-012345678901"),
        (f"multipart/form-data; boundary={LONGEST}", LONGEST),
        ('multipart/form-data; boundary="\'()+_,-./:=? x"', "'()+_,-./:=? x"),
        ("multipart/form-data; boundary=a", "a"),
    ],
)
def test_every_boundary_that_the_standard_allows_is_taken(api: httpx2.Client, content_type: str, boundary: str):
    body = simple_form(b"content").replace(BOUNDARY, boundary.encode())
    assert_file(send(api, body, content_type=content_type), bytes=7)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data;",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        f"multipart/form-data; boundary={'b' * 71}",
        'multipart/form-data; boundary="ends with a space "',
        "multipart/form-data; boundary=a@b",
        "multipart/form-data; boundary=b<>b",
        "multipart/form-data; charset=utf-8",
    ],
)
def test_a_missing_or_unusable_boundary_is_refused_by_the_header_name(api: httpx2.Client, content_type: str):
    assert_openai_error(send(api, simple_form(), content_type=content_type), 400, "invalid_value", param="content-type")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=form-boundary",
        "text/plain",
        "",
        "multipart/form-dataX; boundary=form-boundary",
        "form-data",
    ],
)
def test_another_media_type_is_refused(api: httpx2.Client, content_type: str):
    assert_openai_error(send(api, simple_form(), content_type=content_type), 415, "unsupported_media_type", param="content-type")


def test_a_body_without_a_media_type_is_refused(api: httpx2.Client):
    assert_openai_error(api.post("/files", content=simple_form()), 415, "unsupported_media_type", param="content-type")


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "deflate", "zstd", "identity, gzip", "x"])
def test_an_encoded_body_is_refused_and_never_unpacked(tenant: Tenant, encoding: str):
    before = blob_files(tenant.server.data_dir)
    response = send(tenant.client, gzip.compress(simple_form()), Content_Encoding=encoding)
    assert_openai_error(response, 415, "unsupported_media_type", param="content-encoding")
    assert_nothing_left_behind(tenant.server.data_dir, before)


def test_the_identity_encoding_is_none(api: httpx2.Client):
    assert_file(send(api, simple_form(), Content_Encoding="identity"))


def test_a_compressed_file_is_stored_as_it_is(api: httpx2.Client):
    content = gzip.compress(b"content")
    file = assert_file(upload(api, content, filename="data.json.gz"), bytes=len(content))
    downloaded = api.get(f"/files/{file['id']}/content", headers={"accept-encoding": "gzip"})
    assert (downloaded.content, downloaded.headers.get("content-encoding")) == (content, None)


def expecting(tenant: Tenant, body: bytes, **headers: str) -> bytes:
    """The head of an upload that waits for leave to send its body."""
    named = {"Content-Type": FORM_TYPE, "Content-Length": str(len(body)), "Authorization": f"Bearer {tenant.key.plain}", **headers}
    return request_head("POST", "/v1/files", *named.items(), ("Expect", "100-continue"))


def test_a_client_that_asks_for_leave_is_told_to_continue_and_then_answered(tenant: Tenant):
    body = simple_form(b"after the leave")
    with Connection(tenant.server) as connection:
        connection.send(expecting(tenant, body))
        head, rest = received_head(connection)
        assert (parsed_head(head)[0], rest) == (100, b"")
        connection.send(body)
        file = assert_file(answer_to(connection), bytes=15)
    assert tenant.client.get(f"/files/{file['id']}/content").content == b"after the leave"


REFUSED_UNREAD = {
    "no key": ({"Authorization": "Basic eA=="}, 401, None, None),
    "a wrong key": ({"Authorization": "Bearer fpk_wrong"}, 401, "invalid_api_key", None),
    "a provider": ({"x-portkey-provider": "databricks"}, 501, "unsupported_provider_operation", "x-portkey-provider"),
    "another media type": ({"Content-Type": "application/json"}, 415, "unsupported_media_type", "content-type"),
    "an encoding": ({"Content-Encoding": "gzip"}, 415, "unsupported_media_type", "content-encoding"),
    "a transfer coding": ({"Transfer-Encoding": "gzip, chunked"}, 400, "invalid_value", "transfer-encoding"),
    "a coding twice": ({"Transfer-Encoding": "chunked, chunked"}, 400, "invalid_value", "transfer-encoding"),
    "no boundary": ({"Content-Type": "multipart/form-data"}, 400, "invalid_value", "content-type"),
    "a length beyond every limit": ({"Content-Length": "99999999999999"}, 413, "file_too_large", "file"),
}


@pytest.mark.parametrize(("headers", "status", "code", "param"), REFUSED_UNREAD.values(), ids=REFUSED_UNREAD)
def test_what_the_head_shows_is_refused_without_asking_for_the_body(
    tenant: Tenant, headers: dict[str, str], status: int, code: str | None, param: str | None
):
    with Connection(tenant.server) as connection:
        connection.send(expecting(tenant, b"", **{"Content-Length": "1000", **headers}))
        assert_openai_error(answer_to(connection), status, code, param=param, definitive=status == 501)


@pytest.mark.parametrize(("headers", "status", "code", "param"), REFUSED_UNREAD.values(), ids=REFUSED_UNREAD)
def test_what_the_head_shows_is_refused_before_a_byte_of_the_body_has_come(
    tenant: Tenant, headers: dict[str, str], status: int, code: str | None, param: str | None
):
    head = expecting(tenant, b"", **{"Content-Length": "1000", **headers}).replace(b"Expect: 100-continue\r\n", b"")
    with Connection(tenant.server) as connection:
        connection.send(head)
        assert_openai_error(refusal_before_the_body(connection), status, code, param=param, definitive=status == 501)


def test_a_key_without_the_scope_is_refused_before_the_body(new_tenant: NewTenant):
    reader = new_tenant(scopes=frozenset({"files.read"}))
    with Connection(reader.server) as connection:
        connection.send(expecting(reader, b"x" * 1_000))
        assert_openai_error(answer_to(connection), 403, "missing_scope", type="permission_error")


def test_two_uploads_on_one_connection_do_not_touch_each_other(tenant: Tenant):
    bodies = [simple_form(content, filename=name) for content, name in ((b"first", "1.txt"), (b"second", "2.txt"))]
    with Connection(tenant.server) as connection:
        files = []
        for body in bodies:
            head = request_head(
                "POST", "/v1/files", bearer(tenant.key.plain), ("Content-Type", FORM_TYPE), ("Content-Length", str(len(body)))
            )
            connection.send(head + body)
            files.append(assert_file(answer_to(connection)))
    assert [tenant.client.get(f"/files/{file['id']}/content").content for file in files] == [b"first", b"second"]
