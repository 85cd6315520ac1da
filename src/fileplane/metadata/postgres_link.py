"""A thread's way to the database: a connection that is made anew when it is lost, and that others can break off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fileplane.metadata.postgres_session import Session, open_session


class Link:
    """Of one thread, but for :meth:`break_off`."""

    def __init__(self, url: str, deadline_seconds: float) -> None:
        self._url = url
        self._deadline_seconds = deadline_seconds
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._busy_with: object | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether the next use makes a connection."""
        return self._session is None

    @contextmanager
    def used_for(self, job: object) -> Iterator[Session]:
        """The connection, for one job; it is dropped afterwards if it was lost, or left in a transaction that cannot be ended.

        Raises psycopg.OperationalError when none can be made.
        """
        session = self._session or open_session(self._url, self._deadline_seconds)
        with self._lock:
            self._session, self._busy_with = session, job
        try:
            yield session
        finally:
            try:
                session.roll_back()
            except Exception:  # noqa: BLE001 - whatever keeps it from ending, the connection is of no more use
                self.drop()
            with self._lock:
                self._busy_with = None
            if session.is_lost:
                self.drop()

    def drop(self) -> None:
        """Ends the connection."""
        with self._lock:
            session, self._session = self._session, None
            if session is not None:
                session.close()

    def break_off(self, job: object) -> None:
        """Whatever the thread waits for fails at once, if it still is about this job."""
        with self._lock:
            if self._busy_with is job and self._session is not None:
                self._session.break_off()
