from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest

from fileplane.http.not_provided import NOT_PROVIDED, Missing
from fileplane.http.routes import OPERATIONS
from support.documents import read
from support.expect import assert_openai_error
from support.server import RunningServer
from support.tenants import NewTenant

SDKS = Path(__file__).parents[1] / "sdk"
CALLS_OF_SDKS = [
    ("GET", "/admin/users"),
    ("PUT", "/admin/users/x"),
    ("POST", "/admin/users/invites"),
    ("POST", "/admin/users/invites/x/resend"),
    ("GET", "/admin/workspaces/x/users"),
    ("PUT", "/admin/workspaces/x/users/y"),
    ("GET", "/prompts"),
    ("POST", "/prompts/x/completions"),
    ("POST", "/prompts/x/render"),
    ("PUT", "/prompts/x/makeDefault"),
    ("GET", "/prompts/x/versions/y"),
    ("GET", "/prompts/partials/x"),
    ("POST", "/v1/prompts/x/generate"),
    ("POST", "/prompt/complete"),
    ("GET", "/guardrails"),
    ("PUT", "/labels/x"),
    ("DELETE", "/collections/x"),
    ("POST", "/logs"),
    ("POST", "/logs/exports/x/start"),
    ("GET", "/analytics/graphs/cost"),
    ("GET", "/analytics/groups/metadata/x"),
    ("POST", "/feedback"),
    ("PUT", "/feedback/x"),
    ("GET", "/policies/usage-limits/x/entities"),
    ("POST", "/policies/rate-limits"),
    ("GET", "/secret-references"),
    ("POST", "/mcp-integrations/x/sync"),
    ("GET", "/mcp-servers/x/user-access/check"),
    ("PUT", "/integrations/x/models"),
]


@pytest.mark.parametrize(("method", "path"), CALLS_OF_SDKS)
def test_what_is_not_there_is_said_to_whoever_has_a_key_and_to_nobody_else(new_tenant: NewTenant, method: str, path: str):
    tenant = new_tenant(scopes=frozenset())
    url = f"{tenant.server.base_url}{path}"
    answer = httpx2.request(method, url, headers=tenant.headers, trust_env=False, verify=False)
    message = assert_openai_error(answer, 501, "not_provided", definitive=True)
    assert message.startswith("Fileplane does not have ")
    for headers, code in (({}, None), ({"Authorization": "Bearer fpk_wrong"}, "invalid_api_key")):
        assert_openai_error(httpx2.request(method, url, headers=headers, trust_env=False, verify=False), 401, code)


@pytest.mark.parametrize("missing", NOT_PROVIDED, ids=lambda missing: missing.path)
def test_everything_that_is_not_there_is_in_the_description_of_the_api(missing: Missing):
    assert f"| `{missing.path}` | {missing.what} |" in read("docs/api.md")


def test_nothing_that_is_there_is_among_what_is_not():
    for missing in NOT_PROVIDED:
        pattern = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(missing.path)) + "(/.*)?")
        assert not [operation.path for operation in OPERATIONS if pattern.fullmatch(operation.path)]


@pytest.mark.parametrize("path", ["/promptsx", "/admin", "/admin/userss", "/chat/completions", "/batch", "/uploadsx", "/models"])
def test_what_only_looks_like_it_is_unknown_as_ever(server: RunningServer, path: str):
    response = httpx2.get(f"{server.base_url}{path}", headers=server.headers, trust_env=False, verify=False)
    assert_openai_error(response, 404, "unknown_url")
