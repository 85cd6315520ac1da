"""The adapter for OpenAI keeps the promises of every provider."""

from __future__ import annotations

from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import ProviderTransfersSuite
from fileplane.testing.provider_uploads_suite import ProviderUploadsSuite


class TestOpenAI(ProviderSuite, ProviderFaultsSuite, ProviderTransfersSuite, ProviderUploadsSuite):
    flavour = "openai"
