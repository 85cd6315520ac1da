"""The adapter for OpenAI keeps the promises of every provider."""

from __future__ import annotations

from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import ProviderTransfersSuite


class TestOpenAI(ProviderSuite, ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "openai"
