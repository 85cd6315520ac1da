"""Whatever is uploaded and deleted while a client pages, it sees each file that was there throughout exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.pages import BEFORE, WRITES, assert_pages_show_what_stays
from support.timed_app import TimedApp, timed_app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimedApp]:
    with timed_app(tmp_path_factory.mktemp("pages") / "data") as app:
        yield app


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    before=BEFORE,
    between=st.lists(WRITES, max_size=15),
    limit=st.integers(1, 4),
    order=st.sampled_from(["asc", "desc"]),
    purpose=st.sampled_from([None, "evals"]),
)
def test_pages_skip_and_repeat_nothing_that_was_there_throughout(
    app: TimedApp, before: list[str], between: list[list[tuple[str, object]]], limit: int, order: str, purpose: str | None
):
    assert_pages_show_what_stays(app, before, between, limit, order, purpose)
