"""The adapters for what is near to OpenAI keep the promises of every provider, each in its own dialect."""

from __future__ import annotations

import pytest

from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import ProviderTransfersSuite


class TestMistral(ProviderSuite):
    flavour = "mistral"


class TestGroq(ProviderSuite):
    flavour = "groq"


class TestXai(ProviderSuite):
    flavour = "x-ai"


@pytest.mark.full
class TestCerebras(ProviderSuite):
    flavour = "cerebras"


@pytest.mark.full
class TestDeepInfra(ProviderSuite):
    flavour = "deepinfra"


@pytest.mark.full
class TestNebius(ProviderSuite):
    flavour = "nebius"


class TestMoonshot(ProviderSuite):
    flavour = "moonshot"


@pytest.mark.full
class TestDashScope(ProviderSuite):
    flavour = "dashscope"


class TestZhipu(ProviderSuite):
    flavour = "zhipu"


@pytest.mark.full
class TestSiliconFlow(ProviderSuite):
    flavour = "siliconflow"


@pytest.mark.full
class TestPerplexity(ProviderSuite):
    flavour = "perplexity"


class TestOpenRouter(ProviderSuite):
    flavour = "openrouter"


class TestVoyage(ProviderSuite):
    flavour = "voyage"


@pytest.mark.full
class TestNovita(ProviderSuite):
    flavour = "novita"


@pytest.mark.full
class TestMistralFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "mistral"


@pytest.mark.full
class TestGroqFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "groq"


@pytest.mark.full
class TestXaiFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "x-ai"


@pytest.mark.full
class TestCerebrasFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "cerebras"


@pytest.mark.full
class TestDeepInfraFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "deepinfra"


@pytest.mark.full
class TestNebiusFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "nebius"


@pytest.mark.full
class TestMoonshotFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "moonshot"


@pytest.mark.full
class TestDashScopeFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "dashscope"


@pytest.mark.full
class TestZhipuFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "zhipu"


@pytest.mark.full
class TestSiliconFlowFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "siliconflow"


@pytest.mark.full
class TestPerplexityFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "perplexity"


@pytest.mark.full
class TestOpenRouterFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "openrouter"


@pytest.mark.full
class TestVoyageFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "voyage"
