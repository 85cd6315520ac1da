"""Access tokens, kept in memory until shortly before they expire: one fetch at a time for each identity."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from fileplane.errors import ProviderRefused, UpstreamTimeout
from fileplane.secrets.values import Secret

I = TypeVar("I")  # noqa: E741 - an identity
T = TypeVar("T")

_LONGEST_KEPT_SECONDS: Final = 86_400.0
_MOST_KEPT: Final = 1_000
_UNAUTHORISED: Final = 401


@dataclass(slots=True)
class _Kept:
    token: Secret | None = None
    expires_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    callers: int = 0
    failures: int = 0
    failure: Exception | None = None
    """The last one, as long as anybody may have waited for it."""


class KeptTokens(Generic[I]):
    """One for a process and a kind of identity. However many ask for the same token at once, it is fetched once; the last 1,000 are kept.

    ``fetch`` gives a token and the seconds that it lasts, ``key_of`` says of two identities whether they are the same and nothing of what
    is secret of them; ``spare_seconds`` before its end a token is replaced.
    """

    def __init__(
        self,
        fetch: Callable[[I], Awaitable[tuple[Secret, float]]],
        key_of: Callable[[I], bytes],
        *,
        spare_seconds: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._key_of = key_of
        self._spare_seconds = spare_seconds
        self._now = now
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    async def token(self, identity: I, within: float | None = None) -> Secret:
        """A token that lasts for ``spare_seconds`` at least, where the issuer gives such. Raises what ``fetch`` raises.

        Whoever waits for a fetch that fails is told the same, so that nobody waits for one after another. Raises
        :class:`~fileplane.errors.UpstreamTimeout` where there is none ``within`` so many seconds.
        """
        key = self._key_of(identity)
        kept = self._kept.setdefault(key, _Kept())
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        kept.callers += 1
        try:
            async with asyncio.timeout(within):
                return await self._token(identity, kept)
        except TimeoutError as error:
            raise UpstreamTimeout("The provider gave no token in the time that the request gives it. Try again.") from error
        finally:
            kept.callers -= 1
            if not kept.callers:
                kept.failure = None

    async def _token(self, identity: I, kept: _Kept) -> Secret:
        failures = kept.failures
        async with kept.lock:
            if kept.token is not None and self._now() < kept.expires_at:
                return kept.token
            if kept.failure is not None and kept.failures > failures:
                raise kept.failure
            try:
                kept.token, lifetime = await self._fetch(identity)
            except Exception as error:
                kept.failures, kept.failure = kept.failures + 1, error
                raise
            kept.expires_at = self._now() + max(0.0, min(lifetime, _LONGEST_KEPT_SECONDS) - self._spare_seconds)
            return kept.token

    def kept(self, identity: I) -> Secret | None:
        """The token that the next call would be made with, where one is kept."""
        kept = self._kept.get(self._key_of(identity))
        return None if kept is None or self._now() >= kept.expires_at else kept.token

    def drop(self, identity: I, token: Secret) -> None:
        """Lets a new token be fetched, unless somebody has done so since ``token`` was refused."""
        kept = self._kept.get(self._key_of(identity))
        if kept is not None and kept.token is token:
            kept.token = None

    async def renewing(self, identity: I | None, call: Callable[[], Awaitable[T]], *, again: bool = True) -> T:
        """What ``call`` gives. A kept token that is refused is dropped, and ``call`` made once more; not if it can be made only once."""
        kept = None if identity is None else self.kept(identity)
        try:
            return await call()
        except ProviderRefused as error:
            if identity is None or kept is None or error.status != _UNAUTHORISED:
                raise
            self.drop(identity, kept)
            if not again:
                raise
        return await call()
