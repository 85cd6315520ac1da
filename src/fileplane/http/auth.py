"""Who is calling: the API key of a request, checked against its hash."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from starlette.types import Scope as AsgiScope

from fileplane.access import KnownKey, Principal
from fileplane.clock import Clock
from fileplane.control.key_uses import KeyUses
from fileplane.errors import InvalidApiKey, MissingApiKey
from fileplane.ids import hash_api_key
from fileplane.metadata.base import MetadataStore

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

    def __init__(self, metadata: MetadataStore, clock: Clock, cache_seconds: float, uses: KeyUses | None = None) -> None:
        """``uses`` is told of every key that worked."""
        self._metadata = metadata
        self._clock = clock
        self._cache_seconds = cache_seconds
        self._uses = uses
        self._cache: OrderedDict[bytes, tuple[float, KnownKey, Principal]] = OrderedDict()

    async def authenticate(self, headers: Mapping[str, str]) -> Principal:
        """Raises :class:`~fileplane.errors.MissingApiKey` or :class:`~fileplane.errors.InvalidApiKey`."""
        key_hash = hash_api_key(api_key_of(headers))
        now = self._clock.monotonic()
        cached = self._cache.get(key_hash)
        if cached is None or cached[0] <= now:
            cached = await self._look_up(key_hash, now)
        _, known, principal = cached
        seconds = self._clock.now_ms() // 1000
        if not known.works_at(seconds):
            raise InvalidApiKey("This API key has expired or been revoked. Ask the operator for a new one.")
        if self._uses is not None:
            self._uses.note(principal.key_id, seconds)
        return principal

    async def _look_up(self, key_hash: bytes, now: float) -> tuple[float, KnownKey, Principal]:
        known = await self._metadata.find_api_key(key_hash)
        if known is None:
            self._cache.pop(key_hash, None)
            raise InvalidApiKey("Incorrect API key provided. Check it for typing errors, or ask the operator for a new one.")
        entry = (now + self._cache_seconds, known, principal_of(known, key_hash))
        self._cache[key_hash] = entry
        self._cache.move_to_end(key_hash)
        if len(self._cache) > _CACHED_KEYS:
            self._cache.popitem(last=False)
        return entry


def principal_of(known: KnownKey, key_hash: bytes | None = None) -> Principal:
    """Who calls with this key, sent in the form of that hash."""
    key, project = known.key, known.project
    return Principal(
        key.project_id,
        key.id,
        key.scopes,
        key.organisation,
        project.limits,
        key.limits,
        project.defaults,
        key.defaults,
        known.works_until,
        key_hash,
    )


def joined_headers(scope: AsgiScope) -> dict[str, str]:
    """The headers, looked through once for all. One sent twice has both values, as RFC 9110 (section 5.3) has it, and so names nothing."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
