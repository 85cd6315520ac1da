"""The same work on several things, a few of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

A = TypeVar("A")
T = TypeVar("T")

_AT_ONCE: Final = 8


async def together(work: Callable[[A], Awaitable[T]], over: Sequence[A]) -> list[T]:
    """The results of ``work`` in order, of a few at a time. The first failure ends the others and is raised."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def within(one: A) -> T:
        async with places:
            return await work(one)

    tasks = [asyncio.ensure_future(within(one)) for one in over]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
