"""Work that is done for a client, and ends when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from starlette.types import Receive

from fileplane.errors import ClientDisconnected
from fileplane.http.content import client_left

T = TypeVar("T")

_UNWATCHED_SECONDS: Final = 0.1
"""Most calls are over by then; watching for a client that leaves costs as much as answering it."""


async def while_there(
    receive: Receive, work: Coroutine[Any, Any, T], body_read: asyncio.Event | None = None, *, is_short: bool = True
) -> T:
    """What ``work`` gives. When the client leaves first, the work is cancelled, and has ended when ClientDisconnected is raised.

    That is noticed from the first 0.1 seconds on, or at once where the work ``is_short`` not: so much of a file can be fetched in that
    time. Where the work reads the request's body, nobody else may; it then says by ``body_read`` that it has come to its end.
    """
    watch = _Watch(receive, body_read)
    timer = asyncio.get_running_loop().call_later(_UNWATCHED_SECONDS if is_short else 0, watch.begin)
    try:
        return await work
    except BaseException as error:
        if watch.ended_the_work():
            raise ClientDisconnected from error
        raise
    finally:
        timer.cancel()
        await watch.end()


async def telling_of_the_end(pieces: AsyncIterator[T], ended: asyncio.Event) -> AsyncIterator[T]:
    """The same, and sets ``ended`` behind the last."""
    async for piece in pieces:
        yield piece
    ended.set()


class _Watch:
    """Cancels the task that made it when the client leaves."""

    def __init__(self, receive: Receive, body_read: asyncio.Event | None) -> None:
        self._receive = receive
        self._body_read = body_read
        working = asyncio.current_task()
        assert working is not None, "requests are answered in tasks"
        self._working = working
        self._cancelled_before = working.cancelling()
        self._watching: asyncio.Task[None] | None = None
        self._left = False

    def begin(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._wait())

    def ended_the_work(self) -> bool:
        """Whether the client has left, and nobody else beside has cancelled the work."""
        return self._left and self._working.cancelling() <= self._cancelled_before + 1

    async def end(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        if self._left:
            self._working.uncancel()

    async def _wait(self) -> None:
        if self._body_read is not None:
            await self._body_read.wait()
        with suppress(Exception):  # a server that fails to say more of a client has lost it
            await client_left(self._receive)
        self._left = True
        self._working.cancel()
