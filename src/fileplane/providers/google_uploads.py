"""Google's resumable uploads, as its SDKs make them: one call begins a session, others bring the bytes, the last of which makes the file.

The session has a URL of its own, which whoever knows it may write to, so that no key belongs there, and none is sent. The provider names
that URL in its answer; it is used only at the origin that the target itself has, scheme, host and port: neither the file nor anything of
the caller's goes elsewhere because an answer says so.

The bytes are passed on as they come, in parts of 8 MiB, or as near to it as the server's granularity allows. No part but the last can make
a file. Whatever fails cancels the session, which leaves nothing at the provider; where that fails as well, the session has no file, and
ends by itself. Only where the last byte was handed over, and nobody knows what became of it, is the session left alone.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from fileplane.errors import FileplaneError, InvalidValue, UploadLost, UpstreamAnswerInvalid, UpstreamOutcomeUnknown, UpstreamTimeout
from fileplane.providers.access import Access
from fileplane.providers.answers import answer_of, time_at
from fileplane.providers.base import RemoteFile, RemoteUpload, Target
from fileplane.providers.calls import SUCCESSES, refused, refused_sending, request_to
from fileplane.providers.dialects import Dialect
from fileplane.providers.egress import Egress
from fileplane.providers.egress_policy import parse_base_url, place_of
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.egress_response import EgressResponse
from fileplane.providers.multipart_body import harmless_media_type
from fileplane.providers.openai import uploaded
from fileplane.providers.refusals import MOST_ANSWER_BYTES
from fileplane.providers.request_body import RequestBody

PART_BYTES: Final = 8 << 20
_LARGEST_GRANULARITY: Final = 1 << 30
_CANCEL_SECONDS: Final = 5.0
_VERSION: Final = re.compile(r"v\d+(?:(?:alpha|beta)\d*)?")
_NOT_AS_LONG: Final = "The file has {} bytes than were announced."


@dataclass(slots=True)
class _Session:
    """One upload. ``finishing`` is the body of the part that makes the file, once it is being sent."""

    target: Target
    access: Access
    url: str
    part_bytes: int
    ends_at: float
    offset: int = 0
    finishing: RequestBody | None = None

    @property
    def may_be_final(self) -> bool:
        return self.finishing is not None and self.finishing.complete

    def request(self, command: str, body: RequestBody | None, **headers: str) -> EgressRequest:
        """Without the key: the URL alone says whose upload it is."""
        return request_to(
            replace(self.target, request_timeout_seconds=_seconds_until(self.ends_at)),
            Access(self.access.base_url),
            "POST",
            self.url,
            headers={"X-Goog-Upload-Command": command, **headers},
            body=body,
        )


class ResumableUploads:
    """Makes them, for any number of targets at once."""

    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._cancelling: set[asyncio.Task[None]] = set()

    async def send(self, target: Target, dialect: Dialect, access: Access, upload: RemoteUpload) -> RemoteFile:
        """The new file of an upload whose length is known. Raises as :meth:`fileplane.providers.base.Provider.upload` says.

        The target's own timeout, and the longest time that a call may take, hold for all calls of the upload together.
        """
        assert upload.length is not None, "the dialect needs it, and uploads without are refused"
        given = min(target.request_timeout_seconds or self._egress.total_seconds, self._egress.total_seconds)
        ends_at = asyncio.get_running_loop().time() + given
        beginning = asyncio.ensure_future(self._begun(target, access, upload, upload.length, ends_at))
        try:
            session = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            self._later(self._cancel_begun(beginning))
            raise
        try:
            parts = _Parts(upload.content)
            while upload.length - session.offset > session.part_bytes:
                await self._part(session, parts)
            return await self._last_part(session, dialect, parts, upload)
        except BaseException as error:
            if not (session.may_be_final and isinstance(error, UpstreamOutcomeUnknown)):
                await self._cancelled(session)
            raise

    async def _begun(self, target: Target, access: Access, upload: RemoteUpload, length: int, ends_at: float) -> _Session:
        media_type = harmless_media_type(upload.media_type)
        name = upload.filename.encode("utf-8", "replace").decode()
        described = {"displayName": name, "mimeType": media_type, "sizeBytes": str(length)}
        body = _body(json.dumps({"file": described}).encode(), "application/json")
        request = request_to(
            replace(target, request_timeout_seconds=_seconds_until(ends_at)),
            access,
            "POST",
            _uploads_url(access.base_url),
            headers={
                "X-Goog-Upload-Protocol": "resumable",
                "X-Goog-Upload-Command": "start",
                "X-Goog-Upload-Header-Content-Length": str(length),
                "X-Goog-Upload-Header-Content-Type": media_type,
            },
            body=body,
        )
        async with self._egress.call(replace(request, repeatable=True)) as response:
            if response.status not in SUCCESSES:
                raise await refused(target, access, response)
            return _Session(target, access, _session_url(response, access), _part_bytes(response), ends_at)

    async def _part(self, session: _Session, parts: _Parts) -> None:
        body = RequestBody(parts.next(session.part_bytes), session.part_bytes)
        request = session.request("upload", body, **{"X-Goog-Upload-Offset": str(session.offset)})
        async with self._egress.call(replace(request, repeatable=True)) as response:
            if response.status not in SUCCESSES:
                raise await refused(session.target, session.access, response)
            if not body.complete or _status(response) == "final":
                raise UploadLost(
                    "The provider says that it has the file before it was sent whole. It may have a part; look at its list first."
                )
            if _status(response) != "active":
                raise UpstreamAnswerInvalid("The provider does not say that it has this part of the file, and waits for more.")
        session.offset += session.part_bytes

    async def _last_part(self, session: _Session, dialect: Dialect, parts: _Parts, upload: RemoteUpload) -> RemoteFile:
        assert upload.length is not None
        left = upload.length - session.offset
        body = session.finishing = RequestBody(parts.next(left, last=True), left)
        request = session.request("upload, finalize", body, **{"X-Goog-Upload-Offset": str(session.offset)})
        async with self._egress.call(request) as response:
            if response.status not in SUCCESSES:
                raise await refused_sending(session.target, session.access, response, body)
            if not body.complete:
                raise UploadLost("The provider answered before it had the whole file. It may have a part; look at its list first.")
            if _status(response) != "final":
                raise UploadLost("The provider does not say that it has the whole file. It may have; look at its list first.")
            answering = answer_of(session.target, session.access, response, MOST_ANSWER_BYTES)
            return await uploaded(dialect, upload, answering, upload.length, time_at(response))

    async def _cancelled(self, session: _Session) -> None:
        """Ends a session, also while the upload is being cancelled itself, and within a deadline of its own."""
        await asyncio.shield(self._later(self._cancel(session)))

    def _later(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._cancelling.add(task)
        task.add_done_callback(self._cancelling.discard)
        return task

    async def _cancel_begun(self, beginning: asyncio.Task[_Session]) -> None:
        """Ends a session whose beginning nobody waits for any more, as soon as it is known where it is."""
        with suppress(FileplaneError, TimeoutError, RuntimeError):
            async with asyncio.timeout(_CANCEL_SECONDS):
                session = await beginning
            await self._cancel(session)

    async def _cancel(self, session: _Session) -> None:
        headers = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "cancel"}
        request = EgressRequest("POST", session.url, headers, head_seconds=_CANCEL_SECONDS, caller=session.target.caller)
        # A process that ends closes its connections meanwhile, which is a RuntimeError; what was wrong before is told anyway.
        with suppress(FileplaneError, TimeoutError, RuntimeError):
            async with asyncio.timeout(_CANCEL_SECONDS), self._egress.call(request):
                pass


@dataclass(slots=True)
class _Parts:
    """A file's bytes, in consecutive parts of lengths that are known before."""

    content: AsyncIterator[bytes]
    _rest: bytes = field(default=b"", init=False)

    async def next(self, length: int, *, last: bool = False) -> AsyncIterator[bytes]:
        """The next ``length`` bytes. Raises :class:`~fileplane.errors.InvalidValue` when there are fewer, or more after the ``last``."""
        left = length
        while left:
            piece = self._rest or await self._piece()
            if not piece:
                raise InvalidValue(_NOT_AS_LONG.format("fewer"), param="file")
            taken, self._rest = piece[:left], piece[left:]
            left -= len(taken)
            yield taken
        if last and (self._rest or await self._piece()):
            raise InvalidValue(_NOT_AS_LONG.format("more"), param="file")

    async def _piece(self) -> bytes:
        """The next piece that is not empty; an empty one at the end."""
        while (piece := await anext(self.content, None)) is not None:
            if piece:
                return piece
        return b""


