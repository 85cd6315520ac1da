from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import httpx2
import pytest

from fileplane.http.routes import OPERATIONS, Operation
from fileplane.ids import openai_style, uuid7
from support.expect import assert_deleted, assert_file, assert_list
from support.forms import FORM_TYPE, simple_form, uploaded
from support.path_values import filled, unknown
from support.raw_http import Connection
from support.server import RunningServer
from support.tenants import NewTenant, Tenant
from support.wire import answer_to, bearer, request_head

ON_A_FILE = [operation for operation in OPERATIONS if "{file_id}" in operation.path]
NOT_FOUND = "No such File object: "
FOREIGN_FILES = 3
# Of these, a difference says nothing: they differ from request to request anyway, or follow from the id's length.
VARYING = {"x-request-id", "date", "content-length"}


@dataclass(frozen=True)
class Neighbours:
    """Two tenants of one server. ``theirs`` are the files of the one that ``caller`` must never hear of."""

    caller: Tenant
    other: Tenant
    theirs: list[dict[str, object]]
    own: dict[str, object]

    @property
    def secrets(self) -> set[str]:
        """Everything of the other tenant by which a leak would show."""
        ids = {str(file["id"]) for file in self.theirs}
        names = {str(file["filename"]) for file in self.theirs}
        return (
            ids | {openai_style(file_id) for file_id in ids} | names | {self.other.key.id, self.other.key.project_id, self.other.key.plain}
        )


@pytest.fixture
def neighbours(new_tenant: NewTenant) -> Neighbours:
    return make_neighbours(new_tenant(), new_tenant())


def make_neighbours(caller: Tenant, other: Tenant) -> Neighbours:
    theirs = [
        uploaded(other.client, b"their content %d" % number, filename=f"their-secret-{number}.txt", purpose=purpose)
        for number, purpose in enumerate(("user_data", "evals", "batch"))
    ]
    return Neighbours(caller, other, theirs, uploaded(caller.client, b"own"))


def hostile_ids(neighbours: Neighbours) -> Iterator[str]:
    """Path segments as they go over the wire."""
    theirs = str(neighbours.theirs[0]["id"])
    yield from (theirs, theirs.upper(), openai_style(theirs), openai_style(theirs).upper(), theirs.replace("-", "%2D"))
    yield from (f"%20{theirs}", f"{theirs}%20", f"{theirs}%00", f"{theirs}%0A", f"{theirs}.", f"file-{theirs}", theirs[:-1], f"{theirs}0")
    yield from (
        f"..%2F{theirs}",
        f"%2F{theirs}",
        f"{theirs}%2Fcontent",
        f"x%2F..%2F{theirs}",
        f"{neighbours.other.key.project_id}%2F{theirs}",
    )
    yield from (f"{theirs}%3Fx=1", f"{theirs}%23", f"%2565{theirs}", f"{theirs};x", f"{theirs},{neighbours.own['id']}")
    yield from (neighbours.other.key.project_id, neighbours.other.key.id, "%2A", "%25", "_", "%5F" * 36)
    yield from ("..", "%2E%2E", "%2e%2e%2f%2e%2e", "%2F", "%5C", "%00", "a%2Fb%20c%252F", "%FF%FE", "%C0%AF", "%ED%A0%80")
    yield from ("'%20OR%20'1'='1", "'%3B%20DROP%20TABLE%20files%3B--", "x'%20UNION%20SELECT%20*%20FROM%20files--", "%22%20OR%201=1")
    yield from ("x" * 8_000, "%F0%9F%94%A5" * 100, "0", "-1", "null", "None", "true", "{file_id}", "$(id)", "%7B%7B7*7%7D%7D")


def ask(tenant: Tenant, operation: Operation, segment: str, *headers: tuple[str, str]) -> httpx2.Response:
    with Connection(tenant.server) as connection:
        target = operation.path.replace("{file_id}", segment).replace("{hold_id}", uuid7(1))
        connection.send(request_head(operation.method, target, bearer(tenant.key.plain), *headers))
        return answer_to(connection, operation.method)


def fingerprint(response: httpx2.Response, shown: str) -> object:
    """Everything that the caller can see, but for the id that it sent itself."""
    headers = {name: "" if name in VARYING else value for name, value in response.headers.items()}
    body = response.text
    if body:
        envelope = json.loads(body)
        assert envelope["error"]["message"] == NOT_FOUND + shown
        envelope["error"]["message"] = NOT_FOUND
        body = json.dumps(envelope)
    return response.status_code, headers, list(headers), body


def shown_id(segment: str) -> str:
    """What the answer may repeat: the id as it was sent, decoded once and cut off."""
    return unquote_to_bytes(segment).decode("utf-8", "replace")[:80]


@pytest.mark.parametrize("headers", [(), (("Range", "bytes=0-0"), ("If-None-Match", "*"))], ids=["plain", "conditional"])
@pytest.mark.parametrize("operation", ON_A_FILE, ids=lambda operation: f"{operation.method} {operation.path}")
def test_a_foreign_or_hostile_id_is_answered_exactly_as_one_that_never_was(
    neighbours: Neighbours, operation: Operation, headers: tuple[tuple[str, str], ...]
):
    unknown = uuid7(1_800_000_000_000)
    expected = fingerprint(ask(neighbours.caller, operation, unknown, *headers), unknown)
    for segment in hostile_ids(neighbours):
        response = ask(neighbours.caller, operation, segment, *headers)
        assert fingerprint(response, shown_id(segment)) == expected, segment
    for file in neighbours.theirs:
        assert_file(neighbours.other.client.get(f"/files/{file['id']}"), **file)
        assert neighbours.other.client.get(f"/files/{file['id']}/content").content.startswith(b"their content")
    assert_file(neighbours.caller.client.get(f"/files/{neighbours.own['id']}"), **neighbours.own)


