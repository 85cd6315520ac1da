"""Every provider that requests can be routed to has an adapter, or is honestly refused."""

from __future__ import annotations

import pytest

from fileplane.errors import InvalidValue, UnsupportedProviderOperation
from fileplane.providers.base import Capabilities, Paging, Target
from fileplane.providers.egress import Egress
from fileplane.providers.egress_policy import parse_base_url
from fileplane.providers.near import NEAR
from fileplane.providers.registry import NOT_YET, Registry
from fileplane.providers.without_files import WITHOUT_FILES
from fileplane.routing.providers import PROVIDER_ALIASES, PROVIDERS
from fileplane.routing.virtual_key_fields import find_provider
from fileplane.settings import Settings
from fileplane.testing.fake_provider.flavours import FLAVOURS


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(Egress(Settings()))


def test_every_provider_has_an_adapter_or_is_named_as_one_that_has_none_yet(registry: Registry):
    assert registry.names | set(NOT_YET) == set(PROVIDERS)
    assert not registry.names & set(NOT_YET)


@pytest.mark.parametrize("name", sorted(NOT_YET))
def test_one_without_an_adapter_is_refused_with_its_title(registry: Registry, name: str):
    with pytest.raises(UnsupportedProviderOperation) as caught:
        registry.get(name)
    assert NOT_YET[name] in caught.value.message


@pytest.mark.parametrize("name", ["", "nobody", "OpenAI", *sorted(PROVIDER_ALIASES)])
def test_nobody_is_called_by_another_name(registry: Registry, name: str):
    with pytest.raises(InvalidValue):
        registry.get(name)


def test_every_adapter_has_a_fake_to_be_tested_against(registry: Registry):
    assert {flavour.provider_name for flavour in FLAVOURS.values()} | {"z-ai"} == registry.names


@pytest.mark.parametrize("name", sorted(NEAR))
def test_every_dialect_is_in_order(registry: Registry, name: str):
    dialect = NEAR[name]
    capabilities = registry.get(name).capabilities(Target(name))
    assert parse_base_url(dialect.base_url).scheme == "https"
    assert parse_base_url(dialect.base_url).url() == dialect.base_url
    assert capabilities.default_list_limit <= capabilities.max_list_limit or capabilities.paging is Paging.NONE
    known = set(Capabilities.__dataclass_fields__) | {"order", "base_url"}
    assert capabilities.unverified <= known


async def test_a_provider_is_not_called_without_a_credential(registry: Registry):
    for name in sorted(registry.names):
        with pytest.raises(InvalidValue):
            await registry.get(name).get(Target(name, fields={"azure_resource_name": "x"}), "file-x") if name not in {
                "zhipu",
                "z-ai",
            } else (await registry.get(name).delete(Target(name), "file-x"))


# As Portkey's gateway has them in its version 1.15.2.
PORTKEYS = frozenset({
    "anthropic", "anyscale", "azure-openai", "cohere", "google", "vertex-ai", "mistral-ai", "openai", "palm", "perplexity-ai",
    "reka-ai", "together-ai", "deepinfra", "ncompass", "stability-ai", "nomic", "ollama", "ai21", "bedrock", "groq", "segmind",
    "jina", "fireworks-ai", "workers-ai", "moonshot", "openrouter", "lingyi", "zhipu", "novita-ai", "monsterapi", "deepseek",
    "predibase", "triton", "voyage", "azure-ai", "github", "deepbricks", "siliconflow", "huggingface", "cerebras", "inference-net",
    "sambanova", "lemonfox-ai", "upstage", "lambda", "dashscope", "x-ai", "cortex", "sagemaker", "nebius", "recraft-ai", "milvus",
    "replicate", "portkey", "lepton", "kluster-ai", "nscale", "hyperbolic", "bytez", "featherless-ai", "krutrim", "qdrant", "302ai",
    "cometapi", "matterai", "meshy", "tripo3d", "nextbit", "modal", "z-ai", "oracle", "iointelligence", "aibadgr", "ovhcloud",
})  # fmt: skip


def test_every_name_that_portkey_accepts_is_known(registry: Registry):
    assert len(PORTKEYS) == 74
    assert registry.names | set(NOT_YET) | set(WITHOUT_FILES) >= PORTKEYS
    assert not set(WITHOUT_FILES) & (registry.names | set(NOT_YET) | set(PROVIDER_ALIASES))
    assert set(WITHOUT_FILES) <= PORTKEYS


@pytest.mark.parametrize("name", sorted(WITHOUT_FILES))
def test_one_without_files_is_refused_by_its_name_and_no_credential_is_kept_for_it(registry: Registry, name: str):
    with pytest.raises(UnsupportedProviderOperation) as caught:
        registry.get(name)
    assert f"'{name}'" in caught.value.message
    with pytest.raises(InvalidValue) as refused:
        find_provider(name)
    assert WITHOUT_FILES[name] in refused.value.message
