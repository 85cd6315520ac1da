"""Whatever is sent by the server's own OpenAPI document, or against it, the answers are those that the document shows."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Verbosity, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fileplane import errors
from fileplane.access import ORGANISATION_SCOPES
from fileplane.http.openapi import document
from fileplane.http.routes import OPERATIONS, Operation
from fileplane.http.tus_handlers import TUS
from fileplane.model import INPUT_PURPOSES
from fileplane.settings import Settings
from support.bodies import BODIES, completion_of
from support.contract import Contract
from support.path_values import deleted, existing, ids_of, is_of_providers, unknown
from support.projects import new_tenant_key
from support.server import RunningServer, running_server
from support.server_log import assert_no_trouble
from support.tenants import NewTenant, Tenant
from support.tus_schema import teach_bytes

teach_bytes()

# Not among them: that whatever the document admits is accepted. It leaves open which purposes there are and which files exist.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
FEW, MANY = 25, 500
MOST_ROUNDS = 10
FRAMING = {"transfer-encoding", "content-length"}
"""Headers that the HTTP server itself refuses where they are wrong, before there is a path and without an envelope."""
# What only providers have is held against the document by every call of tests/support/jobs.py.
# What tus has is more than a document can say; the answers of tests/http/test_tus.py are held against it, too.
PROVIDED = [
    one for one in OPERATIONS if errors.NotProvided not in one.fails_with and not is_of_providers(one.path) and not one.path.startswith(TUS)
]
MOST_LISTED = 100

HOSTILE_TOKENS = [
    "' OR '1'='1",
    "' OR 1=1 --",
    "'; DROP TABLE api_keys; --",
    "fpk_'; UPDATE api_keys SET revoked_at = NULL; --",
    "x' UNION SELECT id, project_id, name, name, hint, scopes, 1, 0, NULL, NULL FROM api_keys --",
    '" OR ""="',
    "%' ESCAPE '!",
    "%27%20OR%201%3D1",
    "'||(SELECT hint FROM api_keys)||'",
    "x'; ATTACH DATABASE 'stolen.db' AS stolen; --",
    ":key_hash",
    "?",
    "NULL",
    "\xff\xfe",
    "fpk_" + "0" * 43,
    "k" * 8_000,
]
HOSTILE_IDS = [
    "' OR '1'='1",
    "'; DROP TABLE files; --",
    "x' UNION SELECT * FROM files --",
    "../../fileplane.db",
    "..",
    "%00",
    "file-\0",
    "content",
    "*",
    "null",
    "-1",
    "{file_id}",
    "\ud7ff\uffff",
    "x" * 8_000,
    "01900000-0000-7000-8000-00000000000",
    "file-0190000000007000800000000000000G",
]

# Cases at the edges of every schema, and methods that no path has, as they are enumerated from the document of the same settings.
BOUNDARIES = schemathesis.openapi.from_dict(document(Settings(max_list_limit=MOST_LISTED)))
BOUNDARIES.config.phases.fuzzing.enabled = False
BOUNDARIES.config.phases.examples.enabled = False
# What is not of tus 1.0.0 is refused as tus has it.
for _check in (BOUNDARIES.config.checks.negative_data_rejection, BOUNDARIES.config.checks.missing_required_header):
    _check.expected_statuses = [*_check.expected_statuses, "412"]


def named(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def is_the_organisations(operation: Operation) -> bool:
    return operation.scope is not None and operation.scope.value in ORGANISATION_SCOPES


def _mend(body: dict[str, Any]) -> bool:
    """What the document cannot say of projects and API keys: which scopes there are, and what is only there to be refused."""
    wanting = body.keys() & {
        *("usage_limits", "alert_emails", "rotation_policy", "reset_usage", "users", "defaults", "rate_limits", "expires_at"),
        *("id", "type", "sub-type", "workspace_id", "workspaceId", "organisation_id", "slug"),
    }
    for name in wanting:
        del body[name]
    if "scopes" in body:
        body["scopes"] = ["files.read"]
    return bool(wanting) or "scopes" in body


class Explored:
    """A server with its document, and two tenants; :meth:`explore` sends one operation whatever can be made for it."""

    def __init__(self, schema: BaseSchema, session: requests.Session, tenant: Tenant, other: Tenant) -> None:
        self.schema = schema
        self.session = session
        self.tenant = tenant
        self.other = other
        self.answered: Counter[int] = Counter()
        self.organisation = httpx2.Client(base_url=tenant.server.base_url, headers=tenant.server.headers, trust_env=False, verify=False)

    def cases(self, operation: Operation) -> st.SearchStrategy[schemathesis.Case]:
        described = self.schema[operation.path][operation.method]
        return st.one_of([described.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)])

    def headers_for(self, operation: Operation) -> dict[str, str]:
        """Of a caller who may do it: a few things only the organisation may."""
        return dict(self.tenant.server.headers if is_the_organisations(operation) else self.tenant.headers)

    def explore(self, operation: Operation, examples: int, seeded: Callable[[Any], Any] | None = None) -> None:
        """``seeded`` makes it random; without it, the cases are the same every time."""

        @settings(
            max_examples=examples,
            derandomize=seeded is None,
            database=None,
            deadline=None,
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=self.cases(operation), data=st.data())
        def every_answer_is_documented(case: schemathesis.Case, data: st.DataObject) -> None:
            mended = [self._give_path(case, operation, data), self._give_meaning(case, data), self._give_body(case, operation, data)]
            for name in [name for name in case.headers if name.lower() in FRAMING]:
                del case.headers[name]
            credentials, replaced = self._credentials(case, operation, data)
            response = case.call(base_url=self.tenant.server.url, session=self.session, headers=credentials)
            self.answered[response.status_code] += 1
            # What was wrong with a case may be just what has been replaced; then it has no need to be refused.
            case.validate_response(response, checks=CHECKS if replaced or any(mended) else [*CHECKS, negative_data_rejection])

        (seeded(every_answer_is_documented) if seeded else every_answer_is_documented)()

    def _give_path(self, case: schemathesis.Case, operation: Operation, data: st.DataObject) -> bool:
        """What the path names is most often something that is, was, or is another's; the document's own cases are never that."""
        path = operation.path
        if not ids_of(path):
            return False
        sources: dict[str, Callable[[], dict[str, str]]] = {
            "existing": lambda: existing(self.organisation if is_the_organisations(operation) else self.tenant.client, path),
            "as generated": lambda: dict(case.path_parameters),
            "deleted": lambda: deleted(self.organisation if is_the_organisations(operation) else self.tenant.client, path),
            # Of a tenant's own project nobody is robbed: the organisation may remove it, with the tenant's key.
            "another's": lambda: existing(self.organisation if is_the_organisations(operation) else self.other.client, path),
            "unknown": lambda: unknown(path),
            "hostile": lambda: {name: quote(data.draw(st.sampled_from(HOSTILE_IDS)), safe="", errors="replace") for name in ids_of(path)},
        }
        chosen = data.draw(st.sampled_from(list(sources)), label="path")
        case.path_parameters.update(sources[chosen]())
        return chosen != "as generated"

    def _give_body(self, case: schemathesis.Case, operation: Operation, data: st.DataObject) -> bool:
        """What the document cannot say of a record to be made: which provider has which fields, and which integrations there are."""
        made = BODIES.get(named(operation))
        if made is None or not data.draw(st.booleans(), label="a good body"):
            return False
        if operation.path.endswith("/complete"):
            case.body = completion_of(self.tenant.client, str(case.path_parameters["upload_id"]))
        else:
            case.body = made(self.tenant.client)
        return True

    def _give_meaning(self, case: schemathesis.Case, data: st.DataObject) -> bool:
        """What the document cannot say of an upload: which purposes the operator admits, and that an expiry has one of two spellings."""
        body = case.body
        if not isinstance(body, dict) or not data.draw(st.sampled_from([True, True, False]), label="meaningful"):
            return False
        if not isinstance(body.get("purpose"), str):
            return _mend(body)
        body["purpose"] = data.draw(st.sampled_from(INPUT_PURPOSES), label="purpose")
        spellings = [name for name in body if name.startswith("expires_after")]
        for name in spellings if "expires_after" in spellings or len(spellings) == 1 else ():
            del body[name]
        return True

    def _credentials(self, case: schemathesis.Case, operation: Operation, data: st.DataObject) -> tuple[dict[str, str], bool]:
        """Headers, and whether they stand for some that the case had."""
        kind = data.draw(st.sampled_from(["good", "good", "good", "bearer", "portkey", "as generated"]), label="credentials")
        token = data.draw(st.sampled_from(HOSTILE_TOKENS), label="token")
        if kind == "as generated":
            return {}, False
        theirs = [name for name in case.headers if name.lower() in {"authorization", "x-portkey-api-key"}]
        for name in theirs:
            del case.headers[name]
        if kind == "good":
            return self.headers_for(operation), bool(theirs)
        return {"x-portkey-api-key": token} if kind == "portkey" else {"Authorization": f"Bearer {token}"}, bool(theirs)


@pytest.fixture(scope="module")
def explored_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server of its own, since its whole log is looked through in the end."""
    with running_server(tmp_path_factory.mktemp("schema") / "data", max_list_limit=MOST_LISTED) as running:
        yield running
        assert_no_trouble(running)


