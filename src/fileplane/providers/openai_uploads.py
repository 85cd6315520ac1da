"""Uploads in parts at every provider that has OpenAI's Uploads API (openai-python 3.54.0, resources/uploads)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from fileplane.errors import (
    FileTooLarge,
    InvalidValue,
    UploadLost,
    UploadNotFound,
    UploadTimedOut,
    UpstreamAnswerInvalid,
    UpstreamOutcomeUnknown,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from fileplane.providers.answers import answer_of
from fileplane.providers.base import Capabilities, PartUploads, RemoteFile, Target
from fileplane.providers.calls import NOT_FOUND, SUCCESSES, AccessTo, check_found, refused_sending, request_to, unsupported, unwrapped
from fileplane.providers.dialects import Dialect, DialectOf
from fileplane.providers.egress import Egress
from fileplane.providers.file_objects import MOST_BYTES, parse_file, seconds_of
from fileplane.providers.json_body import JsonBody
from fileplane.providers.multipart_body import MultipartBody, too_large
from fileplane.providers.outcomes import UPLOAD
from fileplane.providers.part_uploads import NewPartUpload, PartBody, RemotePart, RemotePartUpload
from fileplane.providers.refusals import MOST_ANSWER_BYTES
from fileplane.providers.remote_ids import is_remote_id, upload_path
from fileplane.providers.request_body import RequestBody

_UPLOADS: Final = "/uploads"
_OCTET_STREAM: Final = "application/octet-stream"
_STATUSES: Final = frozenset({"pending", "completed", "cancelled", "expired"})


class OpenAIUploads:
    """The part of the adapter that is an :class:`~fileplane.providers.part_uploads.UploadsProvider`."""

    _egress: Egress
    _dialect_of: DialectOf
    _access_to: AccessTo

    async def create_upload(self, target: Target, new: NewPartUpload) -> RemotePartUpload:
        """See the protocol."""
        dialect = self._dialect_with_uploads(target)
        check_part_upload(dialect, new)
        document: dict[str, Any] = {
            "filename": new.filename,
            "purpose": dialect.theirs(new.purpose),
            "bytes": new.bytes,
            "mime_type": new.media_type,
        }
        if new.expires_after is not None:
            document["expires_after"] = {"anchor": "created_at", "seconds": new.expires_after}
        with _leaving_nothing():
            return _upload(dialect, await self._post(target, dialect, _UPLOADS, JsonBody(document, UPLOAD), None))

    async def add_part(self, target: Target, upload_id: str, part: PartBody) -> RemotePart:
        """See the protocol."""
        dialect, path = self._dialect_with_uploads(target), upload_path(upload_id, "parts")
        most = _limits(dialect.capabilities).max_part_bytes
        if most is not None and (part.length or 0) > most:
            raise _part_too_large(most)
        body = MultipartBody(
            (),
            filename="upload",
            media_type=_OCTET_STREAM,
            content=_at_most(part.content, most),
            file_field="data",
            file_length=part.length,
            at_most=part.at_most,
        )
        with _leaving_nothing():
            answer = unwrapped(dialect, await self._post(target, dialect, path, body, upload_id))
        if not isinstance(answer, dict) or not is_remote_id(answer.get("id")):
            raise UpstreamAnswerInvalid("The provider's answer has no part with a usable id.")
        return RemotePart(answer["id"], seconds_of(answer, "created_at"))

    async def complete_upload(
        self, target: Target, upload_id: str, part_ids: Sequence[str], md5: str | None, size: int | None = None
    ) -> RemotePartUpload:
        """See the protocol."""
        dialect, path = self._dialect_with_uploads(target), upload_path(upload_id, "complete")
        document = {"part_ids": list(part_ids)} | ({} if md5 is None else {"md5": md5})
        body = JsonBody(document, UPLOAD)
        try:
            upload = _upload(dialect, await self._post(target, dialect, path, body, upload_id))
        except (UpstreamAnswerInvalid, UpstreamUnreachable) as error:
            if not body.complete:
                raise
            raise UPLOAD.lost(error.message) from error
        return _completed(upload, size)

    async def cancel_upload(self, target: Target, upload_id: str) -> RemotePartUpload:
        """See the protocol."""
        dialect, path = self._dialect_with_uploads(target), upload_path(upload_id, "cancel")
        with _leaving_nothing():
            return _upload(dialect, await self._post(target, dialect, path, None, upload_id))

    async def _post(self, target: Target, dialect: Dialect, path: str, body: RequestBody | None, upload_id: str | None) -> Any:
        access = await self._access_to(target, dialect)
        async with self._egress.call(request_to(target, access, "POST", access.url(path), body=body)) as response:
            if response.status not in SUCCESSES:
                if upload_id is not None and (body is None or response.status == NOT_FOUND):
                    await check_found(target, dialect, access, response, UploadNotFound, upload_id)
                assert body is not None
                raise await refused_sending(target, access, response, body)
            if body is not None and not body.complete:
                raise UPLOAD.lost("The provider answered before it had the whole of it.")
            return await answer_of(target, access, response, MOST_ANSWER_BYTES)

    def _dialect_with_uploads(self, target: Target) -> Dialect:
        dialect = self._dialect_of(target)
        if dialect.capabilities.uploads is None:
            raise unsupported(dialect, "take uploads in parts")
        return dialect


def check_part_upload(dialect: Dialect, new: NewPartUpload) -> None:
    """Refuses what can be refused before anything is sent. Raises InvalidValue or FileTooLarge."""
    can = dialect.capabilities
    if can.purposes is not None and new.purpose not in can.purposes:
        names = ", ".join(f"'{purpose}'" for purpose in sorted(can.purposes))
        raise InvalidValue(f"'{new.purpose[:80]}' is not one of [{names}] - 'purpose'", param="purpose")
    if new.expires_after is not None:
        bounds = can.expiry
        if bounds is None or not bounds.shortest <= new.expires_after <= bounds.longest:
            said = "no expiry of one's own" if bounds is None else f"expiries from {bounds.shortest} to {bounds.longest} seconds"
            raise InvalidValue(f"{dialect.title} takes {said}.", param="expires_after")
    largest = [limit for limit in (_limits(can).max_bytes, can.max_bytes_of.get(new.purpose)) if limit is not None]
    if largest and new.bytes > min(largest):
        raise too_large(min(largest))


def _limits(capabilities: Capabilities) -> PartUploads:
    assert capabilities.uploads is not None, "whoever asks has looked"
    return capabilities.uploads


@contextmanager
def _leaving_nothing() -> Iterator[None]:
    """Of what leaves nothing at the provider, an unknown outcome is a failure like any other: it can be done again."""
    try:
        yield
    except UploadTimedOut as error:
        raise UpstreamTimeout(error.message) from error
    except UpstreamOutcomeUnknown as error:
        raise UpstreamUnreachable(error.message) from error


async def _at_most(content: AsyncIterator[bytes], most: int | None) -> AsyncIterator[bytes]:
    size = 0
    async for piece in content:
        size += len(piece)
        if most is not None and size > most:
            raise _part_too_large(most)
        yield piece


def _part_too_large(most: int) -> FileTooLarge:
    return FileTooLarge(f"The provider takes parts of at most {most} bytes. Send the file in more parts.", param="data")


def _upload(dialect: Dialect, answer: Any) -> RemotePartUpload:
    value = unwrapped(dialect, answer)
    if not isinstance(value, dict) or not is_remote_id(value.get("id")) or _text(value, "status") not in _STATUSES:
        raise UpstreamAnswerInvalid("The provider's answer is no upload with a usable id.")
    size = value.get("bytes")
    return RemotePartUpload(
        id=value["id"],
        status=value["status"],
        bytes=size if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MOST_BYTES else None,
        created_at=seconds_of(value, "created_at"),
        expires_at=seconds_of(value, "expires_at"),
        filename=_text(value, "filename"),
        purpose=dialect.ours().get(str(value.get("purpose")), _text(value, "purpose")),
        file=_file(dialect, value.get("file")),
    )


def _file(dialect: Dialect, value: Any) -> RemoteFile | None:
    return None if value is None else parse_file(value, dialect.ours(), has_status=dialect.has_status)


def _text(value: Mapping[str, Any], name: str) -> str | None:
    found = value.get(name)
    return found if isinstance(found, str) else None


def _completed(upload: RemotePartUpload, size: int | None) -> RemotePartUpload:
    """Raises :class:`~fileplane.errors.UploadLost` for an answer that says that something else has come of it."""
    file = upload.file
    if file is None or upload.status != "completed":
        raise UploadLost("The provider's answer names no file. It may have the file; look at its list first.")
    if size is not None and file.bytes not in {None, size}:
        raise UploadLost(f"The provider says that it has {file.bytes} bytes of the {size} it was sent, as {file.id}.")
    return upload
