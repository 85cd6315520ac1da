"""Nodes that take turns, over PostgreSQL and an object store, answer as one: whatever was answered, every later call sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fileplane.blob_location import BlobLocation
from support.files_machine import TimedFilesMachine, run
from support.pages import BEFORE, WRITES, assert_pages_show_what_stays
from support.timed_nodes import TimedNodes, timed_nodes

pytestmark = pytest.mark.full


@pytest.fixture
def taking_turns(tmp_path: Path, url: str, place: BlobLocation) -> Iterator[TimedNodes]:
    with timed_nodes(tmp_path, url, place, tombstone_seconds=10**9) as nodes:
        yield nodes


def test_two_nodes_that_take_turns_over_both_engines_answer_as_the_model(taking_turns: TimedNodes):
    run(lambda: TimedFilesMachine(taking_turns), examples=30, steps=20)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    before=BEFORE,
    between=st.lists(WRITES, max_size=10),
    limit=st.integers(1, 4),
    order=st.sampled_from(["asc", "desc"]),
    purpose=st.sampled_from([None, "evals"]),
)
def test_pages_that_come_from_both_nodes_skip_and_repeat_nothing_while_both_are_written_to(
    taking_turns: TimedNodes, before: list[str], between: list[list[tuple[str, object]]], limit: int, order: str, purpose: str | None
):
    assert_pages_show_what_stays(taking_turns, before, between, limit, order, purpose)