@pytest.fixture(scope="module")
def schema(explored_server: RunningServer) -> BaseSchema:
    """The document of the server."""
    return schemathesis.openapi.from_dict(httpx2.get(f"{explored_server.url}/openapi.json", trust_env=False, verify=False).json())


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Connections that last from case to case."""
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def explored(schema: BaseSchema, session: requests.Session, new_tenant: NewTenant, explored_server: RunningServer) -> Iterator[Explored]:
    explored = Explored(schema, session, new_tenant(explored_server), new_tenant(explored_server))
    for tenant in (explored.tenant, explored.other):
        # A config may be made that all requests go by which name no route, and that leads nowhere.
        tenant.client.headers["x-portkey-provider"] = "fileplane"
    yield explored
    explored.organisation.close()


@pytest.fixture(scope="module")
def boundary_tenant(explored_server: RunningServer, contract_of: Callable[[RunningServer], Contract]) -> Iterator[Tenant]:
    tenant = Tenant(explored_server, new_tenant_key(explored_server.data_dir), contract_of(explored_server))
    with tenant.client:
        yield tenant


def assert_unharmed(explored: Explored) -> None:
    """Hostile requests have let nobody in, and have dropped nothing."""
    for tenant in (explored.tenant, explored.other):
        assert existing(tenant.client, "/v1/files/{file_id}")
        assert tenant.client.get("/files").json()["total"] >= 1
    assert httpx2.get(f"{explored.tenant.server.url}/readyz", trust_env=False, verify=False).status_code == 200


def reached(explored: Explored, operation: Operation) -> bool:
    """Whether what was sent did not only knock at the door: some of it was carried out, and some was refused."""
    refused = bool(explored.answered[401]) or operation.scope is None
    missed = bool(explored.answered[404]) or not ids_of(operation.path)
    return refused and missed and any(status < 400 for status in explored.answered)


@pytest.mark.parametrize("operation", PROVIDED, ids=named)
def test_every_answer_is_one_that_the_document_shows(explored: Explored, operation: Operation):
    explored.explore(operation, FEW)
    # Which cases there are depends on the constants of all modules that are loaded: a few may lack one kind.
    for number in range(MOST_ROUNDS):
        if reached(explored, operation):
            break
        explored.explore(operation, FEW, seed(number))
    assert reached(explored, operation), explored.answered
    assert_unharmed(explored)


@BOUNDARIES.parametrize()
def test_every_answer_at_the_edges_of_the_document_is_one_that_it_shows(
    case: schemathesis.Case, boundary_tenant: Tenant, session: requests.Session
):
    response = case.call(base_url=boundary_tenant.server.url, session=session, headers=boundary_tenant.headers)
    # What is not provided is answered 501, as documented.
    excluded = [not_a_server_error] if response.status_code == 501 else []
    case.validate_response(response, excluded_checks=[positive_data_acceptance, *excluded])


def test_the_server_describes_itself_as_the_edges_were_drawn_from(explored: Explored):
    assert explored.schema.raw_schema == BOUNDARIES.raw_schema


@pytest.mark.full
@pytest.mark.parametrize("operation", PROVIDED, ids=named)
def test_every_answer_to_a_great_many_random_requests_is_one_that_the_document_shows(explored: Explored, operation: Operation):
    number = secrets.randbits(64)
    print(f"seed: {number}")  # noqa: T201 - shown with a failure, which can then be had again
    explored.explore(operation, MANY, seed(number))
    assert reached(explored, operation), explored.answered
    assert_unharmed(explored)
