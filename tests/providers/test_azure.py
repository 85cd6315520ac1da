"""The adapter for Azure OpenAI keeps the promises of every provider, by the classic API and by /openai/v1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import ProviderTransfersSuite
from fileplane.testing.provider_uploads_suite import ProviderUploadsSuite


class TestClassic(ProviderSuite, ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "azure"


class TestV1(ProviderSuite, ProviderUploadsSuite):
    flavour = "azure-v1"
    fields: ClassVar[Mapping[str, str]] = {"azure_api_version": "v1"}