def _body(content: bytes, media_type: str) -> RequestBody:
    async def once() -> AsyncIterator[bytes]:
        yield content

    body = RequestBody(once(), len(content))
    body.content_type = media_type
    return body


def _uploads_url(base_url: str) -> str:
    """Where sessions begin: before the version of the API, where the base URL ends with one, stands ``/upload``."""
    place = parse_base_url(base_url)
    before, _, version = place.path.rpartition("/")
    path = f"{before}/upload/{version}" if _VERSION.fullmatch(version) else f"{place.path}/upload"
    return f"{place.origin()}{path}/files"


def _session_url(response: EgressResponse, access: Access) -> str:
    url = response.headers.get("x-goog-upload-url", "")
    try:
        origin = place_of(url).origin()
    except InvalidValue as error:
        raise UpstreamAnswerInvalid("The provider does not say where the file is to be sent.") from error
    if origin != parse_base_url(access.base_url).origin():
        raise UpstreamAnswerInvalid("The provider wants the file to be sent to another host than its own, where nothing is sent.")
    return url


def _part_bytes(response: EgressResponse) -> int:
    said = response.headers.get("x-goog-upload-chunk-granularity", "1")
    granularity = int(said) if said.isascii() and said.isdigit() and len(said) < len(str(_LARGEST_GRANULARITY)) else 0
    if not granularity:
        raise UpstreamAnswerInvalid("The provider does not say in which parts the file is to be sent.")
    return max(granularity, PART_BYTES // granularity * granularity)


def _status(response: EgressResponse) -> str:
    return response.headers.get("x-goog-upload-status", "").strip().lower()


def _seconds_until(ends_at: float) -> float:
    """Raises :class:`~fileplane.errors.UpstreamTimeout` where none are left."""
    left = ends_at - asyncio.get_running_loop().time()
    if left <= 0:
        raise UpstreamTimeout("The provider did not take the file in time. Try again.")
    return left
