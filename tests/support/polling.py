"""Waiting for what must come true, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_INTERVAL_SECONDS = 0.02
_PATIENCE_SECONDS = 20.0  # costs nothing where it comes true, and machines that test are busy


def eventually(condition: Callable[[], object], what: str, *, seconds: float = _PATIENCE_SECONDS) -> None:
    """Returns as soon as ``condition`` holds; fails with ``what`` and the last value when it does not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what} (last: {value!r})")
        time.sleep(_INTERVAL_SECONDS)


def eventually_equal(read: Callable[[], object], expected: object, *, seconds: float = _PATIENCE_SECONDS) -> None:
    """Returns as soon as ``read`` gives ``expected``; otherwise the failure shows both."""
    deadline = time.monotonic() + seconds
    while (value := read()) != expected:
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: expected {expected!r}, still {value!r}")
        time.sleep(_INTERVAL_SECONDS)


async def eventually_async(condition: Callable[[], object], what: str, *, seconds: float = _PATIENCE_SECONDS) -> None:
    """As :func:`eventually`, while other tasks go on."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what} (last: {value!r})")
        await asyncio.sleep(_INTERVAL_SECONDS)


async def eventually_equal_async(read: Callable[[], object], expected: object, *, seconds: float = _PATIENCE_SECONDS) -> None:
    """As :func:`eventually_equal`, while other tasks go on."""
    deadline = time.monotonic() + seconds
    while (value := read()) != expected:
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: expected {expected!r}, still {value!r}")
        await asyncio.sleep(_INTERVAL_SECONDS)
