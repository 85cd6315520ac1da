"""What can go wrong at the fake provider, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

KINDS: Final = frozenset(
    {
        "refuse",  # answers with `status`, `body` and `headers` instead of doing anything, after reading the request
        "refuse_early",  # the same before the request's body is read, of which nothing is read afterwards
        "hang",  # does what is asked, and never answers
        "hang_before",  # reads the request, does nothing, and never answers
        "never_read",  # reads the head of the request and nothing more, and never answers
        "slow_read",  # reads `bytes_per_second` of the request's body
        "close_request_at",  # closes after `at` bytes of the request's body
        "close_response_at",  # closes after `at` bytes of the answer's body; -1: before the head
        "stall_response_at",  # sends nothing more after `at` bytes of the answer's body
        "wrong_length",  # announces `by` bytes more (or fewer) than it sends, and closes
        "wrong_size",  # says of the file of a completed upload that it has `by` bytes more (or fewer)
        "duplicate_id",  # gives a new file or job the id of the one before it
        "odd_id",  # gives a new file or job the id `body`
        "odd_status",  # shows a job, or every job of a list, with the status `body`
        "foreign_result",  # shows a job, or every job of a list, with the file `body` as its result
        "redirect",  # answers `status` (302) with `location`
        "drip",  # sends `bytes_per_second` of the answer's body
        "huge_headers",  # adds a header of `at` bytes
        "many_headers",  # adds `at` headers
        "garbage",  # answers 200 with what is no JSON
        "html",  # answers `status` (502) with a page of HTML
        "gzip",  # compresses the answer, asked or not
        "bomb",  # answers 200 with `at` zero bytes, compressed
        "no_length",  # sends the answer without a length, up to the end of the connection
        "partial",  # answers a download with 206 and the content-range `body`, whatever was asked
    }
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Strikes at the ``call``-th call of its ``operation`` since it was planned, ``times`` times. No operation: of any.

    Operations: upload, list, get, content, delete, token, and of jobs those of :class:`~fileplane.testing.fake_provider.jobs.JobsApi`,
    of uploads in parts those of :class:`~fileplane.testing.fake_provider.uploads.UploadsApi`.
    """

    kind: str
    operation: str | None = None
    call: int = 1
    times: int = 1
    status: int | None = None
    body: Any = None
    """JSON, or a text or bytes as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str = ""
    at: int = 0
    by: int = 0
    bytes_per_second: int = 1_000
    reset: bool = False
    """Whether a closed connection is reset rather than ended."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"There is no fault '{self.kind}'.")


class FaultPlan:
    """The faults that are still to come."""

    def __init__(self) -> None:
        self._planned: list[tuple[Fault, int]] = []

    def add(self, fault: Fault) -> None:
        """Plans a fault; its calls are counted from now on."""
        self._planned.append((fault, 0))

    def clear(self) -> None:
        """Forgets every fault."""
        self._planned.clear()

    def for_call(self, operation: str) -> Fault | None:
        """Counts a call, and gives the fault that strikes at it."""
        struck: Fault | None = None
        kept: list[tuple[Fault, int]] = []
        for fault, counted in self._planned:
            calls = counted + 1 if fault.operation in {None, operation, operation.partition(".")[0]} else counted
            if struck is None and calls > counted and fault.call <= calls < fault.call + fault.times:
                struck = fault
            if calls < fault.call + fault.times - 1 or calls == counted:
                kept.append((fault, calls))
        self._planned = kept
        return struck
