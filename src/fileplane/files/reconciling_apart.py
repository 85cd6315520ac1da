"""Work on what is unresolved, of many projects that do not trust each other, at providers that may be anybody's.

A project's virtual key may lead to a host of its own choosing, so what a provider answers there, and how slowly, is that project's doing.
Neither keeps what is unresolved of others from being looked at, nor does how much of it there is:

- Rows are taken on a few at a time, and none of a virtual key while others of it are being worked on, so that each virtual key has its
  turn however much another one has left behind.
- A virtual key at which three rows in a row cannot be resolved is left alone until the next round.
- Of the places at which work is done at the same time a project has a quarter at most.
- Once a round has gone on for as long as a claim lasts it begins nothing more, so that the next one takes on what has become due since.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Final, Generic, TypeAlias, TypeVar

from fileplane.catalog import CatalogFile, Job
from fileplane.errors import FileplaneError, StorageUnavailable

PLACES: Final = 8
PLACES_OF_A_PROJECT: Final = 2
MOST_FAILURES: Final = 3
"""In a row, after which a virtual key is left alone."""
_CLAIMED_AT_ONCE: Final = 20

R = TypeVar("R", CatalogFile, Job)
Claiming: TypeAlias = Callable[[int, Collection[str]], Awaitable[Sequence[R]]]
"""Takes on so many rows at most, none of these virtual keys, by their ids."""
_log = logging.getLogger("fileplane.files.reconciling")


async def each_apart(claim: Claiming[R], resolve: Callable[[R], Awaitable[None]], seconds: float) -> int:
    """One round: ``resolve`` for every row that ``claim`` gives, until it gives none; how many rows were looked at.

    The rows of one virtual key that are claimed together come one after another, and have ``seconds`` together; those that are left then
    stay as they are until their claims have run out. What goes wrong with one row is logged.
    Raises :class:`~fileplane.errors.StorageUnavailable`, which ends all of them.
    """
    work, looked_at = _Work(resolve, seconds), 0
    ends_at = asyncio.get_running_loop().time() + seconds
    try:
        while True:
            going_on = asyncio.get_running_loop().time() < ends_at
            if going_on:
                work.begin()
            if going_on and work.has_room:
                rows = await claim(_CLAIMED_AT_ONCE, work.left_alone())
                if rows:
                    looked_at += len(rows)
                    work.add(rows)
                    continue
            if not await work.one_ended():
                return looked_at
    finally:
        await work.end()


class _Work(Generic[R]):
    """What has been claimed: batches of one project at one virtual key, waiting and being worked on."""

    def __init__(self, resolve: Callable[[R], Awaitable[None]], seconds: float) -> None:
        self._resolve: Callable[[R], Awaitable[None]] = resolve
        self._seconds = seconds
        self._waiting: list[list[R]] = []
        self._running: dict[asyncio.Task[None], list[R]] = {}
        self._given_up: set[str] = set()

    @property
    def has_room(self) -> bool:
        return len(self._running) < PLACES

    def add(self, rows: Sequence[R]) -> None:
        batches: dict[tuple[str, str], list[R]] = defaultdict(list)
        for row in rows:
            batches[row.project_id, row.virtual_key_id].append(row)
        self._waiting += batches.values()

    def begin(self) -> None:
        """Begins with as many of the waiting batches as there are places for."""
        for batch in tuple(self._waiting):
            of_project = sum(rows[0].project_id == batch[0].project_id for rows in self._running.values())
            if self.has_room and of_project < PLACES_OF_A_PROJECT:
                self._waiting.remove(batch)
                self._running[asyncio.create_task(self._in_turn(batch), name="fileplane-reconciling")] = batch

    def left_alone(self) -> frozenset[str]:
        """The virtual keys of which nothing more is to be claimed now."""
        return frozenset(batch[0].virtual_key_id for batch in (*self._waiting, *self._running.values())) | self._given_up

    async def one_ended(self) -> bool:
        """Waits until a batch has ended; False where none is being worked on. Raises what ended it."""
        if not self._running:
            return False
        done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._running[task]
        for task in done:
            task.result()
        return True

    async def end(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _in_turn(self, batch: list[R]) -> None:
        failures, first = 0, batch[0]
        try:
            async with asyncio.timeout(self._seconds):
                for row in batch:
                    failures = 0 if await _one(row, self._resolve) else failures + 1
                    if failures == MOST_FAILURES:
                        _log.warning("%s at a virtual key of project %s is left alone for a while", first.provider, first.project_id)
                        break
                else:
                    return
        except TimeoutError:
            _log.warning("what became of %d rows at %s cannot be found out in %g s", len(batch), first.provider, self._seconds)
        self._given_up.add(first.virtual_key_id)


async def _one(row: R, resolve: Callable[[R], Awaitable[None]]) -> bool:
    """Whether nothing went wrong."""
    try:
        await resolve(row)
    except StorageUnavailable:
        raise
    except FileplaneError as error:
        _log.warning("what became of %s at %s cannot be found out now: %s", row.id, row.provider, error.message)
    except Exception:  # noqa: BLE001 - a defect that one provider's answers bring out must not keep others' rows from being looked at
        _log.exception("looking after %s at %s failed", row.id, row.provider)
    else:
        return True
    return False
