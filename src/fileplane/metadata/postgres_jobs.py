"""Operations that wait for a thread, and the groups in which those under the same locks are committed together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

from fileplane.errors import StorageUnavailable
from fileplane.metadata.postgres_link import Link
from fileplane.metadata.postgres_locks import NONE, Locks

_GROUP: Final = 64


class Job:
    """An operation, and how far it has come; its future is settled on the event loop alone."""

    def __init__(self, operation: Callable[[Any], Any], future: asyncio.Future[Any], locks: Locks, seconds: float) -> None:
        self.operation = operation
        self.future = future
        self.locks = locks
        self._deadline = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._group: Group | None = None
        self._expired = False
        self._may_have_changed = False

    @property
    def seconds_left(self) -> float:
        """Before whoever waits is told that it takes too long."""
        return max(0.001, self._deadline - time.monotonic())

    def begins(self, group: Group) -> bool:
        """Asked by the thread before each attempt. False when nobody waits any more."""
        with self._lock:
            self._group = group
            self._may_have_changed = False
            return not self.future.done()

    def may_commit(self) -> bool:
        """Asked by the thread before it commits. False when it has been told that nothing changed."""
        with self._lock:
            self._may_have_changed = True
            return not self._expired

    def expire(self) -> None:
        """Tells whoever waits, and breaks off what was waited for, unless others still wait for that."""
        with self._lock:
            if not self.future.done():
                self._expired = True
                self.future.set_exception(
                    StorageUnavailable("The database does not answer. Try again shortly.", nothing_changed=not self._may_have_changed)
                )
            group = self._group
        if group is not None and group.is_abandoned:
            group.link.break_off(group)


class Group:
    """Jobs that one thread is busy with."""

    def __init__(self, link: Link, jobs: list[Job]) -> None:
        self.link = link
        self.jobs = [job for job in jobs if job.begins(self)]
        self.committing = False

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits any more."""
        return all(job.future.done() for job in self.jobs)

    @property
    def seconds_left(self) -> float:
        """Of the one that may still wait longest."""
        return max((job.seconds_left for job in self.jobs), default=0.001)

    def may_commit(self) -> bool:
        """To be asked once, before committing. False when one of the jobs may not be committed, and so none with it."""
        self.committing = True
        asked = [job.may_commit() for job in self.jobs]
        return all(asked)


class Queue:
    """Jobs for several threads. Of those under the same locks one thread has all that wait, so that they never wait for each other."""

    def __init__(self) -> None:
        self._ready: SimpleQueue[Locks | Job | None] = SimpleQueue()
        self._waiting: dict[Locks, deque[Job]] = {}
        self._lock = threading.Lock()

    def put(self, job: Job) -> None:
        """To be called on the event loop."""
        if job.locks == NONE:
            self._ready.put(job)
            return
        with self._lock:
            waiting = self._waiting.get(job.locks)
            if waiting is None:
                self._waiting[job.locks] = deque([job])
                self._ready.put(job.locks)
            else:
                waiting.append(job)

    def get(self) -> list[Job] | None:
        """Waits for jobs. None at the end. Whoever takes some says :meth:`done` once they are over."""
        turn = self._ready.get()
        if turn is None or isinstance(turn, Job):
            return None if turn is None else [turn]
        with self._lock:
            waiting = self._waiting[turn]
            return [waiting.popleft() for _ in range(min(_GROUP, len(waiting)))]

    def done(self, jobs: list[Job]) -> None:
        """Those that have come under the same locks meanwhile are next."""
        locks = jobs[0].locks
        if locks == NONE:
            return
        with self._lock:
            if self._waiting[locks]:
                self._ready.put(locks)
            else:
                del self._waiting[locks]

    def end(self) -> None:
        """One thread gets no more, once nothing waits."""
        self._ready.put(None)
