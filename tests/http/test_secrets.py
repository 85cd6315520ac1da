from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from support.expect import assert_deleted, assert_file, assert_openai_error
from support.forms import END, FORM_TYPE, field, file_part, form, pieces, simple_form
from support.polling import eventually
from support.raw_http import Connection
from support.server import RunningServer, running_server
from support.wire import answer_to, bearer, request_head

CANARY_KEY = "fpk_canary_5ba7d9e1f0c2468ace13579bdf"
WRONG_KEY = "fpk_canary_wrong_0f1e2d3c4b5a69788796"
PROVIDER_KEY = "sk-canary-provider-a1b2c3d4e5f60718"
COOKIE = "session-canary-9c8b7a6d5e4f"
CONTENT = b"canary-content-7f3a9b5d1e" * 40
QUERY = "canary-query-1a2b3c4d5e"
DEFINITELY_LAST = "the-last-of-the-canaries"


def secrets_of(key: str) -> set[str]:
    """A key, and every form that it could be mistaken to be safe in."""
    digest = hashlib.sha256(key.encode()).digest()
    encoded = base64.b64encode(key.encode()).decode().rstrip("=")
    # Its last four characters are shown on purpose, so that an operator can tell keys apart.
    return {key, key[4:], key[:-4], digest.hex(), digest.hex().upper(), base64.b64encode(digest).decode(), repr(digest)[2:-1], encoded}


