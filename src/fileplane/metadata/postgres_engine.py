"""PostgreSQL off the event loop: threads with a connection each, for the same synchronous transactions as on SQLite.

A read is as many round trips as it has statements. Changes under the same locks, which would have to wait for each other all the same,
are committed in groups: one transaction, with a savepoint for each. A transaction is run again only when it certainly was rolled back.
Whoever waits is told within the deadline, and what nobody waits for any more is broken off.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg

from fileplane.metadata.postgres_clock import DatabaseClock
from fileplane.metadata.postgres_failures import belongs_to_the_connection, told, was_overtaken
from fileplane.metadata.postgres_jobs import Group, Job, Queue
from fileplane.metadata.postgres_link import Link
from fileplane.metadata.postgres_locks import NONE, TAKEN, Locks
from fileplane.metadata.postgres_session import Session

T = TypeVar("T")
Operation = Callable[[Any], T]
Outcome = tuple[Job, Any, Exception | None]

_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 0.02


class _NotTogether(Exception):
    """Something kept a group from being committed; each of its jobs is to be tried by itself."""


class PostgresEngine:
    """Runs operations on the threads, each within the deadline. To be made on the event loop that uses it."""

    def __init__(self, url: str, clock: DatabaseClock, deadline_seconds: float, connections: int) -> None:
        """``connections`` is the most that are open at once, at least 2: one half reads, the other changes."""
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._reads, self._writes = Queue(), Queue()
        readers = max(1, connections // 2)
        self._threads = [
            *(self._thread(self._reads, self._read, f"fileplane-reader-{number}", url) for number in range(readers)),
            *(
                self._thread(self._writes, self._write, f"fileplane-writer-{number}", url)
                for number in range(max(1, connections - readers))
            ),
        ]
        for thread, _ in self._threads:
            thread.start()

    async def write(self, operation: Operation[T]) -> T:
        """Runs ``operation`` in a transaction and returns once it is durable. It may be run again, if it was rolled back."""
        return await self._submit(self._writes, operation, TAKEN.get())

    async def read(self, operation: Operation[T]) -> T:
        """Runs ``operation``, which changes nothing. It may be run again."""
        return await self._submit(self._reads, operation, NONE)

    async def close(self) -> None:
        """Lets every queued operation finish, then ends the threads."""
        for _, queue in self._threads:
            queue.end()
        for thread, _ in self._threads:
            await asyncio.to_thread(thread.join)

    async def _submit(self, queue: Queue, operation: Operation[T], locks: Locks) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        job = Job(operation, future, locks, self._deadline_seconds)
        timer = self._loop.call_later(self._deadline_seconds, job.expire)
        queue.put(job)
        # Not when whoever waits goes away: what it waited for must not keep a thread for longer either.
        future.add_done_callback(lambda ended: None if ended.cancelled() else timer.cancel())
        return await future

    def _thread(
        self, queue: Queue, perform: Callable[[Link, list[Job]], list[Outcome]], name: str, url: str
    ) -> tuple[threading.Thread, Queue]:
        link = Link(url, self._deadline_seconds)
        return threading.Thread(target=self._run, args=(queue, perform, link), name=name, daemon=True), queue

    def _run(self, queue: Queue, perform: Callable[[Link, list[Job]], list[Outcome]], link: Link) -> None:
        while (jobs := queue.get()) is not None:
            try:
                outcomes = perform(link, jobs)
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the callers, not to this thread
                outcomes = [(job, None, error) for job in jobs]
            queue.done(jobs)
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(_resolve, outcomes)
        link.drop()

    def _read(self, link: Link, jobs: list[Job]) -> list[Outcome]:
        return self._repeatedly(link, jobs, self._look)

    def _look(self, group: Group, session: Session) -> list[Outcome]:
        if self._clock.is_stale:
            self._clock.tell(session.now_ms())
        return [(job, job.operation(session), None) for job in group.jobs]

    def _write(self, link: Link, jobs: list[Job]) -> list[Outcome]:
        if len(jobs) > 1:
            group = Group(link, jobs)
            try:
                with link.used_for(group) as session:
                    return self._transact(group, session)
            except _NotTogether:
                pass
            except psycopg.Error as error:
                if group.committing and link.is_fresh:
                    raise told(error, nothing_changed=False, lost=True) from error
        return [outcome for job in jobs for outcome in self._alone(link, job)]

    def _alone(self, link: Link, job: Job) -> list[Outcome]:
        try:
            return self._repeatedly(link, [job], self._transact)
        except Exception as error:  # noqa: BLE001 - this operation's own failure; the others go on
            return [(job, None, error)]

    def _repeatedly(self, link: Link, jobs: list[Job], attempt: Callable[[Group, Session], list[Outcome]]) -> list[Outcome]:
        """One job by itself, again if need be and if it is certain that nothing changed."""
        for number in range(1, _ATTEMPTS + 1):
            group, fresh = Group(link, jobs), link.is_fresh
            if not group.jobs:
                return []
            try:
                with link.used_for(group) as session:
                    return attempt(group, session)
            except _NotTogether:
                return []
            except psycopg.Error as error:
                # An answer, whatever it says, means that nothing was committed; no answer means nothing.
                certain = not group.committing or not link.is_fresh
                if number == _ATTEMPTS or not certain or not _may_be_repeated(group, error, fresh=fresh):
                    raise told(error, nothing_changed=certain, lost=link.is_fresh) from error
        raise AssertionError

    def _transact(self, group: Group, session: Session) -> list[Outcome]:
        now_ms = session.begin(group.jobs[0].locks, group.seconds_left)
        self._clock.tell(now_ms)
        with session.pipelined():
            with self._clock.standing_at(now_ms):
                outcomes = (
                    [_run_marked(session, job) for job in group.jobs] if len(group.jobs) > 1 else [_run_alone(session, group.jobs[0])]
                )
            # Whoever has the locks next reads a later time off the clock, so that ids grow in the order of the commits.
            session.wait_for_next_millisecond()
            if not group.may_commit():
                raise _NotTogether
            session.commit()
        session.require_committed()
        return outcomes


def _run_alone(session: Session, job: Job) -> Outcome:
    return job, job.operation(session), None


def _run_marked(session: Session, job: Job) -> Outcome:
    session.mark()
    try:
        result = job.operation(session)
    except psycopg.Error:
        raise
    except Exception as error:  # noqa: BLE001 - this operation's own refusal; the others go on
        session.return_to_mark()
        return job, None, error
    session.leave_mark()
    return job, result, None


def _may_be_repeated(group: Group, error: psycopg.Error, *, fresh: bool) -> bool:
    """After a failure that certainly changed nothing. Waits a moment where others are in the way."""
    if group.is_abandoned:
        return False
    if belongs_to_the_connection(error):
        group.link.drop()
    if group.link.is_fresh:
        # A connection that was just made and is lost again says more than one that was lost while nobody looked.
        return not fresh
    if not was_overtaken(error):
        return False
    time.sleep(min(random.uniform(0, _PAUSE_SECONDS), group.seconds_left))  # noqa: S311 - no secret depends on it
    return True


def _resolve(outcomes: list[Outcome]) -> None:
    for job, result, error in outcomes:
        if job.future.done():
            continue
        if error is None:
            job.future.set_result(result)
        else:
            job.future.set_exception(error)
