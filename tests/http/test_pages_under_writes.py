"""Whatever is uploaded and deleted while a client pages, it sees each file that was there throughout exactly once."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.forms import uploaded
from support.timed_app import TimedApp, timed_app

PURPOSES = ["evals", "vision"]
BEFORE = st.lists(st.sampled_from(PURPOSES), min_size=1, max_size=12)
# Between two pages: uploads of a purpose, deletions of the n-th file there is, and the clock, which else stands still so that all tie.
WRITES = st.lists(
    st.one_of(
        st.tuples(st.just("upload"), st.sampled_from(PURPOSES)),
        st.tuples(st.just("delete"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.sampled_from([0.001, 1.0])),
        st.tuples(st.just("set back"), st.sampled_from([0.001, 1.0, 60.0])),
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimedApp]:
    with timed_app(tmp_path_factory.mktemp("pages") / "data") as app:
        yield app


class Writer:
    """Changes a project between two pages, and knows which of the files that it began with were there throughout."""

    def __init__(self, app: TimedApp, api: httpx2.Client, purposes: list[str]) -> None:
        self._clock = app.clock
        self._api = api
        self.live = [(str(uploaded(api, b"", purpose=purpose)["id"]), purpose) for purpose in purposes]
        self.staying = dict(self.live)

    def do(self, kind: str, value: object) -> None:
        if kind == "upload":
            self.live.append((str(uploaded(self._api, b"", purpose=str(value))["id"]), str(value)))
        elif kind == "delete" and self.live:
            file_id, _ = self.live.pop(int(str(value)) % len(self.live))
            assert self._api.delete(f"/files/{file_id}").status_code == 200
            self.staying.pop(file_id, None)
        elif kind in {"wait", "set back"}:
            self._clock.advance(float(str(value)) * (1 if kind == "wait" else -1))


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
    with app.client(app.new_key().plain) as api:
        writer, seen, more, turns = Writer(app, api, before), list[str](), True, iter(between)
        query = {"limit": limit, "order": order} | ({"purpose": purpose} if purpose else {})
        while more:
            page = api.get("/files", params=query | ({"after": seen[-1]} if seen else {})).json()
            seen += [file["id"] for file in page["data"]]
            more = page["has_more"]
            for kind, value in next(turns, []):
                writer.do(kind, value)
        assert len(seen) == len(set(seen))
        staying = [file_id for file_id, its in writer.staying.items() if purpose in {None, its}]
        assert set(staying) <= set(seen)
        # Of one millisecond: their order is that of their ids, from whichever end.
        assert [file_id for file_id in seen if file_id in staying] == sorted(staying, reverse=order == "desc")
