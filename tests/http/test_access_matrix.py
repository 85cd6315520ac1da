"""Every operation, asked by nobody, by a key without the scope, with it, of another project, and of the organisation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import httpx2
import pytest

from fileplane.access import ALL_SCOPES, ORGANISATION_SCOPES
from fileplane.http.routes import OPERATIONS, Operation
from fileplane.http.tus_handlers import TUS
from fileplane.ids import new_api_key
from support.bodies import BODIES, completion_of
from support.path_values import Values, existing, filled, ids_of, is_of_providers, is_there
from support.timed_app import TimedApp, timed_app
from support.tus import headers_of as tus_headers_of

GUARDED = [operation for operation in OPERATIONS if operation.scope is not None]
NAMING = [operation for operation in GUARDED if ids_of(operation.path)]


@dataclass(frozen=True)
class Callers:
    """Clients by what their key is. All but ``foreign`` and ``organisation`` are of one project."""

    app: TimedApp
    project_id: str
    all_scopes: httpx2.Client
    foreign: httpx2.Client
    organisation: httpx2.Client

    def with_scopes(self, scopes: frozenset[str]) -> httpx2.Client:
        return self.app.client(self.app.new_key(project_id=self.project_id, scopes=scopes).plain)


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with timed_app(tmp_path_factory.mktemp("access") / "data") as app, ExitStack() as stack:
        root = new_api_key()
        app.new_organisation_key(root)
        key, foreign = app.new_key(), app.new_key()
        clients = [stack.enter_context(app.client(plain)) for plain in (key.plain, foreign.plain, root)]
        yield Callers(app, key.project_id, *clients)


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def ask(client: httpx2.Client, operation: Operation, values: Values, maker: httpx2.Client | None = None) -> httpx2.Response:
    """``maker`` makes what the body names, where the client may not."""
    name = operation.handler.__name__
    body: dict[str, object] = {}
    if name == "upload_file":
        body = {"data": {"purpose": "user_data"}, "files": {"file": ("some.txt", b"x")}}
    elif name == "add_part":
        body = {"files": {"data": ("upload", b"x")}}
    elif name == "complete_upload":
        body = {"json": completion_of(maker or client, values["upload_id"])}
    elif operation.takes is not None:
        made = BODIES.get(named(operation))
        body = {"json": {} if made is None else made(maker or client)}
    if operation.path.startswith(TUS):
        body = {"headers": tus_headers_of(operation.method)}
    return client.request(operation.method, f"http://in-process{filled(operation.path, values)}", **body)


def is_the_organisations(operation: Operation) -> bool:
    return operation.scope is not None and operation.scope.value in ORGANISATION_SCOPES


def is_of_the_control_plane(operation: Operation) -> bool:
    names = ("file", "upload", TUS)
    return not any(name in operation.path for name in names) and not is_of_providers(operation.path)


def succeeding(operation: Operation) -> int:
    return 501 if is_of_providers(operation.path) else operation.status


def missing(operation: Operation) -> int:
    return 501 if is_of_providers(operation.path) else 404


@pytest.mark.parametrize("operation", GUARDED, ids=named)
def test_nobody_may_do_anything(callers: Callers, operation: Operation):
    values = existing(callers.all_scopes, operation.path)
    for headers in ({}, {"Authorization": "Bearer fpk_wrong"}):
        with callers.app.client("fpk_wrong") as nobody:
            nobody.headers.pop("Authorization")
            nobody.headers.update(headers)
            assert ask(nobody, operation, values, callers.all_scopes).status_code == 401
    assert is_there(callers.all_scopes, values)


@pytest.mark.parametrize("operation", GUARDED, ids=named)
def test_every_scope_but_the_one_that_is_needed_is_not_enough(callers: Callers, operation: Operation):
    values = existing(callers.all_scopes, operation.path)
    with callers.with_scopes(ALL_SCOPES - {scope.value for scope in operation.scopes}) as client:
        refused = ask(client, operation, values, callers.all_scopes)
    assert refused.status_code == 403
    if operation.method != "HEAD":
        assert refused.json()["error"]["code"] == "missing_scope"
    assert is_there(callers.all_scopes, values)


@pytest.mark.parametrize("operation", GUARDED, ids=named)
def test_the_scope_alone_is_enough_for_what_is_ones_own_and_the_organisations_is_not(callers: Callers, operation: Operation):
    values = existing(callers.all_scopes, operation.path)
    scopes = {scope.value for scope in operation.scopes} | {"files.read"}
    if operation.path.endswith("/restore"):
        assert callers.all_scopes.delete(f"/files/{values['file_id']}").status_code == 200
    with callers.with_scopes(frozenset(scopes)) as client:
        answered = ask(client, operation, values)
    assert answered.status_code == (403 if is_the_organisations(operation) else succeeding(operation)), answered.text


@pytest.mark.parametrize("operation", NAMING, ids=named)
def test_another_project_finds_nothing_whatever_its_scopes(callers: Callers, operation: Operation):
    values = existing(callers.all_scopes, operation.path)
    answered = ask(callers.foreign, operation, values)
    assert answered.status_code == (403 if is_the_organisations(operation) else missing(operation))
    assert is_there(callers.all_scopes, values)


@pytest.mark.parametrize("operation", [operation for operation in GUARDED if is_of_the_control_plane(operation)], ids=named)
def test_the_organisation_may_do_everything_of_the_control_plane_in_any_project(callers: Callers, operation: Operation):
    maker = callers.organisation if operation.handler.__name__ == "delete_workspace" else callers.all_scopes
    assert ask(callers.organisation, operation, existing(maker, operation.path)).status_code == 200


@pytest.mark.parametrize("operation", [operation for operation in NAMING if "{file_id}" in operation.path], ids=named)
def test_the_organisation_has_no_files_but_those_of_the_project_it_works_in(callers: Callers, operation: Operation):
    values = existing(callers.all_scopes, operation.path)
    assert ask(callers.organisation, operation, values).status_code == 404
    assert is_there(callers.all_scopes, values)
