"""Who is calling: the API key of a request, checked against its hash."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from fileplane.clock import Clock
from fileplane.errors import InvalidApiKey, MissingApiKey, MissingScope
from fileplane.ids import hash_api_key
from fileplane.metadata.base import MetadataStore
from fileplane.model import ApiKey, Principal, Scope

_CACHED_KEYS: Final = 10_000
_BEARER: Final = "bearer "


def api_key_of(headers: Mapping[str, str]) -> str:
    """The Fileplane key: ``x-portkey-api-key`` when there is one (``Authorization`` is then the provider's), else the bearer token.

    Raises :class:`~fileplane.errors.MissingApiKey`.
    """
    portkey = headers.get("x-portkey-api-key", "").strip()
    if portkey:
        return portkey
    authorization = headers.get("authorization", "")
    if authorization[: len(_BEARER)].lower() == _BEARER and authorization[len(_BEARER) :].strip():
        return authorization[len(_BEARER) :].strip()
    raise MissingApiKey(
        "You didn't provide an API key. Send it in an Authorization header using Bearer auth (Authorization: Bearer YOUR_KEY), "
        "or in x-portkey-api-key."
    )


class Authenticator:
    """Remembers keys that worked for a few seconds, so that a revoked key stops working soon and a good one costs no query."""

    def __init__(self, metadata: MetadataStore, clock: Clock, cache_seconds: float) -> None:
        self._metadata = metadata
        self._clock = clock
        self._cache_seconds = cache_seconds
        self._cache: OrderedDict[bytes, tuple[float, ApiKey, Principal]] = OrderedDict()

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Raises :class:`~fileplane.errors.MissingApiKey` or :class:`~fileplane.errors.InvalidApiKey`."""
        key_hash = hash_api_key(api_key_of(headers))
        now = self._clock.monotonic()
        cached = self._cache.get(key_hash)
        if cached is None or cached[0] <= now:
            cached = await self._look_up(key_hash, now)
        _, key, principal = cached
        if not key.works_at(self._clock.now_ms() // 1000):
            raise InvalidApiKey("This API key has expired or been revoked. Ask the operator for a new one.")
        return principal

    async def _look_up(self, key_hash: bytes, now: float) -> tuple[float, ApiKey, Principal]:
        key = await self._metadata.find_api_key(key_hash)
        if key is None:
            self._cache.pop(key_hash, None)
            raise InvalidApiKey("Incorrect API key provided. Check it for typing errors, or ask the operator for a new one.")
        entry = (now + self._cache_seconds, key, Principal(key.project_id, key.id, key.scopes, key.organisation))
        self._cache[key_hash] = entry
        self._cache.move_to_end(key_hash)
        if len(self._cache) > _CACHED_KEYS:
            self._cache.popitem(last=False)
        return entry


def require_scope(principal: Principal, scope: Scope) -> None:
    """Raises :class:`~fileplane.errors.MissingScope`."""
    if scope.value not in principal.scopes:
        raise MissingScope(scope.value)
