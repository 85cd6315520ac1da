"""Threads that work off one list, watched by the thread that called: it tells of progress, and stops them all when one fails."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from fileplane.client.planning import Span
from fileplane.client.stopping import Stopping
from fileplane.client.values import Progress, Report

_TICK: Final = 0.1


class Meter:
    """Counts a transfer's bytes, from any thread, and tells of them in the caller's, not more often than is of use."""

    def __init__(self, name: str, total: int | None, report: Report | None, resumed: int = 0) -> None:
        self._name = name
        self._total = total
        self._report = report
        self._resumed = resumed
        self._done = resumed
        self._told = 0.0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Counts; a negative count takes back what did not arrive."""
        with self._lock:
            self._done += count

    def tell(self, *, now: bool = False) -> None:
        """Reports, if it is time or ``now``."""
        moment = time.monotonic()
        if self._report is not None and (now or moment - self._told >= _TICK):
            self._told = moment
            self._report(Progress(self._name, self._done, self._total, self._resumed))

    def advance(self, count: int) -> None:
        """Counts, and reports if it is time: for transfers in the caller's own thread."""
        self.add(count)
        self.tell()


class Crew:
    """Works off spans with threads of their own. ``stopping`` ends what they have under way."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._working = 0
        self._threads: list[threading.Thread] = []

    def work_off(self, works: Iterable[tuple[str, Callable[[], None]]], meter: Meter) -> None:
        """Has each of these done by a thread, named as it says, and returns when all are done.

        Raises what the first that failed has raised, or what was raised here, such as KeyboardInterrupt, once all others have ended.
        """
        try:
            for name, work in works:
                self._start(work, name)
            while self._under_way():
                meter.tell()
        except BaseException:
            self._stopping.stop()
            raise
        finally:
            if self._failure is not None:
                self._stopping.stop()
            for thread in self._threads:
                # One that an interruption has kept from beginning, which does nothing if it still does.
                with suppress(RuntimeError):
                    thread.join()
        if self._failure is not None:
            raise self._failure
        self._stopping.check()

    def _start(self, work: Callable[[], None], name: str) -> None:
        with self._changed:
            self._working += 1
        thread = threading.Thread(target=self._run, args=(work,), name=f"fileplane-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _under_way(self) -> bool:
        with self._changed:
            if self._working and self._failure is None:
                self._changed.wait(_TICK)
            return self._working > 0 and self._failure is None

    def _run(self, work: Callable[[], None]) -> None:
        try:
            self._stopping.check()
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised again by whoever waits
            with self._changed:
                self._failure = self._failure or error
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()


class Spans:
    """What is left to do, given out in order to any thread."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._left = deque(spans)

    def __iter__(self) -> Spans:
        return self

    def __next__(self) -> Span:
        try:
            return self._left.popleft()
        except IndexError:
            raise StopIteration from None
