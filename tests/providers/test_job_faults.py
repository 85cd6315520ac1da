"""The adapters keep the promises of every provider of jobs when these misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from fileplane.catalog import JobKind
from fileplane.testing.provider_job_faults_suite import ProviderJobFaultsSuite

BATCHES = (JobKind.BATCH,)


class TestOpenAI(ProviderJobFaultsSuite):
    flavour = "openai"


@pytest.mark.full
class TestAzureClassic(ProviderJobFaultsSuite):
    flavour = "azure"


@pytest.mark.full
class TestAzureV1(ProviderJobFaultsSuite):
    flavour = "azure-v1"
    fields: ClassVar[Mapping[str, str]] = {"azure_api_version": "v1"}


@pytest.mark.full
class TestGroq(ProviderJobFaultsSuite):
    flavour = "groq"
    kinds = BATCHES


@pytest.mark.full
class TestCerebras(ProviderJobFaultsSuite):
    flavour = "cerebras"
    kinds = BATCHES


@pytest.mark.full
class TestDeepInfra(ProviderJobFaultsSuite):
    flavour = "deepinfra"
    kinds = BATCHES


@pytest.mark.full
class TestNebius(ProviderJobFaultsSuite):
    flavour = "nebius"


@pytest.mark.full
class TestMoonshot(ProviderJobFaultsSuite):
    flavour = "moonshot"
    kinds = BATCHES


@pytest.mark.full
class TestDashScope(ProviderJobFaultsSuite):
    flavour = "dashscope"
    kinds = BATCHES


@pytest.mark.full
class TestZhipu(ProviderJobFaultsSuite):
    flavour = "zhipu"
    kinds = BATCHES


@pytest.mark.full
class TestSiliconFlow(ProviderJobFaultsSuite):
    flavour = "siliconflow"
    kinds = BATCHES


@pytest.mark.full
class TestPerplexity(ProviderJobFaultsSuite):
    flavour = "perplexity"
    kinds = BATCHES


@pytest.mark.full
class TestVoyage(ProviderJobFaultsSuite):
    flavour = "voyage"
    kinds = BATCHES
