"""CORS (https://fetch.spec.whatwg.org/#http-cors-protocol): which web pages may call ``/v1`` from a browser.

Only pages of the origins that the operator lists, which is none by default. An origin that is not listed is never named in an answer.
Credentials of the browser's own (cookies, certificates) are never allowed, with ``*`` or without: callers say who they are by a header.
"""

from __future__ import annotations

import re
from typing import Final

from starlette.types import Scope

from fileplane.settings import Settings

RawHeaders = list[tuple[bytes, bytes]]

_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_MOST_NAMES_BYTES: Final = 2_048
_SECONDS: Final = b"600"
# fmt: off
EXPOSED: Final = (
    "Accept-Ranges", "Allow", "Content-Disposition", "Content-Length", "Content-Range", "ETag", "Location",
    "Retry-After", "Tus-Checksum-Algorithm", "Tus-Extension", "Tus-Max-Size", "Tus-Resumable", "Tus-Version",
    "Upload-Defer-Length", "Upload-Expires", "Upload-Length", "Upload-Metadata", "Upload-Offset",
    "Idempotent-Replayed", "X-Fileplane-File-Id", "X-Fileplane-Provider-Request-Id", "X-Request-Id",
    "X-Should-Retry", "X-Portkey-Last-Used-Option-Index", "X-Portkey-Provider",
    "X-Portkey-Retry-Attempt-Count", "X-Portkey-Trace-Id", "X-RateLimit-Limit-Requests",
    "X-RateLimit-Remaining-Requests", "X-RateLimit-Reset-Requests",
)
# fmt: on
"""What answers have beyond the few headers that browsers show to pages by themselves."""

_EXPOSED: Final = ", ".join(EXPOSED).encode()


class Cors:
    """What answers say to browsers."""

    def __init__(self, settings: Settings) -> None:
        self._origins = {origin.encode() for origin in settings.cors_origins}
        self._any = b"*" in self._origins

    def headers(self, scope: Scope) -> RawHeaders:
        """For every answer to a request, whatever becomes of it; nothing where no page may call."""
        if not self._origins or not _is_of_the_api(scope):
            return []
        if self._any:
            return [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED)]
        # Caches must not give the answer to one page to another.
        vary = [(b"vary", b"Origin")]
        origin = _only(scope, b"origin")
        if origin not in self._origins:
            return vary
        return [(b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED), *vary]

    def preflight(self, scope: Scope) -> RawHeaders | None:
        """What a preflight is answered with besides :meth:`headers`; None for other requests, and for pages that may not call.

        It needs no key: browsers send none with it. Every header may be sent, since each of the clients for browsers has its own.
        """
        if scope["method"] != "OPTIONS" or not self._origins or not _is_of_the_api(scope):
            return None
        if not self._any and _only(scope, b"origin") not in self._origins:
            return None
        if _only(scope, b"origin") is None or _only(scope, b"access-control-request-method") is None:
            return None
        names = _only(scope, b"access-control-request-headers") or b""
        allowed = names if len(names) <= _MOST_NAMES_BYTES and _NAMES.fullmatch(names) else b"Authorization, Content-Type"
        return [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", allowed),
            (b"access-control-max-age", _SECONDS),
            (b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]


def _is_of_the_api(scope: Scope) -> bool:
    path: str = scope["path"]
    return path == "/v1" or path.startswith("/v1/")


def _only(scope: Scope, wanted: bytes) -> bytes | None:
    """The value of a header that is there once."""
    values = [value for name, value in scope["headers"] if name == wanted]
    return bytes(values[0]) if len(values) == 1 else None
