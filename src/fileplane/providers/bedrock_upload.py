"""Uploads to S3: whole in one request, or in parts of which one is held at a time, and of which nothing is left when it fails."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, Final
from xml.sax.saxutils import escape

from fileplane.errors import FileplaneError, InvalidValue, ProviderRefused, UploadLost, UpstreamAnswerInvalid, UpstreamUnreachable
from fileplane.providers.bedrock_calls import Calls, etag_of, hashed, no_bucket
from fileplane.providers.bedrock_objects import MOST_PARTS, PART_BYTES
from fileplane.providers.multipart_body import too_large
from fileplane.providers.object_chunks import Chunk, in_chunks
from fileplane.providers.object_ids import ObjectPlace
from fileplane.providers.refusals import MOST_ANSWER_BYTES
from fileplane.providers.request_body import RequestBody, once
from fileplane.providers.xml_answers import parse_xml

_ABORT_SECONDS: Final = 20.0
_ABORT_ATTEMPTS: Final = 3
_ABORT_PAUSE_SECONDS: Final = 0.2
_SMALL: Final = 1 << 18
_GONE: Final = 404
_FIRST_FAILURE: Final = 500
_log = logging.getLogger(__name__)
_aborting: set[asyncio.Task[bool]] = set()


class _Part(RequestBody):
    def __init__(self, chunk: Chunk, content_type: str) -> None:
        super().__init__(chunk.content(chunk.first), chunk.length)
        self.content_type = content_type


class Uploading:
    """One upload. ``headers`` are what is said of the new object."""

    def __init__(self, calls: Calls, place: ObjectPlace, headers: Mapping[str, str]) -> None:
        self._calls = calls
        self._place = place
        self._headers = headers

    async def send(self, content: AsyncIterator[bytes]) -> int:
        """Sends everything and says how many bytes that were.

        What ``content`` raises is raised as it is. Until the last request is sent whole, a failure or cancellation leaves nothing.
        """
        async with aclosing(in_chunks(content, PART_BYTES)) as chunks:
            held = [await anext(chunks)]
            if held[0].last:
                await self._whole(held[0])
                return held[0].length
            return await self._in_parts(held, chunks)

    async def _whole(self, chunk: Chunk) -> None:
        body = _Part(chunk, self._headers["Content-Type"])
        url = self._calls.url(self._place.key)
        async with self._calls.answer("PUT", url, headers=self._headers, body=body, sha256=await _hash(chunk)) as response:
            if response.status == _GONE:
                raise no_bucket(self._place.bucket)
            if not body.complete:
                raise UploadLost("The provider answered before it had the whole file. It may have a part; look at its list first.")
            try:
                etag_of(response)
                await response.read(MOST_ANSWER_BYTES)
            except (UpstreamAnswerInvalid, UpstreamUnreachable) as error:
                raise UploadLost(f"{error.message} It may have the file; look at its list first.") from error

    async def _in_parts(self, held: list[Chunk], chunks: AsyncGenerator[Chunk, None]) -> int:
        """``held`` has the first part, and then always the one that is sent, so that nobody else keeps it."""
        creating = asyncio.ensure_future(self._create())
        try:
            upload_id = await asyncio.shield(creating)
        except asyncio.CancelledError:
            _later(self._abort_when_known(creating))
            raise
        completing = False
        try:
            etags: list[str] = []
            end = 0
            last = False
            while not last:
                chunk = held.pop()
                etags.append(await self._part(upload_id, len(etags) + 1, chunk))
                end, last = chunk.end, chunk.last
                del chunk  # before the next one is read
                if not last:
                    held.append(await anext(chunks))
            completing = True
            await self._complete(upload_id, etags)
        except BaseException as error:
            aborted = await asyncio.shield(_later(self._abort(upload_id)))
            if completing and not aborted and isinstance(error, ProviderRefused) and error.status >= _FIRST_FAILURE:
                raise UploadLost(f"{error.message} It may have the file all the same; look at its list first.") from error
            raise
        return end

    async def _create(self) -> str:
        url = self._calls.url(self._place.key, {"uploads": ""})
        async with self._calls.answer("POST", url, headers=self._headers) as response:
            if response.status == _GONE:
                raise no_bucket(self._place.bucket)
            root = await self._calls.document(response)
        upload_id = root.value("UploadId")
        if root.name != "InitiateMultipartUploadResult" or not upload_id or root.value("Key") not in {None, self._place.key}:
            raise UpstreamAnswerInvalid("The provider's answer begins no upload.")
        try:
            self._calls.url(self._place.key, {"partNumber": str(MOST_PARTS), "uploadId": upload_id})
        except InvalidValue as error:
            # The key alone was short enough.
            _log.error("an upload to S3 is left there unfinished, as its id cannot be used: %s", self._place.uri)
            raise UpstreamAnswerInvalid("The provider's answer names an upload by too long an id.") from error
        return upload_id

    async def _part(self, upload_id: str, number: int, chunk: Chunk) -> str:
        if number > MOST_PARTS:
            raise too_large(MOST_PARTS * PART_BYTES)
        url = self._calls.url(self._place.key, {"partNumber": str(number), "uploadId": upload_id})
        body = _Part(chunk, "application/octet-stream")
        async with self._calls.answer("PUT", url, body=body, sha256=await _hash(chunk), repeatable=True) as response:
            if response.status == _GONE:
                raise ProviderRefused("The upload was ended by somebody else.", status=409, code="NoSuchUpload")
            if not body.complete:
                raise UpstreamAnswerInvalid("The provider answered before it had the whole part.")
            return etag_of(response)

    async def _complete(self, upload_id: str, etags: list[str]) -> None:
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>" for number, etag in enumerate(etags, start=1)
        )
        content = f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{parts}</CompleteMultipartUpload>'.encode()
        body = RequestBody(once(content), len(content))
        url, headers = self._calls.url(self._place.key, {"uploadId": upload_id}), {"Content-Type": "application/xml"}
        sha256 = hashlib.sha256(content).hexdigest()
        async with self._calls.answer("POST", url, headers=headers, body=body, sha256=sha256) as response:
            if response.status == _GONE:
                raise ProviderRefused("The upload was ended by somebody else.", status=409, code="NoSuchUpload")
            try:
                answer = await response.read(MOST_ANSWER_BYTES)
                root = parse_xml(answer)
            except (UpstreamAnswerInvalid, UpstreamUnreachable) as error:
                raise UploadLost(f"{error.message} It may have the file; look at its list first.") from error
            if root.name == "Error":
                # S3 begins its answer before it knows: docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
                raise self._calls.refusal(response, answer)
        if root.name != "CompleteMultipartUploadResult" or not root.value("ETag"):
            raise UploadLost("The provider's answer ends no upload. It may have the file; look at its list first.")

    async def _abort_when_known(self, creating: asyncio.Future[str]) -> bool:
        try:
            upload_id = await creating
        except FileplaneError:
            return False
        return await self._abort(upload_id)

    async def _abort(self, upload_id: str) -> bool:
        """Whether it was aborted for certain: not where there was no such upload any more, which may then be an object.

        Never raises: what an unfinished upload keeps is then for the bucket's own rules, as the documentation says.
        """
        url = self._calls.url(self._place.key, {"uploadId": upload_id})
        try:
            async with asyncio.timeout(_ABORT_SECONDS):
                for attempt in range(_ABORT_ATTEMPTS):
                    try:
                        async with self._calls.without_deadline().answer("DELETE", url) as response:
                            return response.status != _GONE
                    except FileplaneError as error:
                        _log.info("an upload to S3 could not be aborted at attempt %d: %s", attempt + 1, error.message)
                        await asyncio.sleep(_ABORT_PAUSE_SECONDS * 2**attempt)
        except TimeoutError:
            pass
        _log.error("an upload to S3 that failed is left there unfinished: %s", self._place.uri)
        return False


async def _hash(chunk: Chunk) -> str:
    return hashed(chunk.pieces) if chunk.length < _SMALL else await asyncio.to_thread(hashed, chunk.pieces)


def _later(work: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
    """A task that ends although whoever waits for it is cancelled."""
    task = asyncio.ensure_future(work)
    _aborting.add(task)
    task.add_done_callback(_aborting.discard)
    return task
