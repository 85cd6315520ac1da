"""`fileplane migrate-store` in a process that is struck at one of its points: before and after each call on either place of the store.

Its arguments: the number of the point, from 1, and how: KILL and INT are signals, FAIL is an error of that call. Exits with 77 when the
point is never reached. The rest is the command's own.
"""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from psycopg.transaction import Transaction

from fileplane import __main__ as entry
from fileplane import migrating
from fileplane.blobs.object_store import ObjectBlobStore
from fileplane.errors import StorageUnavailable
from fileplane.metadata import postgres_arrival
from fileplane.metadata.move_journal import MoveJournal
from fileplane.metadata.postgres_arrival import PostgresArrival
from fileplane.metadata.sqlite_moves import SourceGate

NOT_REACHED = 77
POINTS: list[tuple[Any, tuple[str, ...]]] = [
    (SourceGate, ("refusal", "refuse", "finish", "admit")),
    (MoveJournal, ("__init__", "missing", "add", "begin_listing", "end_listing", "remove")),
    (PostgresArrival, ("begin", "bring", "_copied", "_brought", "_require_going_on")),
    (postgres_arrival, ("prepare_postgres",)),
    (Transaction, ("__exit__",)),
    (ObjectBlobStore, ("ask",)),
]


class Striker:
    def __init__(self, point: int, how: str) -> None:
        self._point = point
        self._how = how
        self._lock = threading.Lock()
        self._seen = 0
        self.struck = False

    def reached(self) -> None:
        with self._lock:
            self._seen += 1
            if self._seen != self._point:
                return
            self.struck = True
        if self._how == "FAIL":
            raise StorageUnavailable("The store does not answer.")
        os.kill(os.getpid(), getattr(signal, f"SIG{self._how}"))

    def around(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*arguments: Any, **named: Any) -> Any:
            self.reached()
            result = method(*arguments, **named)
            self.reached()
            return result

        @functools.wraps(method)
        async def asked(*arguments: Any, **named: Any) -> Any:
            try:
                self.reached()
            except BaseException:
                for argument in arguments:
                    if inspect.iscoroutine(argument):
                        argument.close()
                raise
            result = await method(*arguments, **named)
            self.reached()
            return result

        return asked if inspect.iscoroutinefunction(method) else call


async def honest(*_: object) -> None:
    """The probes have tests of their own."""


if __name__ == "__main__":
    striker = Striker(int(sys.argv[1]), sys.argv[2])
    migrating.require_honest_store = honest
    for owner, names in POINTS:
        for name in names:
            setattr(owner, name, striker.around(getattr(owner, name)))
    del sys.argv[1:3]
    end_at_once = entry._end_at_once

    def end_as_the_command_or_unreached(code: object) -> None:
        end_at_once(NOT_REACHED if code == 0 and not striker.struck else code)

    entry._end_at_once = end_as_the_command_or_unreached
    try:
        entry.main()
    except SystemExit as end:
        if not striker.struck and end.code == 0:
            sys.exit(NOT_REACHED)
        raise