def test_a_file_that_its_owner_has_deleted_is_answered_to_others_as_before(neighbours: Neighbours):
    file_id = str(neighbours.theirs[0]["id"])
    before = [fingerprint(ask(neighbours.caller, operation, file_id), file_id) for operation in ON_A_FILE]
    assert_deleted(neighbours.other.client.delete(f"/files/{file_id}"), file_id)
    assert [fingerprint(ask(neighbours.caller, operation, file_id), file_id) for operation in ON_A_FILE] == before


def own_requests(neighbours: Neighbours) -> Iterator[tuple[str, str, bytes]]:
    """Everything that a caller can do without an id of the other, in many variants."""
    own = neighbours.own["id"]
    for limit, order, purpose, position in itertools.product(
        ("", "&limit=1", "&limit=10000"),
        ("", "&order=asc", "&order=desc"),
        ("", "&purpose=user_data", "&purpose=evals", "&purpose=nonsense"),
        ("", f"&after={own}", "&offset=0", "&offset=1", "&offset=1000000"),
    ):
        yield "GET", f"/v1/files?{(limit + order + purpose + position).removeprefix('&')}".rstrip("?"), b""
    for wrong in ("limit=0", "limit=x", "offset=-1", "order=x", "after=x", "unknown=1"):
        yield "GET", f"/v1/files?{wrong}", b""
    for operation in OPERATIONS:
        if operation.method != "DELETE":
            yield (
                operation.method,
                filled(operation.path, unknown(operation.path) | {"file_id": own}),
                simple_form() if operation.method == "POST" else b"",
            )
    yield "PUT", "/v1/files", b""
    yield "GET", "/nowhere", b""
    yield "DELETE", f"/v1/files/{own}", b""


def test_no_answer_to_one_tenant_has_an_id_a_name_a_count_or_a_cursor_of_the_other(neighbours: Neighbours):
    for method, target, body in own_requests(neighbours):
        with Connection(neighbours.caller.server) as connection:
            framing = (("Content-Type", FORM_TYPE), ("Content-Length", str(len(body)))) if body else ()
            connection.send(request_head(method, target, bearer(neighbours.caller.key.plain), *framing) + body)
            response = answer_to(connection, method)
            seen = f"{response.text} {response.headers}"
            assert not [secret for secret in neighbours.secrets if secret in seen], target
            if target.startswith("/v1/files?") and response.status_code == 200:
                assert response.json()["total"] <= 2, target


def test_totals_and_pages_of_one_tenant_do_not_move_when_the_other_writes(neighbours: Neighbours):
    ids = [neighbours.own["id"]]
    for _ in range(3):
        assert_list(neighbours.caller.client.get("/files"), ids, total=1)
        assert_list(neighbours.caller.client.get("/files", params={"purpose": "evals"}), [], total=0)
        uploaded(neighbours.other.client, purpose="evals")
    assert neighbours.other.client.get("/files").json()["total"] == FOREIGN_FILES + 3


def test_a_foreign_cursor_is_refused_exactly_as_an_unknown_one(neighbours: Neighbours):
    def refusal(cursor: str, **parameters: str) -> tuple[int, str, list[str]]:
        response = neighbours.caller.client.get("/files", params={"after": cursor, **parameters})
        return response.status_code, response.text, list(response.headers)

    unknown = uuid7(1_800_000_000_000)
    for parameters in ({}, {"order": "asc"}, {"purpose": "evals"}, {"limit": "1"}):
        expected = refusal(unknown, **parameters)
        assert expected[0] == 400
        for file in neighbours.theirs:
            for cursor in (str(file["id"]), openai_style(str(file["id"])), str(file["id"]).upper()):
                assert refusal(cursor, **parameters) == expected


def test_request_ids_do_not_count_the_requests_of_others(server: RunningServer, neighbours: Neighbours):
    def made() -> int:
        response = httpx2.get(f"{server.url}/healthz", trust_env=False, verify=False)
        return int(response.headers["x-request-id"].removeprefix("req_"), 16)

    steps = []
    for requests in (1, 5, 9):
        before = made()
        for _ in range(requests):
            neighbours.other.client.get("/files")
        steps.append(made() - before)
    assert steps != [2, 6, 10]


def test_a_server_that_prints_openai_ids_keeps_tenants_apart_as_well(new_tenant: NewTenant, loose_server: RunningServer):
    caller, other = new_tenant(loose_server), new_tenant(loose_server)
    theirs = str(uploaded(other.client)["id"])
    digits = theirs.removeprefix("file-")
    canonical = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    for file_id, operation in itertools.product((theirs, canonical), ON_A_FILE):
        response = ask(caller, operation, file_id)
        assert response.status_code == 404
    assert other.client.get(f"/files/{theirs}").status_code == 200
    assert caller.client.get("/files").json()["total"] == 0
