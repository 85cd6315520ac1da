"""Two tenants at two nodes: what is the one's is to the other as if it had never been, whichever node made it and whichever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from fileplane.access import ORGANISATION_SCOPES
from fileplane.blob_location import BlobLocation
from fileplane.http.routes import OPERATIONS
from support.forms import FORM_TYPE, simple_form, uploaded
from support.path_values import Values, deleted, existing, filled, ids_of, is_of_providers, is_there, unknown
from support.timed_nodes import TimedNodes, timed_nodes

pytestmark = pytest.mark.full

BY_ID = [
    (operation.method, operation.path)
    for operation in OPERATIONS
    if ids_of(operation.path)
    and not is_of_providers(operation.path)
    and not {scope.value for scope in operation.scopes} <= ORGANISATION_SCOPES
]
VARYING = {"x-request-id", "date", "content-length"}
BODIES: dict[str, tuple[dict[str, str], bytes]] = {
    "nothing": ({}, b""),
    "JSON": ({"content-type": "application/json"}, b'{"name": "x", "reason": "y"}'),
    "a form": ({"content-type": FORM_TYPE}, simple_form()),
}


@dataclass(frozen=True)
class Neighbours:
    """A client of each tenant at each node; ``theirs`` and ``mine`` have one for the first node and one for the second."""

    theirs: list[httpx2.Client]
    mine: list[httpx2.Client]


@pytest.fixture
def nodes(tmp_path: Path, url: str, place: BlobLocation) -> Iterator[TimedNodes]:
    with timed_nodes(tmp_path, url, place) as nodes:
        yield nodes


@pytest.fixture
def neighbours(nodes: TimedNodes) -> Iterator[Neighbours]:
    keys = [nodes.new_key().plain for _ in range(2)]
    theirs, mine = [[app.client(key) for app in nodes.apps] for key in keys]
    yield Neighbours(theirs, mine)
    for client in (*theirs, *mine):
        client.close()


def seen(client: httpx2.Client, method: str, path: str, values: Values, body: tuple[dict[str, str], bytes]) -> object:
    """All that the caller is shown, with what it sent itself replaced by its name."""
    headers, content = body
    answer = client.request(method, filled(path, values).removeprefix("/v1"), headers=headers, content=content)
    text = answer.text
    for name, value in values.items():
        text = text.replace(value, name)
    return answer.status_code, {name: value for name, value in answer.headers.items() if name not in VARYING}, text


def test_every_operation_on_what_is_anothers_is_answered_by_either_node_as_on_what_never_was(neighbours: Neighbours):
    asked = 0
    for number, (method, path) in enumerate(BY_ID):
        maker = neighbours.theirs[number % 2]
        theirs, gone = existing(maker, path), deleted(maker, path)
        for kind, body in BODIES.items():
            expected = seen(neighbours.mine[0], method, path, unknown(path), body)
            assert expected[0] >= 400, (method, path, kind)
            for client in neighbours.mine:
                for values in (theirs, gone, unknown(path, 1)):
                    assert seen(client, method, path, values, body) == expected, (method, path, kind)
                    asked += 1
        for owner in neighbours.theirs:
            assert is_there(owner, theirs)
    assert asked > 100


def test_no_list_total_or_cursor_of_either_node_tells_of_the_other_tenant(neighbours: Neighbours):
    own = uploaded(neighbours.mine[0], b"own")
    for number in range(4):
        theirs = uploaded(neighbours.theirs[number % 2], b"theirs", filename=f"their-secret-{number}.txt")
        for client in neighbours.mine:
            page = client.get("/files")
            assert (page.json()["data"], page.json()["total"]) == ([own], 1)
            (usage,) = client.get("/usage").json()["data"]
            assert (usage["live_files"], usage["stored_bytes"]) == (1, 3)
            for foreign in (str(theirs["id"]), unknown("/v1/files/{file_id}")["file_id"]):
                refused = client.get("/files", params={"after": foreign})
                assert (refused.status_code, refused.json()["error"]["param"]) == (400, "after")
            for path in ("/files", "/usage", "/virtual-keys", "/configs", "/api-keys", "/audit-logs"):
                text = client.get(path).text
                assert "their-secret" not in text, path
                assert str(theirs["id"]) not in text, path
