"""An upload to Cloud Storage: one request for what fits into a chunk, a resumable session for what is larger.

The protocol is that of https://cloud.google.com/storage/docs/performing-resumable-uploads and
https://cloud.google.com/storage/docs/uploading-objects. A session takes chunks of a multiple of 256 KiB, answers 308 with the ``Range``
that it has, and is ended with DELETE, which it answers with 499. Until its last chunk there is no object. Its URI is as good as a
credential and outlasts any token, so that requests to it carry none: an upload may take longer than a token is valid.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from fileplane.errors import (
    FileplaneError,
    InvalidValue,
    ProviderRefused,
    UploadLost,
    UpstreamAnswerInvalid,
    UpstreamOutcomeUnknown,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers.access import Access
from fileplane.providers.answers import answer_of
from fileplane.providers.base import RemoteFile, Target
from fileplane.providers.calls import SUCCESSES, refused, refused_sending, request_to
from fileplane.providers.egress import Egress
from fileplane.providers.egress_policy import place_of
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.egress_response import EgressResponse
from fileplane.providers.object_chunks import Chunk, in_chunks
from fileplane.providers.object_ids import ObjectPlace
from fileplane.providers.refusals import MOST_ANSWER_BYTES
from fileplane.providers.related_body import JSON_TYPE, RelatedBody, SmallBody
from fileplane.providers.request_body import RequestBody
from fileplane.providers.vertex_objects import bucket_path, file_of
from fileplane.secrets.values import Secret

CHUNK_BYTES: Final = 8 << 20
"""Of a resumable upload, a multiple of 256 KiB; one is held in memory."""
_LEAST_KEPT: Final = 256 << 10
_DONE: Final = frozenset({200, 201})
_MORE: Final = 308
_TAKEN: Final = 412
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_RESUMPTIONS: Final = 3
_REST_SECONDS: Final = 0.2
_CANCEL_SECONDS: Final = 5.0
_CANCELLED: Final = frozenset({200, 204, 404, 410, 499})
_RECEIVED: Final = re.compile(r"bytes=0-([0-9]{1,15})")

_log = logging.getLogger(__name__)
_cancellations: set[asyncio.Task[None]] = set()
"""Those under way, which nobody may wait for any more."""


@dataclass(frozen=True, slots=True)
class _State:
    """Of a session: the bytes that it has, or the object that it has become. ``early``: it says so before it can be."""

    received: int = 0
    done: bool = False
    described: Any = None
    early: bool = False


class ObjectUpload:
    """One upload of one object. ``description`` is the object's metadata as JSON, with its name."""

    def __init__(self, egress: Egress, target: Target, access: Access, place: ObjectPlace, description: Mapping[str, Any]) -> None:
        self._egress = egress
        self._target = target
        self._access = access
        self._place = place
        self._description = description
        self._opening: asyncio.Task[str] | None = None
        seconds = target.request_timeout_seconds
        self._ends_at = None if seconds is None else asyncio.get_running_loop().time() + seconds

    async def send(self, content: AsyncIterator[bytes]) -> RemoteFile:
        """The new object, with the bytes that were sent.

        Whatever fails leaves neither object nor session, but for :class:`~fileplane.errors.UpstreamOutcomeUnknown`. What ``content``
        raises is raised as it is. Raises :class:`~fileplane.errors.InvalidValue` for a name that an object has.
        """
        try:
            async with aclosing(in_chunks(content, CHUNK_BYTES)) as chunks:
                return await self._sent_in(chunks)
        except BaseException:
            await self._abandon()
            raise

    async def _sent_in(self, chunks: AsyncIterator[Chunk]) -> RemoteFile:
        async for chunk in chunks:
            if chunk.last and self._opening is None:
                return await self._whole(chunk)
            described = await self._put(await self._session(), chunk)
            if chunk.last:
                return self._uploaded(described, chunk.end)
            del chunk  # before the next one is gathered
        raise AssertionError("the last chunk says that it is")

    async def _whole(self, chunk: Chunk) -> RemoteFile:
        body = RelatedBody(self._description, str(self._description["contentType"]), chunk.content(), chunk.length)
        async with self._egress.call(self._to(self._access, "POST", self._url("multipart"), body=body)) as response:
            if response.status not in SUCCESSES:
                raise self._told(await refused_sending(self._target, self._access, response, body))
            if not body.complete:
                raise _early()
            return self._uploaded(await self._read(response, body), chunk.length)

    async def _session(self) -> str:
        """The session's URI. Cancelled while it is being opened, it is still known to :meth:`_abandon`."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._opened())
        return await asyncio.shield(self._opening)

    async def _opened(self) -> str:
        body = SmallBody(json.dumps(self._description).encode(), JSON_TYPE)
        headers = {"X-Upload-Content-Type": str(self._description["contentType"])}
        request = replace(self._to(self._access, "POST", self._url("resumable"), headers=headers, body=body), repeatable=True)
        async with self._egress.call(request) as response:
            if response.status not in _DONE:
                raise self._told(await refused(self._target, self._access, response))
            session = response.headers.get("location", "")
        if not self._is_own(session):
            raise UpstreamAnswerInvalid("The provider began an upload without saying where at its own host it goes on.")
        return session

    def _is_own(self, session: str) -> bool:
        """Whether a session is where the target is: a file is sent to nobody else, whatever an answer says."""
        try:
            own, named = place_of(self._access.base_url), place_of(session)
        except InvalidValue:
            return False
        below = (named.scheme, named.host, named.port) == (own.scheme, own.host, own.port) and named.path.startswith(f"{own.path}/upload/")
        return below and not urlsplit(session).fragment

    async def _put(self, session: str, chunk: Chunk) -> Any:
        """The object, after the last chunk. A chunk that fails is gone on with where the session says that it was left."""
        start, failures = chunk.first, 0
        while True:
            stumbled = False
            try:
                state = await self._sent(session, chunk, start)
            except (ProviderRefused, UpstreamUnreachable, UpstreamTimeout, UpstreamOutcomeUnknown) as error:
                failures += 1
                if failures > _RESUMPTIONS or not _passes(error):
                    raise
                state, stumbled = await self._state_after(session, chunk, failures, error), True
            if state.early or (state.done and not chunk.last):
                raise _early()
            if state.done or (state.received == chunk.end and not chunk.last):
                return state.described
            if not start <= state.received < chunk.end:
                raise UpstreamAnswerInvalid(f"The provider has {state.received} bytes of an upload of which {chunk.end} were sent.")
            # What stays is a multiple of that. Less would have the same bytes sent over and over.
            failures += state.received - start < _LEAST_KEPT and not stumbled
            if failures > _RESUMPTIONS:
                raise UpstreamUnreachable("The provider does not take the rest of the file. Try again.")
            start = state.received

    async def _sent(self, session: str, chunk: Chunk, start: int) -> _State:
        body = RequestBody(chunk.content(start), chunk.end - start)
        total = str(chunk.end) if chunk.last else "*"
        span = f"bytes {start}-{chunk.end - 1}/{total}" if chunk.end > start else f"bytes */{total}"
        request = self._to(Access(""), "PUT", session, headers={"Content-Range": span}, body=body)
        async with self._egress.call(replace(request, resumable=True, repeatable=not chunk.last)) as response:
            if response.status in _DONE and not (chunk.last and body.complete):
                return _State(early=True)
            return await self._state_of(session, response, body if chunk.last else None)

    async def _state_after(self, session: str, chunk: Chunk, failures: int, error: FileplaneError) -> _State:
        """What has become of a chunk that failed. Where that cannot be learned either, the failure is raised."""
        await asyncio.sleep(_REST_SECONDS * 2**failures)
        headers = {"Content-Range": f"bytes */{chunk.end if chunk.last else '*'}", "Content-Length": "0"}
        try:
            async with self._egress.call(replace(self._to(Access(""), "PUT", session, headers=headers), resumable=True)) as response:
                return await self._state_of(session, response, None)
        except FileplaneError as unknown:
            raise error from unknown

    async def _state_of(self, session: str, response: EgressResponse, body: RequestBody | None) -> _State:
        if response.status == _MORE:
            match = _RECEIVED.fullmatch(response.headers.get("range", "").strip())
            return _State(0 if match is None else int(match[1]) + 1)
        if response.status in _DONE:
            return _State(done=True, described=await self._read(response, body))
        known = Access(self._access.base_url, {**self._access.secret_headers, **_secrets_of(session)})
        if body is None:
            raise self._told(await refused(self._target, known, response))
        raise self._told(await refused_sending(self._target, known, response, body))

    async def _read(self, response: EgressResponse, body: RequestBody | None) -> Any:
        """An answer's JSON. From here on whatever fails leaves an object behind of which nobody knows."""
        try:
            return await answer_of(self._target, self._access, response, MOST_ANSWER_BYTES)
        except (UpstreamAnswerInvalid, UpstreamUnreachable) as error:
            raise (RequestBody.outcome if body is None else body.outcome).lost(error.message) from error

    def _uploaded(self, described: Any, sent: int) -> RemoteFile:
        try:
            file = file_of(described, self._place.bucket)
        except UpstreamAnswerInvalid as error:
            raise RequestBody.outcome.lost(error.message) from error
        if file.id != self._place.id:
            raise UploadLost("The provider says that it has made another object than the one that was sent.")
        if file.bytes != sent:
            raise UploadLost(f"The provider says that it has {file.bytes} bytes of the {sent} it was sent, as {file.id}.")
        return file

    async def _abandon(self) -> None:
        """Ends the session, if there is one, whatever becomes of whoever waits for that."""
        if self._opening is None:
            return
        task = asyncio.ensure_future(self._cancelled(self._opening))
        _cancellations.add(task)
        task.add_done_callback(_cancellations.discard)
        await asyncio.shield(task)

    async def _cancelled(self, opening: asyncio.Task[str]) -> None:
        try:
            async with asyncio.timeout(_CANCEL_SECONDS):
                session = await opening
                request = self._to(Access(""), "DELETE", session, headers={"Content-Length": "0"})
                async with self._egress.call(replace(request, head_seconds=_CANCEL_SECONDS)) as response:
                    if response.status not in _CANCELLED:
                        _log.info("an upload session was not cancelled, with status %d; Google forgets it after a week", response.status)
        except TimeoutError:
            _log.info("an upload session was not cancelled in time; Google forgets it after a week")
        except FileplaneError as error:
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                _log.info("an upload session was not cancelled, and Google forgets it after a week: %s", error.message)

    def _to(
        self, access: Access, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: RequestBody | None = None
    ) -> EgressRequest:
        request = request_to(self._target, access, method, url, headers=headers, body=body)
        if self._ends_at is None:
            return request
        left = self._ends_at - asyncio.get_running_loop().time()
        if left <= 0 and method != "DELETE":
            raise UpstreamTimeout("The file was not sent in the time that the request gives it.")
        return replace(request, head_seconds=left)

    def _url(self, kind: str) -> str:
        # The store itself refuses a name that an object has: a file is never put in the place of another.
        return self._access.url(f"/upload{bucket_path(self._place.bucket)}", {"uploadType": kind, "ifGenerationMatch": "0"})

    def _told(self, error: FileplaneError) -> FileplaneError:
        if isinstance(error, ProviderRefused) and error.status == _TAKEN:
            return InvalidValue(
                "The bucket has an object of that name already. Choose another, or delete it first.", param="x-portkey-provider-file-name"
            )
        return error


def _passes(error: FileplaneError) -> bool:
    """Whether a chunk may be taken another time."""
    return error.status in _PASSING if isinstance(error, ProviderRefused) else True


def _secrets_of(session: str) -> dict[str, Secret]:
    """What must not be told of a session."""
    return {"session": Secret(session), "query": Secret(urlsplit(session).query)}


def _early() -> UploadLost:
    return UploadLost("The provider answered before it had the whole file. It may have a part; look at its list first.")
