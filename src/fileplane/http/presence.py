"""Work that is done for a client, and ends when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from typing import TypeVar

from starlette.types import Receive

from fileplane.errors import ClientDisconnected
from fileplane.http.content import client_left

T = TypeVar("T")


async def while_there(receive: Receive, work: Awaitable[T], body_read: asyncio.Event | None = None) -> T:
    """What ``work`` gives. When the client leaves first, the work is cancelled, and has ended when ClientDisconnected is raised.

    Where the work reads the request's body, nobody else may; it then says by ``body_read`` that it has come to its end.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive, body_read))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnected
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def telling_of_the_end(pieces: AsyncIterator[T], ended: asyncio.Event) -> AsyncIterator[T]:
    """The same, and sets ``ended`` behind the last."""
    async for piece in pieces:
        yield piece
    ended.set()


async def _left(receive: Receive, body_read: asyncio.Event | None) -> None:
    if body_read is not None:
        await body_read.wait()
    await client_left(receive)
