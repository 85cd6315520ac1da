"""What clients were told, and whether a store that keeps its promises can have told them so.

Every operation is recorded with the moments at which it was sent and answered. Two operations that overlap may have happened in either
order; one that was answered before another was sent happened before it. An operation that was never answered may have happened or not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

NEVER = float("inf")


class Outcome(Enum):
    OK = "ok"
    FAIL = "fail"
    """The answer was a refusal: it did not happen."""
    UNKNOWN = "unknown"


@dataclass
class Record:
    """A ``create``, ``delete``, ``list`` or ``read``. ``content`` is what was uploaded or read, ``seen`` what a list showed."""

    operation: str
    tenant: str
    start: float
    file_id: str | None = None
    content: bytes | None = None
    seen: frozenset[str] = frozenset()
    end: float = NEVER
    outcome: Outcome = Outcome.UNKNOWN

    def before(self, other: Record) -> bool:
        return self.end < other.start


@dataclass
class History:
    """The operations of any number of threads."""

    records: list[Record] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def recording(self, operation: str, tenant: str, *, file_id: str | None = None, content: bytes | None = None) -> Iterator[Record]:
        """The block sends the operation and fills in its outcome; without an outcome it stays unknown, and so without an end."""
        record = Record(operation, tenant, time.monotonic(), file_id, content)
        with self._lock:
            self.records.append(record)
        yield record
        if record.outcome is not Outcome.UNKNOWN:
            record.end = time.monotonic()

    def forget_answers_since(self, moment: float) -> None:
        """Whatever was answered since then is unknown: no machine answers once its power is gone."""
        for record in self.records:
            if moment <= record.end:
                record.outcome, record.end = Outcome.UNKNOWN, NEVER

    def of(self, operation: str, *outcomes: Outcome) -> list[Record]:
        return [record for record in self.records if record.operation == operation and (not outcomes or record.outcome in outcomes)]

    def check(self) -> None:
        """Fails unless every answered list and read agrees with what had been answered by then, tenant by tenant."""
        creates = {record.file_id: record for record in self.of("create", Outcome.OK)}
        deletes = self._deletes()
        possible = {(record.tenant, record.content) for record in self.of("create", Outcome.UNKNOWN)}
        for listing in self.of("list", Outcome.OK):
            self._check_listing(listing, creates, deletes)
        for read in self.of("read", Outcome.OK):
            assert not any(gone.outcome is Outcome.OK and gone.before(read) for gone in deletes.get(read.file_id, [])), (
                "read after its delete"
            )
            created = creates.get(read.file_id)
            if created is None:
                assert (read.tenant, read.content) in possible, "a file that nobody has uploaded"
            else:
                assert (read.tenant, read.content) == (created.tenant, created.content), (
                    f"{read.file_id} reads otherwise than it was uploaded"
                )
        for missed in self.of("read", Outcome.FAIL):
            # What was created before must be there, unless a delete had been sent by the time of the answer.
            created = creates.get(missed.file_id)
            lost = created is not None and created.before(missed) and not self._sent_by(deletes.get(missed.file_id, []), missed.end)
            assert not lost, f"it was acknowledged and is unknown: {created}, {missed}, {deletes.get(missed.file_id)}"

    def _check_listing(self, listing: Record, creates: dict[str | None, Record], deletes: dict[str | None, list[Record]]) -> None:
        for file_id, created in creates.items():
            shown = file_id in listing.seen
            gone = deletes.get(file_id, [])
            if created.tenant != listing.tenant:
                assert not shown, f"{file_id} of {created.tenant} is listed to {listing.tenant}"
            elif created.before(listing) and not self._sent_by(gone, listing.end):
                assert shown, f"{file_id} was acknowledged and is not listed"
            elif any(record.outcome is Outcome.OK and record.before(listing) for record in gone):
                assert not shown, f"{file_id} was deleted and is listed"

    def _deletes(self) -> dict[str | None, list[Record]]:
        deletes: dict[str | None, list[Record]] = {}
        for record in self.of("delete", Outcome.OK, Outcome.UNKNOWN):
            deletes.setdefault(record.file_id, []).append(record)
        return deletes

    def _sent_by(self, deletes: list[Record], moment: float) -> bool:
        return any(record.start <= moment for record in deletes)
