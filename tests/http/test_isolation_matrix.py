"""Every operation that names something by an id, as the OpenAPI document has them, asked for what is another's, was, and never was.

Not only the answers are the same: so is the SQL that was run for them, and the number of steps that it took. A caller that measures
learns nothing either. Ids of hostile forms, and what a list shows, are in test_isolation.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode

from fileplane.access import ORGANISATION_SCOPES
from fileplane.http.openapi import document
from fileplane.http.routes import OPERATIONS as ROUTES
from fileplane.settings import Settings
from support.path_values import Values, deleted, existing, filled, ids_of, is_of_providers, is_there, unknown
from support.statements import Statement, Statements, traced_statements
from support.timed_app import TimedApp, timed_app
from support.tus_schema import teach_bytes

DOCUMENT = document(Settings())
# Of what only providers have, tests/gateway/test_jobs_isolation.py asks.
OPERATIONS = [(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item if not is_of_providers(path)]
# What is the organisation's alone, no project's key gets near to; and what is not there is nobody's.
BY_PATH = [
    (operation.method, operation.path)
    for operation in ROUTES
    if ids_of(operation.path)
    and not is_of_providers(operation.path)
    and not {scope.value for scope in operation.scopes} <= ORGANISATION_SCOPES
]
BY_QUERY = [
    (method, path, parameter["name"])
    for method, path in OPERATIONS
    for parameter in DOCUMENT["paths"][path][method.lower()].get("parameters", [])
    if parameter["in"] == "query" and parameter["name"] in {"after", "before", "file_id"}
]
FORMS = 6
FILE = "/v1/files/{file_id}"
VARYING = {"x-request-id", "date"}
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)


teach_bytes()


@dataclass(frozen=True)
class Form:
    """One way to send an operation that its description admits, without the path's values and the key."""

    query: dict[str, Any]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Seen:
    """What one request shows: to the caller, and to a stop watch."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str
    statements: tuple[Statement, ...]


@dataclass(frozen=True)
class Matrix:
    """Two tenants of one application, whose statements are seen."""

    caller: httpx2.Client
    other: httpx2.Client
    statements: Statements

    def ask(self, method: str, path: str, form: Form, values: Values, query: Values | None = None) -> Seen:
        """The answer, with each of the given ids replaced by its name."""
        self.statements.taken()
        target = filled(path, values).removeprefix("/v1")
        response = self.caller.request(method, target, params={**form.query, **(query or {})}, headers=form.headers, content=form.body)
        statements = tuple(self.statements.taken())
        body = response.text
        for name, value in {**values, **(query or {})}.items():
            body = body.replace(value, name)
        headers = tuple((name, value) for name, value in response.headers.items() if name not in VARYING and name != "content-length")
        return Seen(response.status_code, headers, body, statements)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    directory = tmp_path_factory.mktemp("matrix") / "data"
    with traced_statements() as statements, timed_app(directory) as app, client_of(app) as caller, client_of(app) as other:
        for client in (caller, other):
            existing(client, FILE)
            deleted(client, FILE)
        yield Matrix(caller, other, statements)


def client_of(app: TimedApp) -> httpx2.Client:
    return app.client(app.new_key().plain)


def forms_of(method: str, path: str) -> list[Form]:
    """The same few every time: the plainest first, then with more of what may be left out."""
    forms: list[Form] = []

    @settings(
        max_examples=FORMS, derandomize=True, database=None, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=SCHEMA[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def collect(case: schemathesis.Case) -> None:
        sent = {name: value for name, value in case.as_transport_kwargs(base_url="http://localhost").items() if name in SENT}
        prepared = requests.Request(**sent).prepare()
        headers = {name: value for name, value in prepared.headers.items() if name.lower() in KEPT_HEADERS}
        body = prepared.body or b""
        forms.append(Form(dict(case.query or {}), headers, body if isinstance(body, bytes) else body.encode()))

    collect()
    return forms


SENT = {"method", "url", "headers", "params", "data", "json", "files"}
KEPT_HEADERS = {"content-type", "range", "if-range", "if-none-match", "if-match", "idempotency-key"}
KEPT_HEADERS |= {"tus-resumable", "upload-offset", "upload-length", "upload-checksum"}


def named(entry: object) -> str:
    return str(entry)


@pytest.mark.parametrize(("method", "path"), BY_PATH, ids=named)
def test_what_is_anothers_is_answered_as_what_never_was_by_the_same_statements(matrix: Matrix, method: str, path: str):
    own = existing(matrix.caller, path)
    *_, last = ids_of(path)
    looked_up = 0
    for form in forms_of(method, path):
        theirs, gone = existing(matrix.other, path), deleted(matrix.other, path)
        expected = matrix.ask(method, path, form, unknown(path))
        assert expected.status >= 400
        looked_up += bool(expected.statements)
        for number, values in enumerate((theirs, gone, unknown(path, 1))):
            assert matrix.ask(method, path, form, values) == expected, ("theirs", "deleted", "unknown")[number]
        # What hangs on a file of one's own may be another's all the same.
        if len(ids_of(path)) > 1:
            expected = matrix.ask(method, path, form, own | {last: unknown(path)[last]})
            assert expected.status >= 400
            for values in (theirs, gone):
                assert matrix.ask(method, path, form, own | {last: values[last]}) == expected
        assert is_there(matrix.other, theirs)
        assert not is_there(matrix.other, gone)
    assert looked_up, "every form was refused for itself, so that the comparison shows nothing"


@pytest.mark.parametrize(("method", "path", "parameter"), BY_QUERY, ids=named)
def test_an_id_in_a_query_tells_nothing_of_another_either(matrix: Matrix, method: str, path: str, parameter: str):
    form = Form({}, {}, b"")
    ids = [values["file_id"] for values in (unknown(FILE), existing(matrix.other, FILE), deleted(matrix.other, FILE), unknown(FILE, 1))]
    expected, *others = [matrix.ask(method, path, form, {}, {parameter: file_id}) for file_id in ids]
    assert expected.statements
    assert others == [expected] * 3


def test_a_difference_of_one_step_would_be_seen(matrix: Matrix):
    form = Form({}, {}, b"")
    found, missing = [matrix.ask("HEAD", FILE, form, values) for values in (existing(matrix.caller, FILE), unknown(FILE))]
    assert [sql for sql, _ in found.statements] == [sql for sql, _ in missing.statements]
    assert found.statements != missing.statements
