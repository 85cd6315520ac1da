"""Pages of listed origins, and no others, may call the API from a browser."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from fileplane.http.cors import EXPOSED
from fileplane.http.routes import OPERATIONS
from fileplane.setting_values import origins
from support.path_values import filled, unknown
from support.raw_http import Connection, head
from support.server import RunningServer, running_server
from support.tus import VERSION, create, look, place_of

PAGE = "https://app.example.com"
LISTED = {"origin": PAGE}
STRANGE = [
    *("https://evil.example", "http://app.example.com", "https://app.example.com:8443", "https://app.example.com.evil.example"),
    *("https://APP.example.com", "null", "", f"{PAGE}/", f"{PAGE}, https://evil.example"),
]
PREFLIGHT = {"access-control-request-method": "PATCH", "access-control-request-headers": "authorization,tus-resumable,x-stainless-os"}
PATHS = sorted({operation.path for operation in OPERATIONS if operation.path.startswith("/v1")})


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = {"cors_origins": f"{PAGE},capacitor://localhost", "max_file_bytes": 1_000}
    with running_server(tmp_path_factory.mktemp("cors") / "data", **settings) as server:
        yield server


@pytest.fixture
def page(open_server: RunningServer) -> Iterator[httpx2.Client]:
    with open_server.client() as client:
        client.headers.update(LISTED)
        yield client


@pytest.fixture(scope="module")
def keyless(open_server: RunningServer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=open_server.url, trust_env=False) as client:
        yield client


def says_nothing(answer: httpx2.Response) -> bool:
    return not [name for name in answer.headers if name.startswith("access-control-")]


def names(answer: httpx2.Response, header: str) -> set[str]:
    return {name.strip().lower() for value in answer.headers.get_list(header) for name in value.split(",")}


def assert_allowed(answer: httpx2.Response, origin: str = PAGE) -> None:
    assert answer.headers.get_list("access-control-allow-origin") == [origin]
    assert "access-control-allow-credentials" not in answer.headers
    assert names(answer, "access-control-expose-headers") == {name.lower() for name in EXPOSED}
    assert ("origin" in names(answer, "vary")) == (origin != "*")


@pytest.mark.parametrize("path", [*PATHS, "/v1", "/v1/tus/", "/v1/nonsense", "/v1/prompts"])
def test_a_preflight_needs_no_key_on_any_path(keyless: httpx2.Client, path: str) -> None:
    url = filled(path, unknown(path))
    answer = keyless.options(url, headers=LISTED | PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert_allowed(answer)
    assert names(answer, "access-control-allow-methods") >= {"get", "head", "post", "put", "patch", "delete"}
    assert names(answer, "access-control-allow-headers") == {"authorization", "tus-resumable", "x-stainless-os"}
    for stranger in STRANGE:
        refused = keyless.options(url, headers=PREFLIGHT | {"origin": stranger})
        assert says_nothing(refused), stranger
        assert "origin" in names(refused, "vary")


@pytest.mark.parametrize("wanted", ["a b", "a,,b", "a\tb", "(", "x" * 3_000, "ä"])
def test_what_is_no_list_of_headers_is_not_repeated(open_server: RunningServer, wanted: str) -> None:
    headers = LISTED | PREFLIGHT | {"access-control-request-headers": wanted.encode()}
    answer = httpx2.options(f"{open_server.url}/v1/files", headers=headers, trust_env=False)
    assert names(answer, "access-control-allow-headers") == {"authorization", "content-type"}


def test_a_page_may_read_every_answer_refusals_too(page: httpx2.Client) -> None:
    made = create(page, 3, b"abc")
    assert_allowed(made)
    assert_allowed(look(page, place_of(made)))
    file_id = made.headers["x-fileplane-file-id"]
    for path, more in (("", {}), ("/content", {}), ("/content", {"range": "bytes=1-1"})):
        assert_allowed(page.get(f"/files/{file_id}{path}", headers=more))
    statuses = {
        404: page.get("/files/x"),
        405: page.put("/files"),
        401: page.get("/files", headers={"authorization": "Bearer wrong"}),
        413: create(page, 1_001),
        400: page.get("/files?limit=x"),
        412: page.head(place_of(made)),
        416: page.get(f"/files/{file_id}/content", headers={"range": "bytes=9-"}),
    }
    for status, answer in statuses.items():
        assert answer.status_code == status
        assert_allowed(answer)
    no_route = page.get("/nonsense")
    assert no_route.status_code == 404
    assert_allowed(no_route)


def test_a_page_may_read_the_refusal_of_a_body_that_it_is_still_sending(open_server: RunningServer) -> None:
    with Connection(open_server) as connection:
        own = {**LISTED, **VERSION, "upload-length": "5000", "content-length": "5000", "content-type": "application/offset+octet-stream"}
        connection.send(head("POST", "/v1/tus", open_server.api_key, **own, upload_metadata="filename YQ==,purpose dXNlcl9kYXRh"))
        connection.send(b"x" * 100)
        answer = connection.answer(to_the_end=False)
        assert answer.status_code == 413
        assert_allowed(answer)


@pytest.mark.parametrize("stranger", STRANGE)
def test_an_origin_that_is_not_listed_is_answered_as_if_it_were_no_page(page: httpx2.Client, stranger: str) -> None:
    for path in ("/files", "/nonsense"):
        answer = page.get(path, headers={"origin": stranger})
        assert says_nothing(answer)
        assert names(answer, "vary") == {"origin"}
    assert says_nothing(page.options("/tus", headers={"origin": stranger}))


def test_what_is_not_a_page_is_told_that_the_answer_depends_on_it(open_server: RunningServer) -> None:
    with open_server.client() as client:
        answer = client.get("/files")
        assert says_nothing(answer)
        assert names(answer, "vary") == {"origin"}
        plain = client.options("/files", headers=LISTED)
        assert plain.status_code == 405
        assert_allowed(plain)


def test_what_is_not_the_api_is_for_no_page(open_server: RunningServer) -> None:
    for path in ("/healthz", "/openapi.json", "/metrics", "/v1x"):
        for headers in (LISTED, LISTED | PREFLIGHT):
            answer = httpx2.request("OPTIONS" if headers != LISTED else "GET", f"{open_server.url}{path}", headers=headers, trust_env=False)
            assert says_nothing(answer)


def test_without_the_setting_no_page_may_call(server: RunningServer) -> None:
    with server.client() as client:
        for headers in (LISTED, LISTED | PREFLIGHT, PREFLIGHT | {"origin": "*"}):
            for answer in (client.get("/files", headers=headers), client.options("/files", headers=headers), client.options("/tus")):
                assert says_nothing(answer)
                assert "vary" not in answer.headers
        assert client.options("/files", headers=LISTED | PREFLIGHT).status_code == 405


def test_any_origin_may_be_meant_and_then_none_is_named(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_server(tmp_path_factory.mktemp("any") / "data", cors_origins="*") as server, server.client() as client:
        for origin in ("https://evil.example", "null"):
            assert_allowed(client.get("/files", headers={"origin": origin}), "*")
            preflight = client.options("/files", headers=PREFLIGHT | {"origin": origin})
            assert preflight.status_code == 204
            assert_allowed(preflight, "*")


@pytest.mark.parametrize(
    "value",
    [
        *("app.example.com", "https://", "https://a/", "https://a/b", "https://a b", "null", "https://*.example.com", "*,https://a"),
        *("https://A.example", "https://a:443", "http://a:80", "https://a:0", "https://user@a", "https://a?b", 5),
    ],
)
def test_what_no_browser_says_is_no_origin(value: object) -> None:
    with pytest.raises(ValueError, match="a list of"):
        origins(value)


@pytest.mark.parametrize("value", ["", "*", "https://a", "http://a:8080,https://b.c", "http://[::1]:3000", "chrome-extension://abc"])
def test_origins_are_taken_as_browsers_write_them(value: str) -> None:
    assert origins(value) == tuple(value.split(",") if value else [])
