"""Calls to providers as a config wants them: repeated after some failures, then made at the next target."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from fileplane.errors import (
    FileplaneError,
    InvalidValue,
    ProviderRefused,
    RequestTimeout,
    StorageUnavailable,
    UpstreamError,
    UpstreamOutcomeUnknown,
    UpstreamSuspended,
    UpstreamTimeout,
)
from fileplane.files.remote_route import ClosedTarget, NativeTarget, RemoteRoute, RemoteTarget, Repeats, Trace
from fileplane.providers.egress_policy import CUSTOM_HOST

T = TypeVar("T")

MOST_REPETITIONS: Final = 5
"""At one target, also where a config asks for more."""
LONGEST_WAIT_SECONDS: Final = 60.0
"""Between two attempts, and of all waits of a request together: no SDK waits longer for the answer to begin."""
LONGEST_REPEATING_SECONDS: Final = 600.0
"""From a request's first call: no repetition begins later, because by then the SDKs have given the request up."""
_FIRST_WAIT_SECONDS: Final = 0.5
_TIMERS_DIFFER_SECONDS: Final = 0.005
"""The event loop's clock has steps of a millisecond, and a timer may seem to have run out a step too early."""
_OF_OURS: Final = (StorageUnavailable,)
NATIVE_NAME: Final = "fileplane"
"""What answers call the native store."""

_log = logging.getLogger(__name__)


async def along_the_plan(
    route: RemoteRoute, call: Callable[[RemoteTarget], Awaitable[T]], native: Callable[[], Awaitable[T]] | None = None
) -> T:
    """``call`` at the plan's targets until one succeeds or the config does not go on; ``native`` where it names the native store.

    Raises the last failure. What no target has to do with, such as a disk too full for temporary copies, ends it at once.
    """
    number: int | None = 0
    while True:
        assert number is not None
        target = route.plan[number]
        try:
            if isinstance(target, RemoteTarget):
                return await repeated(target, call, route.trace)
            name = NATIVE_NAME if isinstance(target, NativeTarget) else target.name
            route.trace.path, route.trace.provider, route.trace.repetitions = target.path, name, 0
            if isinstance(target, ClosedTarget):
                raise target.why
            assert native is not None, "only uploads have a plan with the native store in it"
            return await native()
        except FileplaneError as error:
            if isinstance(error, _OF_OURS) and isinstance(target, RemoteTarget):
                raise
            number = route.after(number, error.status)
            if number is None:
                raise
            _log.info("the target %s failed with %d, the next one is tried: %s", target.path, error.status, error.message)


async def repeated(target: RemoteTarget, call: Callable[[RemoteTarget], Awaitable[T]], trace: Trace) -> T:
    """``call`` at one target, again after failures that its config names, never after one of unknown outcome: that could do it twice."""
    repeats, most = target.repeats, min(target.repeats.attempts, MOST_REPETITIONS)
    waits = Waits(trace)
    trace.path, trace.provider, trace.repetitions = target.path, target.provider.name, 0
    trace.heard = target.target.heard
    for number in range(most + 1):
        try:
            result = await _once(target, call)
        except UpstreamOutcomeUnknown:
            trace.repetitions = -1 if number else 0
            raise
        except UpstreamSuspended:
            # It would be refused again until its time has come; whoever comes next in the plan need not wait for that.
            trace.repetitions = -1 if most else 0
            raise
        except (UpstreamError, RequestTimeout) as error:
            if error.status not in repeats.on_status_codes:
                trace.repetitions = -1 if number else 0
                raise
            wait = None if number == most else waits.next(number, repeats, error)
            if wait is None:
                trace.repetitions = -1 if most else 0
                raise
            await asyncio.sleep(wait)
        else:
            trace.repetitions = number
            return result
    raise AssertionError("unreachable")


class Waits:
    """The time that one request spends between attempts: growing, with chance in it, and bounded in total.

    ``now`` is a clock that never goes back, in seconds.
    """

    def __init__(self, trace: Trace, chance: Callable[[], float] = random.random, now: Callable[[], float] = time.monotonic) -> None:
        self._trace = trace
        self._chance = chance
        self._now = now
        if trace.began is None:
            trace.began = now()

    def next(self, number: int, repeats: Repeats, error: FileplaneError) -> float | None:
        """Seconds before the attempt after attempt ``number``, or None when it would take too long.

        What the provider asks for is waited for, if the config says so; else half to all of 0.5, 1, 2, … seconds.
        """
        asked = error.retry_after if repeats.use_retry_after and isinstance(error, ProviderRefused) else None
        wait = asked if asked is not None else _FIRST_WAIT_SECONDS * 2.0**number * (0.5 + self._chance() / 2)
        assert self._trace.began is not None
        late = self._now() + wait - self._trace.began > LONGEST_REPEATING_SECONDS
        if late or self._trace.waited_seconds + wait > LONGEST_WAIT_SECONDS:
            return None
        self._trace.waited_seconds += wait
        return wait


async def _once(target: RemoteTarget, call: Callable[[RemoteTarget], Awaitable[T]]) -> T:
    """Tells of the request's own timeout as such, 408 instead of 504, and of a stored host as such, which no header has named.

    An upload of unknown outcome stays what it is.
    """
    bound, began = target.target.request_timeout_seconds, asyncio.get_running_loop().time()
    try:
        return await call(target)
    except InvalidValue as error:
        if target.target.stored and error.param == CUSTOM_HOST:
            error.param = "custom_host"
            error.add("The host is the one that is saved with the credential.")
        raise
    except UpstreamTimeout as error:
        if bound is None or asyncio.get_running_loop().time() - began < bound - _TIMERS_DIFFER_SECONDS:
            raise
        raise RequestTimeout(
            f"The provider did not answer within the {bound * 1000:.0f} ms that the request or its config gives it, for an upload with "
            "the time in which it is sent. Allow more.",
            param="x-portkey-request-timeout",
        ) from error
