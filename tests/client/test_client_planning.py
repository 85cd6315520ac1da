"""The arithmetic of transfers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fileplane.client.planning import MIB, MOST_PARTS, USUAL_PART, delay_before, missing_of, part_bytes_for, spans_of

SIZES = st.integers(1, 1 << 50)
CONNECTIONS = st.integers(1, 64)


@given(st.integers(0, 10**9), st.integers(10**5, 10**9))
def test_spans_follow_each_other_and_cover_everything_once(size: int, each: int) -> None:
    spans = spans_of(size, each)
    assert [span.number for span in spans] == list(range(len(spans)))
    assert sum(span.length for span in spans) == size
    assert [span.start for span in spans] == [0, *(span.end for span in spans)][: len(spans)]
    assert all(0 < span.length <= each for span in spans)


@given(st.integers(0, 10**6), st.integers(10**3, 10**6), st.sets(st.integers(-5, 1_100)))
def test_what_is_missing_and_what_is_there_are_the_whole(size: int, each: int, there: set[int]) -> None:
    spans = spans_of(size, each)
    missing = missing_of(spans, there)
    assert sorted([*missing, *(span for span in spans if span.number in there)], key=lambda span: span.number) == spans


@given(SIZES, CONNECTIONS, st.none() | st.integers(1, 1 << 40))
def test_no_upload_has_more_parts_than_it_may(size: int, connections: int, wanted: int | None) -> None:
    each = part_bytes_for(size, connections, wanted)
    assert -(-size // each) <= MOST_PARTS
    if wanted is None and size <= MOST_PARTS * USUAL_PART:
        assert each <= USUAL_PART


@given(st.integers(64 * MIB, 1 << 40), CONNECTIONS)
def test_parts_are_as_large_as_leaves_every_connection_several_of_them(size: int, connections: int) -> None:
    each = part_bytes_for(size, connections)
    assert each == 8 * MIB or each >= USUAL_PART or -(-size // each) >= 2 * connections


@given(st.integers(1, 10_000), st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_waiting_is_bounded_and_never_shorter_than_was_asked_for(attempt: int, chance: float, retry_after: float | None) -> None:
    delay = delay_before(attempt, chance, retry_after)
    assert 0.25 <= delay <= 120
    assert delay >= min(retry_after or 0, 120)
