"""The adapters keep the promises of every provider of jobs, each in its own dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from fileplane.catalog import JobKind
from fileplane.testing.provider_jobs_suite import ProviderJobsSuite

BATCHES = (JobKind.BATCH,)


class TestOpenAI(ProviderJobsSuite):
    flavour = "openai"


class TestAzureClassic(ProviderJobsSuite):
    flavour = "azure"


@pytest.mark.full
class TestAzureV1(ProviderJobsSuite):
    flavour = "azure-v1"
    fields: ClassVar[Mapping[str, str]] = {"azure_api_version": "v1"}


class TestGroq(ProviderJobsSuite):
    flavour = "groq"
    kinds = BATCHES


@pytest.mark.full
class TestVoyage(ProviderJobsSuite):
    flavour = "voyage"
    kinds = BATCHES


class TestDashScope(ProviderJobsSuite):
    flavour = "dashscope"
    kinds = BATCHES


@pytest.mark.full
class TestCerebras(ProviderJobsSuite):
    flavour = "cerebras"
    kinds = BATCHES


@pytest.mark.full
class TestDeepInfra(ProviderJobsSuite):
    flavour = "deepinfra"
    kinds = BATCHES


@pytest.mark.full
class TestNebius(ProviderJobsSuite):
    flavour = "nebius"


@pytest.mark.full
class TestMoonshot(ProviderJobsSuite):
    flavour = "moonshot"
    kinds = BATCHES


@pytest.mark.full
class TestZhipu(ProviderJobsSuite):
    flavour = "zhipu"
    kinds = BATCHES


@pytest.mark.full
class TestSiliconFlow(ProviderJobsSuite):
    flavour = "siliconflow"
    kinds = BATCHES


@pytest.mark.full
class TestPerplexity(ProviderJobsSuite):
    flavour = "perplexity"
    kinds = BATCHES
