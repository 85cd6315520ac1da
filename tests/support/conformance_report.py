"""A plugin of pytest: runs the conformance suites of the providers alone, and prints what came of them, one row a provider.

``python -m pytest -p support.conformance_report tests/providers``. A cell counts the tests of one call that have passed, of a real run of
the real adapter against the fake provider. Where the provider lacks the call, they have shown that it is refused honestly.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest

from fileplane.providers.base import Capabilities, Target
from fileplane.providers.egress import Egress
from fileplane.providers.registry import Registry
from fileplane.providers.support import Extent, support_of
from fileplane.settings import Settings
from fileplane.testing.fake_provider.flavours import FLAVOURS
from fileplane.testing.provider_faults_suite import ProviderFaultsSuite
from fileplane.testing.provider_suite import ProviderSuite
from fileplane.testing.provider_transfers_suite import ProviderTransfersSuite
from fileplane.testing.provider_uploads_suite import ProviderUploadsSuite

SUITES = (ProviderSuite, ProviderFaultsSuite, ProviderTransfersSuite, ProviderUploadsSuite)
COLUMNS = ("upload", "list", "retrieve", "content", "delete", "expiry", "ranges", "uploads", "faults")
_OF = {
    "upload": "what_is_uploaded_is_what|names_of_files|line_breaks_makes_no_header|every_purpose|beyond_the_provider|only_the_calls",
    "list": "pages_show_every_file|an_empty_list|a_cursor_that_is_no_file|a_list_of_one_purpose",
    "retrieve": "described_in_openai|unknown_is_not_found|would_lead_elsewhere",
    "content": "says_its_length_and_type",
    "delete": "a_deleted_file",
    "expiry": "an_expiry_is_set|has_expired",
    "ranges": "a_range_gives|a_range_outside",
}
_EXTENT = {Extent.GENERATED_ONLY: "generated only", Extent.EXTRACTED_TEXT: "extracted text", Extent.NONE: "refused honestly"}
_PROPERTY = "conformance"
_outcomes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)


def column_of(suite: type, test: str) -> str | None:
    """The column that a test of a suite counts for; None for one that nobody has put into any."""
    if suite is ProviderUploadsSuite:
        return "uploads"
    if suite is not ProviderSuite:
        return "faults"
    return next((column for column, parts in _OF.items() if any(part in test for part in parts.split("|"))), None)


def suite_of(cls: type | None, test: str) -> type | None:
    """The suite that a test of a class comes from; None for a test of the class's own."""
    return next((suite for suite in SUITES if cls is not None and issubclass(cls, suite) and test in vars(suite)), None)


def provider_of(cls: Any) -> str:
    """The name of the provider that a class is about."""
    flavour = FLAVOURS.get(cls.flavour)
    return str(cls.flavour) if flavour is None else flavour.provider_name


def cell(passed: int, failed: int, lacks: str | None) -> str:
    """What is shown of a column: how many tests have passed, and what they have shown to be lacking."""
    if not passed and not failed:
        return "-"
    counted = f"{failed} FAILED of {passed + failed}" if failed else str(passed)
    return counted if lacks is None else f"{counted} ({lacks})"


def lacking(capabilities: Capabilities) -> dict[str, str]:
    """By column, what the provider lacks, in words."""
    found = {call: _EXTENT[support.extent] for call, support in support_of(capabilities).items() if support.extent in _EXTENT}
    if capabilities.expiry is None:
        found["expiry"] = _EXTENT[Extent.NONE]
    if not capabilities.ranges:
        found["ranges"] = "cut here"
    return found


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves only the suites, and notes what each test is about where every process of a parallel run can read it."""
    kept = []
    for item in items:
        test = getattr(item, "originalname", None) or item.name
        cls = getattr(item, "cls", None)
        suite = suite_of(cls, test)
        if suite is not None:
            item.user_properties.append((_PROPERTY, (provider_of(cls), column_of(suite, test) or "faults")))
            kept.append(item)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts one outcome; a failure of a fixture counts as one of its test."""
    about = dict(report.user_properties).get(_PROPERTY)
    if about is not None and (report.when == "call" or report.failed):
        provider, column = str(about[0]), str(about[1])  # type: ignore[index]
        _outcomes[provider, column]["passed" if report.passed else "failed"] += 1


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the table."""
    registry = Registry(Egress(Settings()))
    rows = [("provider", *COLUMNS)]
    for provider in sorted({name for name, _ in _outcomes}):
        lacks = lacking(registry.get(provider).capabilities(Target(provider))) if provider in registry.names else {}
        counts = [_outcomes[provider, column] for column in COLUMNS]
        rows.append(
            (provider, *(cell(one["passed"], one["failed"], lacks.get(column)) for column, one in zip(COLUMNS, counts, strict=True)))
        )
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    terminalreporter.section("conformance of the providers")
    for row in rows:
        terminalreporter.write_line("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
