"""GET /v1/capabilities says of every provider, and of a route's targets, what the calls then really do."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import pytest

from fileplane.http.capability_schemas import CapabilityList
from fileplane.providers.base import Target
from fileplane.providers.egress import Egress
from fileplane.providers.registry import Registry
from fileplane.settings import Settings
from gateway.conftest import Project, as_header
from support.projects import new_key

CALLS = ["upload", "list", "retrieve", "content", "delete"]
REGISTRY = Registry(Egress(Settings()))


def told(project: Project, query: str = "", **headers: str) -> list[dict[str, Any]]:
    answer = project.client.get(f"/capabilities{query}", headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == 200, answer.text
    assert msgspec.json.decode(answer.content, type=CapabilityList).object == "list"
    return answer.json()["data"]


def support_at(project: Project, provider: str) -> dict[str, str]:
    [entry] = told(project, f"?provider={provider}")
    return {name: call["support"] for name, call in entry["calls"].items()}


def test_every_provider_that_can_be_called_is_there_and_the_native_store_first(project: Project) -> None:
    entries = told(project)
    assert [entry["provider"] for entry in entries] == ["fileplane", *sorted(REGISTRY.names)]
    for entry in entries:
        assert list(entry["calls"]) == CALLS
        assert "target" not in entry
        assert all((call["reason"] is None) == (call["support"] == "full") for call in entry["calls"].values())
    assert project.fake.requests() == []


@pytest.mark.parametrize("name", sorted(REGISTRY.names))
def test_what_is_told_of_a_provider_is_what_its_adapter_declares(project: Project, name: str) -> None:
    [entry] = told(project, f"?provider={name}")
    can = REGISTRY.get(name).capabilities(Target(name))
    assert entry["provider"] == name
    for call, field in zip(CALLS, ("upload", "list", "get", "download", "delete"), strict=True):
        assert (entry["calls"][call]["support"] != "none") is getattr(can, field), call
    assert entry["calls"]["content"]["support"] != "full" or (can.downloads_uploads and can.original_bytes)
    assert entry["downloads_uploads"] == (can.download and can.downloads_uploads)
    assert entry["limits"]["max_bytes"] == can.max_bytes
    assert entry["limits"]["max_bytes_of"] == dict(can.max_bytes_of)
    assert entry["expiry"]["own"] == (None if can.expiry is None else {"shortest": can.expiry.shortest, "longest": can.expiry.longest})
    assert entry["expiry"]["default_seconds"] == can.default_expiry_seconds
    assert entry["purposes"] == (None if can.purposes is None else sorted(can.purposes))
    assert entry["keeps"] == [name for name in ("bytes", "filename", "purpose") if getattr(can, f"keeps_{name}")]
    assert entry["jobs"] == sorted(kind.value for kind in can.jobs)
    assert entry["uploads"]["support"] == ("assembled" if can.uploads is None else "native")
    assert set(entry["unverified"]) == can.unverified


def test_what_is_lacking_is_said_with_a_reason(project: Project) -> None:
    assert support_at(project, "openrouter")["content"] == "none"
    assert support_at(project, "moonshot")["content"] == "extracted_text"
    assert set(support_at(project, "openai").values()) == {"full"}
    [entry] = told(project, "?provider=openrouter")
    assert "gives no file's content out" in entry["calls"]["content"]["reason"]


def test_the_expiries_that_are_told_are_those_that_an_upload_may_have(project: Project) -> None:
    """Groq takes none of its own, Perplexity deletes after 30 days by itself, and OpenAI takes them all."""
    for name, own in (("groq", None), ("perplexity-ai", None), ("openai", {"shortest": 3_600, "longest": 2_592_000})):
        [entry] = told(project, f"?provider={name}")
        assert entry["expiry"]["own"] == own
        assert entry["expiry"]["catalogued"] == {"shortest": 3_600, "longest": 2_592_000}
    slug = project.virtual_key(provider="groq")
    for seconds, status in (("3600", 200), ("2592000", 200), ("3599", 400), ("2592001", 400)):
        form = {"expires_after[anchor]": "created_at", "expires_after[seconds]": seconds}
        assert project.upload({"x-portkey-virtual-key": slug}, **form).status_code == status, seconds


def test_the_native_store_is_told_with_this_servers_limits_and_this_callers_purposes(project: Project) -> None:
    [entry] = told(project, "?provider=fileplane")
    settings = Settings()
    assert entry["limits"]["max_bytes"] == settings.max_file_bytes
    assert entry["limits"]["max_bytes_of"] == {"batch": settings.max_batch_file_bytes}
    assert entry["expiry"]["default_seconds_of"] == {"batch": settings.batch_expiry_seconds}
    assert {"batch", "batch_output"} <= set(entry["purposes"])
    reader = new_key(project.server.data_dir, scopes=frozenset({"files.read"})).plain
    answer = httpx2.get(
        f"{project.server.base_url}/capabilities?provider=fileplane", headers={"authorization": f"Bearer {reader}"}, trust_env=False
    )
    assert "batch_output" not in answer.json()["data"][0]["purposes"]


def test_the_headers_of_a_file_call_give_the_targets_that_it_goes_to(project: Project) -> None:
    slug = project.virtual_key(provider="moonshot")
    [entry] = told(project, x_portkey_virtual_key=slug)
    assert (entry["provider"], entry["target"], entry["catalogued"]) == ("moonshot", "config", True)
    document = {"strategy": {"mode": "fallback"}, "targets": [{"provider": f"@{slug}"}, {"provider": "fileplane"}, {"virtual_key": slug}]}
    entries = told(project, **as_header(document))
    assert [(one["provider"], one.get("target"), one.get("catalogued")) for one in entries] == [
        ("fileplane", None, None),
        ("moonshot", "config.targets[0]", True),
        ("moonshot", "config.targets[2]", True),
    ]
    own = {**project.own, "x-portkey-provider": "groq"}
    [entry] = told(project, **own)
    assert (entry["provider"], entry["catalogued"]) == ("groq", False)
    [native] = told(project, x_portkey_provider="fileplane")
    assert native["provider"] == "fileplane"
    [named] = told(project, "?provider=groq", x_portkey_virtual_key=slug)
    assert (named["provider"], "target" in named) == ("groq", False)
    assert project.fake.requests() == []


def test_azures_two_apis_are_told_apart_by_the_target(project: Project) -> None:
    headers = {"x-portkey-provider": "azure-openai", "authorization": "Bearer x", "x-portkey-azure-resource-name": "some"}
    [classic] = told(project, **headers)
    [newer] = told(project, **headers, **{"x-portkey-azure-api-version": "v1"})
    assert (classic["paging"], newer["paging"]) == ("none", "cursor")


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [("?provider=nobody", 400, "provider"), ("?provider=deepseek", 501, "provider"), ("?providers=openai", 400, "providers")],
)
def test_a_provider_that_there_is_not_is_refused(project: Project, query: str, status: int, param: str) -> None:
    answer = project.client.get(f"/capabilities{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_a_virtual_key_of_another_project_does_not_exist(project: Project, neighbour: Project) -> None:
    slug = project.virtual_key()
    refused = [neighbour.client.get("/capabilities", headers={"x-portkey-virtual-key": name}) for name in (slug, "vk-never-was")]
    assert refused[0].status_code == refused[1].status_code == 400
    assert refused[0].json() == refused[1].json()
