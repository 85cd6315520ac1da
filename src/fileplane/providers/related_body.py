"""multipart/related with two parts, an object's description and its bytes: how Google takes both in one request (RFC 2387)."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fileplane.providers.request_body import RequestBody

JSON_TYPE = "application/json; charset=UTF-8"


class RelatedBody(RequestBody):
    """``length`` bytes of ``content`` after ``description`` as JSON. ``media_type`` must be one that can stand in a header."""

    def __init__(self, description: Mapping[str, Any], media_type: str, content: AsyncIterator[bytes], length: int) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/related; boundary={boundary}"
        self._head = (
            f"--{boundary}\r\nContent-Type: {JSON_TYPE}\r\n\r\n".encode()
            + json.dumps(description).encode()
            + f"\r\n--{boundary}\r\nContent-Type: {media_type}\r\n\r\n".encode()
        )
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._file = content
        super().__init__(self._form(), len(self._head) + length + len(self._tail))

    async def _form(self) -> AsyncIterator[bytes]:
        yield self._head
        async for piece in self._file:
            yield piece
        yield self._tail


class SmallBody(RequestBody):
    """A text that is there already."""

    def __init__(self, content: bytes, content_type: str) -> None:
        self.content_type = content_type
        super().__init__(_once(content), len(content))


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
