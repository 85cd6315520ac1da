"""The adapter for Anthropic keeps the promises of every provider, in both shapes of its Files API, and its SDK reads what was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest

from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import ProviderTransfersSuite

FORBIDDEN = frozenset('<>:"|?*\\/\r\n')


class _AtAnthropic(ProviderSuite):
    flavour = "anthropic"

    def takes_name(self, filename: str) -> bool:
        return not FORBIDDEN & set(filename)


class TestAnthropic(_AtAnthropic):
    pass


@pytest.mark.full
class TestAnthropicFaults(ProviderFaultsSuite, ProviderTransfersSuite):
    flavour = "anthropic"


class TestAnthropicInBeta(_AtAnthropic):
    fields: ClassVar[Mapping[str, str]] = {"anthropic_beta": "files-api-2025-04-14"}
