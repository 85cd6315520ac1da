"""A client that pages while another writes, and what it must have seen in the end."""

from __future__ import annotations

from typing import Any

import httpx2
from hypothesis import strategies as st

from support.forms import uploaded

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


class Writer:
    """Changes a project between two pages, and knows which of the files that it began with were there throughout."""

    def __init__(self, app: Any, api: httpx2.Client, purposes: list[str]) -> None:
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


def assert_pages_show_what_stays(
    app: Any, before: list[str], between: list[list[tuple[str, object]]], limit: int, order: str, purpose: str | None
) -> None:
    """``app`` is a :class:`~support.timed_app.TimedApp`, or several nodes that look like one."""
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
