"""A canary in every secret field of every provider, and in configs, is then in no answer, log line, metric or byte of the database."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from fileplane.routing.providers import PROVIDERS, ProviderEntry
from support.polling import eventually
from support.server import RunningServer, running_server

CANARY = "sk-canary-everywhere-3c5e7a9b1d2f"
SERVICE_ACCOUNT = {"type": "service_account", "client_email": "a@b.iam", "private_key": CANARY}
LAST = "the-last-of-the-credentials"


@pytest.fixture(scope="module")
def credential_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose log tells all that it ever tells."""
    with running_server(tmp_path_factory.mktemp("credentials") / "data", log_level="debug") as running:
        yield running


def complete(entry: ProviderEntry, spelling: int) -> dict[str, Any]:
    """Every field of a credential, by our names (0) or Portkey's (1), its secrets with the canary in them."""
    given: dict[str, Any] = {"custom_host": "https://files.example.com/v1"} if entry.needs_host else {}
    for field in entry.fields.values():
        name = (field.name, *field.aliases)[spelling]
        if field.service_account:
            given[name] = SERVICE_ACCOUNT
        elif field.secret:
            given[name] = CANARY
        elif field.example:
            given[name] = field.example
    return given


def requests_of(api: httpx2.Client, entry: ProviderEntry, refused: set[str]) -> Iterator[httpx2.Response]:
    """A credential's whole life in every view, and for fields that are not yet ``refused`` whatever it could be repeated in."""
    good = {"name": entry.title, "provider": entry.name}
    slugs = []
    for body in (good | complete(entry, 0), good | complete(entry, 1), good | {"model_config": complete(entry, 0)}):
        made = api.post("/virtual-keys", json=body)
        assert made.status_code == 200, made.text
        slugs.append(made.json()["slug"])
        yield made
    configurations = complete(entry, 0)
    key = {"key": configurations.pop("api_key")} if "api_key" in configurations else {}
    yield api.post("/integrations", json={"name": "Mine", "ai_provider_id": entry.name, "configurations": configurations, **key})
    for path in ("virtual-keys", "providers", "integrations"):
        yield api.get(f"/{path}/{slugs[0]}")
        yield api.get(f"/{path}")
    yield api.put(f"/virtual-keys/{slugs[0]}", json=complete(entry, 0) | {"note": "changed"})
    for name, value in complete(entry, 0).items():
        if name in refused:
            continue
        refused.add(name)
        for wrong in ({name: f"{value} \n"}, {name: [value]}, {name: {"x": value}}, {f"{name}x": value}, {name: f"env:{value} "}):
            yield api.post("/virtual-keys", json=good | complete(entry, 0) | wrong)
            yield api.put(f"/virtual-keys/{slugs[0]}", json=wrong)
            yield api.post("/integrations", json={"name": "Mine", "ai_provider_id": entry.name, "configurations": wrong})
    for wrong in ({"slug": CANARY.upper()}, {"usage_limits": CANARY}, {"expires_at": CANARY}, {"sharing": CANARY}):
        yield api.post("/virtual-keys", json=good | complete(entry, 0) | wrong)
    yield api.delete(f"/virtual-keys/{slugs[2]}")


def config_requests(api: httpx2.Client) -> Iterator[httpx2.Response]:
    document = {"provider": "openai", "api_key": CANARY, "my_token": CANARY, "aws_secret_access_key": CANARY}
    made = api.post("/configs", json={"name": "Mine", "config": document})
    assert made.status_code == 200, made.text
    slug = made.json()["slug"]
    yield made
    yield api.put(f"/configs/{slug}", json={"config": json.dumps(document)})
    for path in ("/configs", f"/configs/{slug}", f"/configs/{slug}/versions"):
        yield api.get(path)
    for wrong in (
        {"weight": CANARY},
        {"strategy": CANARY},
        {"api_key": [CANARY]},
        {"retry": {"attempts": CANARY}},
        {"virtual_key": CANARY.upper()},
    ):
        yield api.post("/configs", json={"name": "Mine", "config": {"provider": "openai", "api_key": CANARY} | wrong})
    yield api.post("/configs", json={"name": "Mine", "config": CANARY})
    yield api.post("/configs", json={"name": "Mine", "config": f'{{"api_key": "{CANARY}"'})


def test_a_secret_is_nowhere_but_where_it_belongs(credential_server: RunningServer) -> None:
    with credential_server.client() as api:
        refused: set[str] = set()
        responses = [response for entry in PROVIDERS.values() for response in requests_of(api, entry, refused)]
        responses += list(config_requests(api))
        assert {response.status_code for response in responses} == {200, 400}
        assert len(responses) > 500
        responses.append(httpx2.get(f"{credential_server.url}/metrics", headers=credential_server.headers, trust_env=False))
        responses.append(api.get("/audit-logs"))
        responses.append(api.get("/files", headers={"x-request-id": LAST}))
    eventually(lambda: LAST in credential_server.log, "the last access line", seconds=10)
    kept = b"".join(path.read_bytes() for path in credential_server.data_dir.iterdir() if path.is_file())
    assert b"virtual_keys" in kept
    forms = {CANARY, CANARY[3:-3], base64.b64encode(CANARY.encode()).decode().rstrip("="), CANARY.encode().hex(), json.dumps(CANARY)[1:-1]}
    for form in forms:
        assert not [response.text for response in responses if form in f"{response.text} {response.headers}"]
        assert form not in credential_server.log + credential_server.output
        assert form.encode() not in kept
