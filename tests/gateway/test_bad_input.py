"""Everything that can be wrong with a route, an id or an upload: one typed error each, and nothing is left upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.conftest import Fake, Project, as_header
from support.raw_http import Connection
from support.wire import ask, refusal_before_the_body, request_head

DEAD = "http://127.0.0.1:9/v1"
REFUSED: dict[str, tuple[dict[str, Any], int, str | None, str | None]] = {
    "an unknown provider": ({"x-portkey-provider": "nobody"}, 400, "invalid_value", "x-portkey-provider"),
    "a provider without files": ({"x-portkey-provider": "deepseek"}, 501, "unsupported_provider_operation", "x-portkey-provider"),
    "an unknown virtual key in a config": (as_header({"virtual_key": "nobody"}), 400, "invalid_value", "virtual_key"),
    "an unknown provider in a config": (as_header({"provider": "nobody", "api_key": "x"}), 400, "invalid_value", "x-portkey-provider"),
    "an unknown config in a config": (as_header({"targets": [{"config": "pc-nobody"}]}), 400, "invalid_value", "targets[0].config"),
    "an inline config that is no object": ({"x-portkey-config": "[1]"}, 400, "invalid_value", "config"),
    "two virtual keys": ({"x-portkey-provider": "@one", "x-portkey-virtual-key": "two"}, 400, "invalid_value", "x-portkey-provider"),
    "a timeout that is none": ({"x-portkey-request-timeout": "soon"}, 400, "invalid_value", "x-portkey-request-timeout"),
    "metadata that are no JSON": ({"x-portkey-metadata": "{"}, 400, "invalid_value", "x-portkey-metadata"),
    "a header that is never passed on": ({"x-portkey-forward-headers": "cookie"}, 400, "invalid_value", "x-portkey-forward-headers"),
    "a host beside a stored credential": (
        {"x-portkey-virtual-key": "some", "x-portkey-custom-host": DEAD},
        400,
        "invalid_value",
        "x-portkey-custom-host",
    ),
    "a host that is a metadata service": ({"x-portkey-custom-host": "http://169.254.169.254/v1"}, 400, "invalid_value", None),
    "a host with a user": ({"x-portkey-custom-host": "http://user:pw@127.0.0.1/v1"}, 400, "invalid_value", "x-portkey-custom-host"),
    "a provider without an adapter": ({"x-portkey-provider": "databricks"}, 501, "unsupported_provider_operation", "x-portkey-provider"),
    "an unknown virtual key": ({"x-portkey-virtual-key": "nobody"}, 400, "invalid_value", "x-portkey-virtual-key"),
    "an unknown slug": ({"x-portkey-provider": "@nobody"}, 400, "invalid_value", "x-portkey-virtual-key"),
    "an unknown config": ({"x-portkey-config": "pc-nobody"}, 400, "invalid_value", "x-portkey-config"),
    "an inline config that is no JSON": ({"x-portkey-config": "{"}, 400, "invalid_value", "config"),
    "an unknown strategy": (as_header({"strategy": {"mode": "any"}, "targets": []}), 400, "invalid_value", "strategy.mode"),
    "a header that is empty": ({"x-portkey-provider": ""}, 400, "invalid_value", "x-portkey-provider"),
    "a host that is refused": ({"x-portkey-custom-host": "http://10.0.0.1/v1"}, 400, "invalid_value", None),
    "a host that is none": ({"x-portkey-custom-host": "file:///etc/passwd"}, 400, "invalid_value", "x-portkey-custom-host"),
    "a host nobody listens at": ({"x-portkey-custom-host": DEAD}, 502, "upstream_unreachable", None),
    "the identity of the machine": (
        {"x-portkey-provider": "azure-openai", "x-portkey-azure-auth-mode": "managed", "x-portkey-azure-resource-name": "some"},
        400,
        "invalid_value",
        "x-portkey-provider",
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
@pytest.mark.parametrize("call", ["upload", "list"])
def test_a_wrong_route_is_one_typed_error(project: Project, fake: Fake, case: str, call: str) -> None:
    headers, status, code, param = REFUSED[case]
    sent = {**project.own, **headers}
    if param in {"x-portkey-virtual-key", "virtual_key"} or case == "two virtual keys":
        del sent["x-portkey-custom-host"]
    answer = project.upload(sent) if call == "upload" else project.client.get("/files", headers=sent)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert param is None or error["param"] == param
    assert project.credential not in answer.text
    assert fake.requests() == []


def test_a_missing_credential_is_told(project: Project, fake: Fake) -> None:
    answer = project.client.get("/files", headers={"x-portkey-provider": "openai"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "authorization")
    assert fake.requests() == []


@pytest.mark.parametrize("name", ["custom-host", "azure-resource-name", "azure-foundry-url", "vertex-region"])
def test_no_header_leads_a_stored_credential_elsewhere(project: Project, fake: Fake, name: str) -> None:
    value = "https://example.com/v1" if name in {"custom-host", "azure-foundry-url"} else "elsewhere"
    headers = {"x-portkey-virtual-key": project.virtual_key(), f"x-portkey-{name}": value}
    answer = project.client.get("/files", headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, f"x-portkey-{name}")
    assert fake.requests() == []


@pytest.mark.parametrize("written", ["..%2Fmodels", "%2e%2e", "a%3Fb", "a%23b", "a%5Cb", "%00", "a%2Fb", "x" * 500])
@pytest.mark.parametrize("way", ["own", "stored"])
def test_an_id_that_would_lead_elsewhere_does_not_exist(project: Project, fake: Fake, written: str, way: str) -> None:
    headers = project.own if way == "own" else {"x-portkey-virtual-key": project.virtual_key()}
    for path in ("", "/content"):
        answer = project.client.get(f"/files/{written}{path}", headers=headers)
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "id"), answer.text
    assert fake.requests() == []


@pytest.mark.parametrize("written", ["../models", "%2e%2e", "%2E%2E/models", "..%2f..%2fmodels", "a\\b", "..\\models", "a%5cb", "a?b=c"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_an_id_as_nobody_writes_it_leads_nowhere(project: Project, fake: Fake, method: str, written: str) -> None:
    key = ("x-portkey-api-key", project.key)
    target = f"/v1/files/{written}" if "?" not in written else f"/v1/files/a%3Fb%3Dc/content?{written}"
    for suffix in ("", "/content"):
        answer = ask(project.server, request_head(method, target + suffix, key, *project.own.items()), method=method)
        assert answer.status_code in {400, 404, 405}, answer.text
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert fake.requests() == []


def test_a_file_larger_than_the_provider_takes_is_refused_before_its_body(project: Project, fake: Fake) -> None:
    head = request_head(
        "POST",
        "/v1/files",
        ("x-portkey-api-key", project.key),
        *(project.own | {"x-portkey-provider": "x-ai"}).items(),
        ("content-type", "multipart/form-data; boundary=b"),
        ("content-length", str(60 << 20)),
    )
    with Connection(project.server) as connection:
        connection.send(head)
        answer = refusal_before_the_body(connection)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")
    assert str(50 << 20) in answer.json()["error"]["message"]
    assert fake.requests() == []


def test_a_file_that_turns_out_larger_than_the_provider_takes_is_cut_off(project: Project, fake: Fake) -> None:
    block = bytes(1 << 20)

    def body() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
        yield from (block for _ in range(51))
        yield b"\r\n--b--\r\n"

    headers = project.own | {"x-portkey-provider": "x-ai", "content-type": "multipart/form-data; boundary=b"}
    answer = project.client.post("/files", headers=headers, content=body())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "file_too_large")
    assert [one["body_complete"] for one in fake.requests("upload")] in ([], [False])
    assert fake.files(project.credential) == []


def test_a_providers_refusal_keeps_its_words_after_its_name(project: Project, fake: Fake) -> None:
    body = {"error": {"message": "No such purpose", "type": "odd_error", "code": "odd", "param": "purpose"}}
    fake.plan("refuse", "upload", status=422, body=body)
    answer = project.upload(project.own)
    assert (answer.status_code, answer.json()) == (422, {"error": body["error"] | {"message": "openai: No such purpose"}})
    assert answer.headers["x-portkey-provider"] == "openai"


def test_a_config_without_a_provider_is_told(project: Project, fake: Fake) -> None:
    answer = project.client.get("/files", headers=as_header({"retry": {"attempts": 1}}))
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-portkey-config")
    assert fake.requests() == []


def test_a_purpose_that_the_provider_lacks_is_told_with_those_it_has(project: Project, fake: Fake) -> None:
    answer = project.upload({**project.own, "x-portkey-provider": "groq"}, purpose="nonsense")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "purpose")
    assert "'batch'" in answer.json()["error"]["message"]
    assert fake.requests("upload") == []


def test_no_secret_is_in_the_log(project: Project) -> None:
    project.upload(project.own)
    project.upload(as_header({"provider": "openai", "api_key": project.credential, "custom_host": DEAD}))
    assert project.credential not in project.server.log
    assert project.credential not in json.dumps(project.client.get("/audit-logs").json())


def test_no_forwarded_header_makes_a_stored_credential_call_for_somebody_else(project: Project, fake: Fake) -> None:
    forwarded = {"x-portkey-forward-headers": "OpenAI-Project, x-custom", "openai-project": "proj_other", "x-custom": "kept"}
    stored = project.client.get("/files", headers={"x-portkey-virtual-key": project.virtual_key(sharing="account")} | forwarded)
    assert (stored.status_code, stored.json()["error"]["param"]) == (400, "openai-project")
    assert fake.requests() == []
    own = project.client.get("/files", headers=project.own | forwarded)
    assert own.status_code == 200
    [request] = fake.requests()
    assert request["headers"].items() >= {"openai-project": "proj_other", "x-custom": "kept"}.items()


@pytest.mark.parametrize("name", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-HTTP-Method-Override"])
def test_no_forwarded_header_leads_a_call_to_another_path_than_the_one_that_was_checked(project: Project, fake: Fake, name: str) -> None:
    headers = {"x-portkey-virtual-key": project.virtual_key()}
    file_id = project.upload(headers).json()["id"]
    forwarded = {"x-portkey-forward-headers": f"{name}, x-custom", name: "/v1/files/file-of-somebody-else", "x-custom": "kept"}
    assert project.client.get(f"/files/{file_id}", headers=headers | forwarded).status_code == 200
    [request] = fake.requests("get")
    assert name.lower() not in request["headers"]
    assert request["headers"]["x-custom"] == "kept"
