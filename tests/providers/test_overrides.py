"""What an operator knows better of a provider takes the place of what this version assumes, without a release."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fileplane.errors import FileTooLarge, InvalidValue
from fileplane.provider_overrides import OVERRIDABLE, provider_overrides
from fileplane.providers.base import Capabilities, Expiry, Paging, RemoteQuery, RemoteUpload, Target
from fileplane.providers.egress import Egress
from fileplane.providers.near import NEAR
from fileplane.providers.overriding import overridden, require_known
from fileplane.providers.registry import Registry
from fileplane.secrets.values import Secret
from fileplane.setting_sources import load_settings
from fileplane.settings import Settings, SettingsError
from fileplane.testing.fake_provider import FakeProvider, fake_provider
from support.ports import free_port
from support.server import fileplane_environment

EXAMPLES: Mapping[str, object] = {
    "base_url": "https://eu.example.com/v1", "max_bytes": "1 GB", "max_bytes_of": {"batch": "100 MB"}, "purposes": ["batch", "evals"],
    "max_list_limit": 50, "default_list_limit": 10, "paging": "none", "order": "any", "shortest_expiry_seconds": 60,
    "longest_expiry_seconds": 86_400, "default_expiry_seconds": 3_600, "get": False, "download": False, "delete": False, "ranges": False,
}  # fmt: skip


def capabilities(given: Mapping[str, Any], name: str = "groq", **target: Any) -> Capabilities:
    registry = Registry(Egress(Settings()), provider_overrides({name: dict(given)}))
    return registry.get(name).capabilities(Target(name, **target))


def test_every_field_has_its_effect_and_counts_as_verified():
    assert set(EXAMPLES) == set(OVERRIDABLE)
    dialect = overridden(NEAR["novita-ai"], json.loads(provider_overrides({"x": dict(EXAMPLES)}))["x"])
    found = dialect.capabilities
    assert (dialect.base_url, dialect.order.value, found.paging) == ("https://eu.example.com/v1", "any", Paging.NONE)
    assert (found.max_bytes, found.max_bytes_for("batch"), found.purposes) == (10**9, 10**8, {"batch", "evals"})
    assert (found.max_list_limit, found.default_list_limit) == (50, 10)
    assert (found.expiry, found.default_expiry_seconds) == (Expiry(60, 86_400), 3_600)
    assert (found.get, found.download, found.delete, found.ranges) == (False, False, False, False)
    assert found.unverified == frozenset()


def test_what_is_not_named_stays_as_it_was_and_none_lifts_a_limit():
    groq = NEAR["groq"].capabilities
    lifted = {"max_bytes": "none", "purposes": "none"}
    assert capabilities(lifted) == replace(groq, max_bytes=None, purposes=None, unverified=groq.unverified - {"max_bytes", "purposes"})
    assert capabilities({"max_list_limit": 7}, "cerebras").default_list_limit == 7
    assert capabilities({"longest_expiry_seconds": "none"}, "cerebras").expiry is None
    assert capabilities({"longest_expiry_seconds": 7_200}, "groq").expiry == Expiry(3_600, 7_200)


def test_azure_has_it_in_both_of_its_apis_and_a_host_of_one_s_own_not_at_all():
    for version in ("v1", "2024-10-21"):
        found = capabilities({"max_bytes": 5}, "azure-openai", fields={"azure_api_version": version})
        assert found.max_bytes == 5
    assert capabilities({"max_bytes": 5}, "openai").max_bytes == 5
    assert capabilities({"max_bytes": 5}, "openai", custom_host="http://llm.internal/v1").max_bytes is None


async def test_an_upload_goes_by_it():
    async with fake_provider("groq") as fake:
        text = provider_overrides({"groq": {"base_url": fake.base_url, "max_bytes": 4, "purposes": ["batch"]}})
        egress = Egress(Settings(egress_allow=("127.0.0.1",)))
        try:
            provider, target = Registry(egress, text).get("groq"), Target("groq", {"api_key": Secret("key-1")})
            with pytest.raises(FileTooLarge):
                await provider.upload(target, upload(b"12345"))
            with pytest.raises(InvalidValue):
                await provider.upload(target, upload(b"1", purpose="evals"))
            made = await provider.upload(target, upload(b"1234"))
            assert [file.id for file in (await provider.list(target, RemoteQuery())).files] == [made.id]
            assert served(fake) == {("POST", "/openai/v1/files"), ("GET", "/openai/v1/files")}
        finally:
            await egress.close()


@pytest.mark.parametrize(("flavour", "name"), [("anthropic", "anthropic"), ("gemini", "google")])
async def test_it_holds_for_providers_whose_apis_are_their_own(flavour: str, name: str):
    async with fake_provider(flavour) as fake:
        text = provider_overrides({name: {"base_url": fake.base_url, "max_bytes": 4, "purposes": ["batch"]}})
        egress = Egress(Settings(egress_allow=("127.0.0.1",)))
        try:
            provider, target = Registry(egress, text).get(name), Target(name, {"api_key": Secret("key-1")})
            with pytest.raises(FileTooLarge):
                await provider.upload(target, upload(b"12345"))
            with pytest.raises(InvalidValue):
                await provider.upload(target, upload(b"1", purpose="evals"))
            assert fake.requests == []
            made = await provider.upload(target, upload(b"1234"))
            assert [file.id for file in (await provider.list(target, RemoteQuery())).files] == [made.id]
        finally:
            await egress.close()


def upload(content: bytes, purpose: str = "batch") -> RemoteUpload:
    async def pieces() -> Any:
        yield content

    return RemoteUpload(purpose, "a.jsonl", "application/jsonl", pieces(), length=len(content))


def served(fake: FakeProvider) -> set[tuple[str, str]]:
    return {(request.method, request.path) for request in fake.requests}


def test_it_is_a_table_in_toml_and_json_in_the_environment(tmp_path: Path):
    (tmp_path / "fileplane.toml").write_text('[provider_overrides.groq]\nmax_bytes = "100 MB"\npurposes = ["batch"]\n', "utf-8")
    from_file = load_settings(environment={}, config=tmp_path / "fileplane.toml").settings
    from_environment = load_settings(
        environment={"FILEPLANE_PROVIDER_OVERRIDES": '{"groq": {"purposes": ["batch"], "max_bytes": "100 MB"}}'}
    ).settings
    assert from_file == from_environment
    assert json.loads(from_file.provider_overrides or "") == {"groq": {"max_bytes": 10**8, "purposes": ["batch"]}}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nonsense", "a table by provider"),
        ("[]", "a table by provider"),
        ('{"groq": 1}', "'groq' has none"),
        ('{"groq": {"most_bytes": 1}}', "'groq.most_bytes' is not"),
        ('{"groq": {"max_bytes": "much"}}', "'groq.max_bytes', which must be a size"),
        ('{"groq": {"max_bytes_of": 5}}', "sizes by purpose"),
        ('{"groq": {"purposes": []}}', "a list of purposes"),
        ('{"groq": {"paging": "backwards"}}', "one of cursor"),
        ('{"groq": {"base_url": "ftp://x"}}', "a base URL"),
        ('{"groq": {"base_url": "https://x/v1?y"}}', "a base URL"),
        ('{"groq": {"max_list_limit": 0}}', "a whole number from 1"),
        ('{"groq": {"download": 1}}', "true or false"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(value: str, said: str):
    with pytest.raises(SettingsError, match="provider_overrides from FILEPLANE_PROVIDER_OVERRIDES") as caught:
        load_settings(environment={"FILEPLANE_PROVIDER_OVERRIDES": value})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"nobody": {"max_bytes": 1}},
        {"databricks": {"max_bytes": 1}},
        {"azure-openai": {"base_url": "https://x.example"}},
        {"groq": {"default_list_limit": 200}},
    ],
    ids=lambda value: next(iter(value)),
)
def test_what_contradicts_the_providers_there_are_is_refused_at_the_start(value: dict[str, Any]):
    with pytest.raises(SettingsError):
        require_known(provider_overrides(value))
    with pytest.raises(SettingsError):
        Registry(Egress(Settings()), provider_overrides(value))


def test_a_server_does_not_start_with_it(tmp_path: Path):
    environment = fileplane_environment(FILEPLANE_PROVIDER_OVERRIDES='{"nobody": {"max_bytes": 1}}')
    command = [sys.executable, "-m", "fileplane", "serve", "--data-dir", str(tmp_path / "data"), "--port", str(free_port())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "names 'nobody', which is no provider that can be called" in done.stderr
