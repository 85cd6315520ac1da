"""The adapter for every provider that speaks OpenAI's Files API, or one near to it: a dialect says what is different."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

from fileplane.errors import (
    FileNotFound,
    InvalidRange,
    InvalidValue,
    ProviderRefused,
    UploadLost,
    UpstreamAnswerInvalid,
    UpstreamUnreachable,
)
from fileplane.providers.answers import answer_of, media_type_of, time_at
from fileplane.providers.base import ByteRange, Capabilities, RemoteContent, RemoteFile, RemotePage, RemoteQuery, RemoteUpload, Target
from fileplane.providers.calls import (
    SUCCESSES,
    AccessTo,
    check_found,
    refused,
    refused_as_existing,
    refused_sending,
    request_to,
    unsupported,
    unwrapped,
)
from fileplane.providers.content import Download, whole_size
from fileplane.providers.dialects import Dialect, DialectOf
from fileplane.providers.egress import Egress
from fileplane.providers.file_objects import is_gone, parse_file
from fileplane.providers.listing import Listing
from fileplane.providers.multipart_body import MultipartBody, too_large
from fileplane.providers.openai_jobs import OpenAIJobs
from fileplane.providers.openai_uploads import OpenAIUploads
from fileplane.providers.refusals import MOST_ANSWER_BYTES

MOST_LIST_BYTES: Final = 16 << 20
_CONFLICT: Final = 409
_RANGE_NOT_SATISFIABLE: Final = 416
_SERVED: Final = (200, 206)


class OpenAIShaped(OpenAIJobs, OpenAIUploads):
    """A :class:`fileplane.providers.base.Provider`. ``dialect_of`` and ``access_to`` say how a target is spoken to and reached."""

    def __init__(self, name: str, egress: Egress, dialect_of: DialectOf, access_to: AccessTo) -> None:
        super().__init__(egress, dialect_of, access_to)
        self.name = name

    def capabilities(self, target: Target) -> Capabilities:
        """See the protocol."""
        return self._dialect_of(target).capabilities

    async def upload(self, target: Target, upload: RemoteUpload) -> RemoteFile:
        """See the protocol."""
        dialect = self._dialect_of(target)
        check_upload(dialect, upload)
        access = await self._access_to(target, dialect)
        body = MultipartBody(
            _fields(dialect, upload),
            filename=upload.filename,
            media_type=upload.media_type,
            content=upload.content,
            file_length=upload.length,
            at_most=upload.at_most,
            most=dialect.capabilities.max_bytes_for(upload.purpose),
        )
        request = request_to(target, access, "POST", access.url(dialect.upload_path), body=body)
        async with self._egress.call(request) as response:
            if response.status == _CONFLICT and body.complete and dialect.existing_in is not None:
                refusal, file_id = await refused_as_existing(target, dialect, access, response)
            elif response.status not in SUCCESSES:
                raise await refused_sending(target, access, response, body)
            elif not body.complete:
                raise UploadLost("The provider answered before it had the whole file. It may have a part; look at its list first.")
            else:
                answering = answer_of(target, access, response, MOST_ANSWER_BYTES)
                return await uploaded(dialect, upload, answering, body.file_bytes, time_at(response))
        return await self._existing(target, dialect, upload, body.file_bytes, file_id, refusal)

    async def list(self, target: Target, query: RemoteQuery) -> RemotePage:
        """See the protocol."""
        dialect = self._dialect_of(target)
        if not dialect.capabilities.list:
            raise unsupported(dialect, "list files")
        if query.after is not None:
            _check_cursor(dialect, query.after)
        return await (await self._listing(target, dialect)).page(query)

    async def get(self, target: Target, file_id: str) -> RemoteFile:
        """See the protocol."""
        dialect = self._dialect_of(target)
        path = dialect.path(file_id)
        if not dialect.capabilities.get:
            raise unsupported(dialect, "describe a single file")
        if dialect.get_by_list:
            found = await (await self._listing(target, dialect)).find(file_id)
            if found is None:
                raise FileNotFound(file_id)
            return found
        access = await self._access_to(target, dialect)
        async with self._egress.call(request_to(target, access, "GET", access.url(path))) as response:
            await check_found(target, dialect, access, response, FileNotFound, file_id)
            answer = unwrapped(dialect, await answer_of(target, access, response, MOST_ANSWER_BYTES))
            answer = dialect.read(answer, time_at(response))
        if is_gone(answer):
            raise FileNotFound(file_id)
        file = parse_file(answer, dialect.ours(), has_status=dialect.has_status)
        if file.id != file_id:
            raise UpstreamAnswerInvalid("The provider describes another file than the one that was asked for.")
        return file

    @asynccontextmanager
    async def open(self, target: Target, file_id: str, span: ByteRange | None = None) -> AsyncIterator[RemoteContent]:
        """See the protocol."""
        dialect = self._dialect_of(target)
        path = dialect.path(file_id, content=True)
        if not dialect.capabilities.download:
            raise unsupported(dialect, "download files")
        asked = span if dialect.capabilities.ranges else None
        access = await self._access_to(target, dialect)
        request = request_to(
            target,
            access,
            "GET",
            access.url(path, dialect.content_query),
            headers={} if asked is None else {"Range": asked.header()},
            follow_redirects=True,
        )
        async with self._egress.call(request) as response:
            if response.status == _RANGE_NOT_SATISFIABLE and asked is not None:
                raise InvalidRange("The range lies outside the file.", param="range", headers=whole_size(response.headers))
            await check_found(target, dialect, access, response, FileNotFound, file_id)
            if response.status not in _SERVED:
                raise UpstreamAnswerInvalid("The provider's answer to a download is none.")
            yield Download(response, asked, media_type_of(target, access, response))

    async def delete(self, target: Target, file_id: str) -> None:
        """See the protocol."""
        dialect = self._dialect_of(target)
        path = dialect.path(file_id)
        if not dialect.capabilities.delete:
            raise unsupported(dialect, "delete files")
        access = await self._access_to(target, dialect)
        async with self._egress.call(request_to(target, access, "DELETE", access.url(path))) as response:
            await check_found(target, dialect, access, response, FileNotFound, file_id)
            answer = await answer_of(target, access, response, MOST_ANSWER_BYTES)
        if isinstance(answer, dict) and answer.get("deleted") is False:
            raise ProviderRefused(
                "The provider says that it has not deleted the file, which is there as before.",
                status=409,
                type="invalid_request_error",
                code="file_not_deleted",
            )

    async def _existing(
        self, target: Target, dialect: Dialect, upload: RemoteUpload, size: int, file_id: str | None, refusal: ProviderRefused
    ) -> RemoteFile:
        """The file that the provider refuses to have twice, as it describes it; the refusal where it turns out to be another one."""
        if file_id is None:
            raise refusal
        try:
            file = await self.get(target, file_id)
        except FileNotFound as error:
            raise refusal from error
        if file.bytes not in {None, size}:
            raise refusal
        same_purpose = file.purpose is None or dialect.theirs(file.purpose) == dialect.theirs(upload.purpose)
        return replace(file, bytes=size, purpose=upload.purpose if same_purpose else file.purpose, existed=True)

    async def _listing(self, target: Target, dialect: Dialect) -> Listing:
        access = await self._access_to(target, dialect)

        async def fetch(query: Mapping[str, str]) -> Any:
            async with self._egress.call(request_to(target, access, "GET", access.url("/files", query))) as response:
                if response.status not in SUCCESSES:
                    raise await refused(target, access, response)
                return dialect.read_list(await answer_of(target, access, response, MOST_LIST_BYTES), time_at(response))

        return Listing(dialect, dialect.capabilities, fetch)


def _check_cursor(dialect: Dialect, after: str) -> None:
    try:
        dialect.path(after)
    except FileNotFound as error:
        raise InvalidValue("'after' is no id of a file.", param="after") from error


def check_upload(dialect: Dialect, upload: RemoteUpload) -> None:
    """Refuses everything that can be refused before anything is sent."""
    capabilities = dialect.capabilities
    if not capabilities.upload:
        raise unsupported(dialect, "take uploads")
    if capabilities.purposes is not None and upload.purpose not in capabilities.purposes:
        names = ", ".join(f"'{purpose}'" for purpose in sorted(capabilities.purposes))
        raise InvalidValue(f"'{upload.purpose[:80]}' is not one of [{names}] - 'purpose'", param="purpose")
    if any(character in upload.purpose for character in "\r\n\x00"):
        raise InvalidValue("'purpose' has control characters.", param="purpose")
    _check_name(dialect, upload.filename)
    if upload.expires_after is not None:
        if capabilities.expiry is None:
            raise InvalidValue(f"{dialect.title} gives files no expiry of one's own. Leave 'expires_after' out.", param="expires_after")
        if not capabilities.expiry.shortest <= upload.expires_after <= capabilities.expiry.longest:
            bounds = f"from {capabilities.expiry.shortest} to {capabilities.expiry.longest}"
            raise InvalidValue(f"{dialect.title} takes expiries {bounds} seconds.", param="expires_after")
    _check_size(dialect, upload)


def _check_size(dialect: Dialect, upload: RemoteUpload) -> None:
    capabilities = dialect.capabilities
    most = capabilities.max_bytes_for(upload.purpose)
    if most is not None and upload.length is not None and upload.length > most:
        raise too_large(most)
    if upload.length == 0 and not capabilities.accepts_empty:
        raise InvalidValue(f"{dialect.title} takes no empty files.", param="file")
    if upload.length is None and capabilities.needs_length:
        raise InvalidValue(f"{dialect.title} has to be told the file's length first.", param="file")
    if upload.lines is None and capabilities.needs_lines:
        raise InvalidValue(f"{dialect.title} has to be told the number of the file's lines first.", param="file")


def _check_name(dialect: Dialect, filename: str) -> None:
    if dialect.longest_name is not None and len(filename) > dialect.longest_name:
        raise InvalidValue(f"{dialect.title} takes names of files of at most {dialect.longest_name} characters.", param="file")
    if dialect.not_in_names & set(filename):
        shown = " ".join(sorted(character for character in dialect.not_in_names if character.isprintable()))
        raise InvalidValue(f"{dialect.title} takes no names of files with control characters or one of {shown}", param="file")


def _fields(dialect: Dialect, upload: RemoteUpload) -> list[tuple[str, str]]:
    fields = [("purpose", dialect.theirs(upload.purpose))] if dialect.sends_purpose else []
    if dialect.name_field is not None:
        fields.append((dialect.name_field, upload.filename))
    if dialect.type_field is not None and (known := dialect.types.get(PurePosixPath(upload.filename).suffix.lower())) is not None:
        fields.append((dialect.type_field, known))
    if upload.expires_after is not None and dialect.expiry_field is not None:
        fields.append((dialect.expiry_field, str(upload.expires_after)))
    elif upload.expires_after is not None:
        fields += [("expires_after[anchor]", "created_at"), ("expires_after[seconds]", str(upload.expires_after))]
    return fields


async def uploaded(dialect: Dialect, upload: RemoteUpload, answering: Awaitable[Any], sent: int, now: float) -> RemoteFile:
    """The new file, of which ``sent`` bytes were sent. From here on whatever fails leaves one behind whose id is not known."""
    try:
        answer = dialect.read(unwrapped(dialect, await answering), now)
        file = parse_file(answer, dialect.ours(), has_status=dialect.has_status)
    except (UpstreamAnswerInvalid, UpstreamUnreachable) as error:
        raise UploadLost(f"{error.message} It may have the file; look at its list first.") from error
    if file.bytes is not None and dialect.capabilities.original_bytes and file.bytes not in {0, sent}:
        raise UploadLost(f"The provider says that it has {file.bytes} bytes of the {sent} it was sent, as {file.id}.")
    return RemoteFile(
        id=file.id,
        bytes=sent,
        created_at=file.created_at,
        expires_at=file.expires_at,
        filename=file.filename or upload.filename,
        purpose=upload.purpose,
        status=file.status,
        status_details=file.status_details,
    )
