"""What the fault tests share: the rule for tests that need root, and servers whose patience is short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.limits import BODY_IDLE_SECONDS, HEAD_SECONDS, MIN_UPLOAD_RATE, UPLOAD_GRACE_SECONDS, may_mount, skip_or_fail
from support.server import RunningServer, running_server


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests that mount file systems run where that can be done."""
    if item.get_closest_marker("needs_root") is not None and not may_mount():
        skip_or_fail("mounting file systems takes root on Linux")


@pytest.fixture(scope="session")
def impatient_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for the whole run that soon gives up on slow clients; tests must not assume that its project is empty."""
    settings = {
        "head_seconds": HEAD_SECONDS,
        "body_idle_seconds": BODY_IDLE_SECONDS,
        "upload_grace_seconds": UPLOAD_GRACE_SECONDS,
        "min_upload_rate": MIN_UPLOAD_RATE,
        "download_stall_seconds": 1,
    }
    with running_server(tmp_path_factory.mktemp("impatient") / "data", **settings) as running:
        yield running


@pytest.fixture(scope="session")
def fault_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server that the fault tests have to themselves, so that they can count what it holds.

    Its scrub is off: it reads deleted files too until they are purged, and what it has open at that moment would be counted.
    """
    with running_server(tmp_path_factory.mktemp("faults") / "data", scrub_bytes_per_second=0) as running:
        yield running