@pytest.fixture(scope="module")
def canary_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose log tells all that it ever tells, and whose only key is the canary."""
    with running_server(tmp_path_factory.mktemp("canary") / "data", key=CANARY_KEY, log_level="debug", max_batch_file_bytes=500) as running:
        yield running


def requests(file_id: str) -> Iterator[tuple[str, str, bytes]]:
    """What callers do, well and badly."""
    good = simple_form(CONTENT, filename="report.txt")
    yield from (("GET", "/healthz", b""), ("GET", "/readyz", b""), ("GET", "/openapi.json", b""))
    yield from (("POST", "/v1/files", good), ("GET", "/v1/files", b""), ("GET", f"/v1/files/{file_id}", b""))
    yield from (("HEAD", f"/v1/files/{file_id}/content", b""), ("PUT", "/v1/files", good), ("GET", f"/nowhere?key={QUERY}", b""))
    for query in ("limit=0", "limit=x", "after=x", "order=x", "unknown=x"):
        yield "GET", f"/v1/files?{query}&key={QUERY}", b""
    yield "GET", "/v1/files/unknown", b""
    yield "DELETE", "/v1/files/unknown", b""
    yield "GET", "/v1/files/unknown/content", b""
    for body in (
        form(file_part(CONTENT)),
        form(field("purpose", "user_data"), field("file", CONTENT)),
        form(field("purpose", "batch"), file_part(CONTENT)),
        form(field("purpose", "batch_output_x"), file_part(CONTENT)),
        form(field("purpose", "user_data"), file_part(CONTENT), file_part(CONTENT)),
        form(field("purpose", "user_data"), field("expires_after", '{"\\ud800":1}'), file_part(CONTENT)),
        form(field("purpose", "user_data"), file_part(CONTENT, filename=b"\xff")),
        simple_form(CONTENT).removesuffix(END),
        CONTENT,
    ):
        yield "POST", "/v1/files", body


HEADERS = {
    "a good key": [bearer(CANARY_KEY)],
    "a good key twice": [("x-portkey-api-key", CANARY_KEY), bearer(PROVIDER_KEY), ("Cookie", COOKIE)],
    "a wrong key": [bearer(WRONG_KEY)],
    "a wrong scheme": [("Authorization", f"Basic {WRONG_KEY}")],
    "a provider": [bearer(CANARY_KEY), ("x-portkey-provider", "openai"), ("x-portkey-virtual-key", PROVIDER_KEY)],
    "a provider without an adapter": [("x-portkey-api-key", CANARY_KEY), bearer(PROVIDER_KEY), ("x-portkey-provider", "databricks")],
    "a config": [bearer(CANARY_KEY), ("x-portkey-config", f'{{"api_key":"{PROVIDER_KEY}"}}')],
    "a hostile request id": [bearer(CANARY_KEY), ("x-request-id", f"key={WRONG_KEY}")],
    "an encoding": [bearer(CANARY_KEY), ("Content-Encoding", WRONG_KEY)],
    "a range": [bearer(CANARY_KEY), ("Range", WRONG_KEY), ("If-None-Match", WRONG_KEY), ("If-Range", WRONG_KEY)],
}


def ask(server: RunningServer, method: str, target: str, body: bytes, *headers: tuple[str, str | bytes]) -> httpx2.Response:
    framing = (("Content-Type", FORM_TYPE), ("Content-Length", str(len(body)))) if body else ()
    with Connection(server) as connection:
        connection.send(request_head(method, target, *headers, *framing) + body)
        return answer_to(connection, method)


@pytest.fixture(scope="module")
def answers(canary_server: RunningServer) -> list[httpx2.Response]:
    """The answers to every request with every set of headers."""
    file = assert_file(ask(canary_server, "POST", "/v1/files", simple_form(CONTENT), bearer(CANARY_KEY)))
    responses = [ask(canary_server, *request, *headers) for headers in HEADERS.values() for request in requests(str(file["id"]))]
    damage_every_blob(canary_server.data_dir)
    responses.append(ask(canary_server, "GET", f"/v1/files/{file['id']}/content", b"", bearer(CANARY_KEY)))
    assert responses[-1].status_code == 500
    deleted = ask(canary_server, "DELETE", f"/v1/files/{file['id']}", b"", bearer(CANARY_KEY))
    assert_deleted(deleted, str(file["id"]))
    last = ask(canary_server, "GET", "/v1/files", b"", bearer(CANARY_KEY), ("x-request-id", DEFINITELY_LAST))
    return [*responses, deleted, last]


def damage_every_blob(data_dir: Path) -> None:
    for path in (data_dir / "blobs").glob("??/*"):
        if path.is_file():
            path.write_bytes(b"")


@pytest.fixture(scope="module")
def logged(canary_server: RunningServer, answers: list[httpx2.Response]) -> str:
    """All that the server has written, to its log and to its output, once it has written of the last answer."""
    assert answers
    eventually(lambda: DEFINITELY_LAST in canary_server.log, "the last access line", seconds=10)
    return canary_server.log + canary_server.output


def test_every_failure_is_told_in_the_one_envelope_and_without_a_traceback(answers: list[httpx2.Response]):
    failures = [response for response in answers if response.status_code >= 400 and response.content]
    assert {response.status_code for response in failures} >= {400, 401, 404, 405, 413, 415, 500, 501}
    for response in failures:
        error = response.json()["error"]
        definitive = response.status_code in {500, 501}
        assert_openai_error(response, response.status_code, error["code"], type=error["type"], param=error["param"], definitive=definitive)
    for response in answers:
        assert "traceback" not in response.text.lower()
        assert 'file "' not in response.text.lower()


@pytest.mark.parametrize("key", [CANARY_KEY, WRONG_KEY, PROVIDER_KEY], ids=["good", "wrong", "provider's"])
def test_no_key_and_no_hash_of_one_is_in_any_answer_log_line_or_output(answers: list[httpx2.Response], logged: str, key: str):
    seen = [f"{response.text} {response.headers}" for response in answers]
    for secret in secrets_of(key):
        assert not [text for text in seen if secret in text]
        assert secret not in logged


def test_no_content_query_or_cookie_is_in_the_log(logged: str):
    assert '"status":200' in logged
    for secret in (CONTENT.decode()[:25], QUERY, COOKIE):
        assert secret not in logged


def test_no_content_is_in_any_answer_but_that_to_a_download(answers: list[httpx2.Response]):
    assert not [response for response in answers if CONTENT[:25] in response.content]


def test_a_key_is_stored_as_its_hash_alone(canary_server: RunningServer, answers: list[httpx2.Response]):
    assert answers
    kept = b"".join(path.read_bytes() for path in canary_server.data_dir.iterdir() if path.is_file())
    assert hashlib.sha256(CANARY_KEY.encode()).digest() in kept
    assert CANARY_KEY.encode() not in kept
    assert CANARY_KEY[4:-4].encode() not in kept


def test_a_client_that_leaves_or_sends_in_pieces_leaves_no_secret_in_the_log(canary_server: RunningServer):
    body = simple_form(CONTENT)
    for cut in (10, 150, len(body) - 20):
        with Connection(canary_server) as connection:
            framing = (("Content-Type", FORM_TYPE), ("Content-Length", str(len(body))))
            connection.send(request_head("POST", "/v1/files", bearer(CANARY_KEY), *framing, ("x-request-id", f"cut-{cut}")) + body[:cut])
        eventually(lambda cut=cut: f"cut-{cut}" in canary_server.log, "the access line of a client that left", seconds=10)
    with canary_server.client(CANARY_KEY) as client:
        assert_file(client.post("/files", content=pieces(body, 7), headers={"content-type": FORM_TYPE}))
    for secret in (CANARY_KEY, CONTENT.decode()[:25]):
        assert secret not in canary_server.log
