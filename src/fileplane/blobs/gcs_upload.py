"""A resumable upload to Google Cloud Storage. What is abandoned cannot be listed there; Google forgets it after a week."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from fileplane.blobs.bucket import UploadDamaged
from fileplane.blobs.gcs_http import FAILURES, GcsHttp, GcsRefused

_DONE: Final = frozenset({200, 201})
_MORE: Final = 308
_RECEIVED: Final = re.compile(r"bytes=0-([0-9]+)")
_CANCELLED: Final = frozenset({200, 204, 404, 410, 499})
_RESUMPTIONS: Final = 3
_REST_SECONDS: Final = 0.2


class GcsUpload:
    """See :class:`fileplane.blobs.bucket.Upload`. One part is sent while the next is gathered; what fits into one part is one request."""

    def __init__(self, http: GcsHttp, url: str, parameters: Mapping[str, str], part_bytes: int, *, md5: bool) -> None:
        self._http = http
        self._url = url
        self._parameters = dict(parameters)
        self._part_bytes = part_bytes
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._sent = 0
        self._session: str | None = None
        self._sending: asyncio.Task[None] | None = None
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None

    async def write(self, data: bytes) -> None:
        """See :meth:`Upload.write`."""
        if self._md5 is not None:
            await asyncio.to_thread(self._md5.update, data)
        self._pieces.append(data)
        self._gathered += len(data)
        while self._gathered > self._part_bytes:  # the last byte is kept for the end, which has to say that it is one
            await self._settle()
            joined = b"".join(self._pieces)
            self._pieces = [joined[self._part_bytes :]]
            self._gathered -= self._part_bytes
            self._sending = asyncio.ensure_future(self._send(joined[: self._part_bytes], last=False))

    async def _settle(self) -> None:
        if self._sending is not None:
            await self._sending
            self._sending = None

    async def finish(self) -> None:
        """See :meth:`Upload.finish`."""
        await self._settle()
        body = b"".join(self._pieces)
        if self._sent:
            await self._send(body, last=True)
            return
        parameters = self._parameters | {"uploadType": "media"}
        async with self._http.send("POST", self._url, params=parameters, body=body, headers=_PLAIN, accepted=_DONE) as response:
            self._compare(await response.json(content_type=None), str(len(body)))

    async def abort(self) -> None:
        """See :meth:`Upload.abort`."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError, *FAILURES):
                await self._sending
        if self._session is not None:
            async with self._http.send("DELETE", self._session, accepted=_CANCELLED):
                pass

    async def _begin(self) -> str:
        parameters = self._parameters | {"uploadType": "resumable"}
        headers = {"content-type": "application/json", "x-upload-content-type": "application/octet-stream"}
        body = json.dumps({"name": self._parameters["name"], "contentType": "application/octet-stream"}).encode()
        async with self._http.send("POST", self._url, params=parameters, headers=headers, body=body, accepted=_DONE) as response:
            location = response.headers.get("location")
        if location is None:
            raise OSError("the store began an upload without saying where it goes on")
        return location

    async def _send(self, data: bytes, *, last: bool) -> None:
        """One part, and after a failure whatever the store says it does not have of it."""
        session = self._session = self._session or await self._begin()
        total = str(self._sent + len(data)) if last else "*"
        start, end = self._sent, self._sent + len(data)
        for left in reversed(range(_RESUMPTIONS)):
            try:
                received = await self._put(session, data[start - self._sent :], start, total)
            except UploadDamaged:
                raise
            except FAILURES as error:
                if not left or (isinstance(error, GcsRefused) and error.status < 500):  # noqa: PLR2004 - the store's own failures
                    raise
                await asyncio.sleep(_REST_SECONDS)
                received = await self._put(session, b"", None, total)
            if received is None or (received == end and not last):
                self._sent = end
                return
            if not self._sent <= received <= end:
                raise OSError(f"the store has {received} bytes of an upload of which {end} were sent")
            start = received
        raise OSError("the store does not take the rest of an upload")

    async def _put(self, session: str, data: bytes, start: int | None, total: str) -> int | None:
        """How much the store has of the upload, or None when it is complete. Without ``start`` only asks."""
        known = f"bytes {start}-{start + len(data) - 1}/{total}" if start is not None and data else f"bytes */{total}"
        headers = {**_PLAIN, "content-range": known}
        accepted = _DONE | {_MORE}
        async with self._http.send("PUT", session, body=data, headers=headers, accepted=accepted, repeatable=False) as response:
            if response.status in _DONE:
                self._compare(await response.json(content_type=None), total)
                return None
            match = _RECEIVED.fullmatch(response.headers.get("range", ""))
            return int(match[1]) + 1 if match else 0

    def _compare(self, described: Mapping[str, Any], total: str) -> None:
        """Raises :class:`UploadDamaged` when the store has other bytes than were sent. A store that tells no MD5 is believed."""
        if described.get("size") != total:
            raise UploadDamaged(f"the store completed an upload of {total} bytes with {described.get('size')}")
        told = described.get("md5Hash")
        if self._md5 is not None and told is not None and told != base64.b64encode(self._md5.digest()).decode():
            raise UploadDamaged("the store has other bytes than were sent: its MD5 differs")


_PLAIN: Final = {"content-type": "application/octet-stream"}
