"""AWS Bedrock: files are objects in a bucket of S3, which Bedrock's batches and fine-tunings read from there and write their results to.

Spoken is S3's REST API (docs.aws.amazon.com/AmazonS3/latest/API), which other stores speak too. A file's id is the URI of its object. Lines
of files of purpose ``batch`` and ``fine-tune`` are put into the form of the model that the request names, and results of batches back into
OpenAI's, unless the request says ``file_purpose: upload``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fileplane.errors import InvalidRange, InvalidValue, UpstreamAnswerInvalid
from fileplane.model import FileStatus
from fileplane.providers.aws_credentials import AwsCredentials, library
from fileplane.providers.base import (
    ByteRange,
    Capabilities,
    RemoteContent,
    RemoteFile,
    RemotePage,
    RemoteQuery,
    RemoteUpload,
    ServedRange,
    Target,
)
from fileplane.providers.bedrock_calls import Calls
from fileplane.providers.bedrock_listing import look, page_of
from fileplane.providers.bedrock_objects import (
    AS_IT_IS,
    CAPABILITIES,
    TITLE,
    created_at,
    headers_of,
    is_result,
    model_of,
    new_place,
    place_of,
)
from fileplane.providers.bedrock_upload import Uploading
from fileplane.providers.content import Download, whole_size
from fileplane.providers.egress import Egress
from fileplane.providers.jsonl.bedrock import from_bedrock, to_bedrock
from fileplane.providers.multipart_body import too_large
from fileplane.providers.object_chunks import counted
from fileplane.providers.refusals import cleaned
from fileplane.providers.without_jobs import WithoutJobs
from fileplane.secrets.values import REDACTED

_GONE: Final = 404
_RANGE_NOT_SATISFIABLE: Final = 416
_JSON_LINES: Final = "application/jsonl"


class Bedrock(WithoutJobs):
    """A :class:`fileplane.providers.base.Provider`. ``credentials`` is given where keys are found otherwise than AWS finds them."""

    name = "bedrock"

    def __init__(self, egress: Egress, credentials: AwsCredentials | None = None) -> None:
        super().__init__(TITLE)
        self._egress = egress
        self._credentials = credentials or AwsCredentials(egress)

    def capabilities(self, target: Target) -> Capabilities:  # noqa: ARG002 - the same for all targets
        """See the protocol."""
        return CAPABILITIES

    async def upload(self, target: Target, upload: RemoteUpload) -> RemoteFile:
        """See the protocol. A key of the caller's own choice names one object: sent again, the file takes the place of the first."""
        _check_upload(upload)
        model = model_of(target, upload.purpose)
        calls, place = await self._calls(target), new_place(target, upload, transformed=model is not None)
        async with aclosing(counted(upload.content, upload.length, CAPABILITIES.max_bytes)) as whole:
            sent = whole if model is None else to_bedrock(whole, model=model, purpose=upload.purpose)
            size = await Uploading(calls, place, headers_of(target, upload, transformed=model is not None)).send(sent)
        return RemoteFile(
            id=place.id,
            bytes=size,
            created_at=created_at(place),
            filename=upload.filename,
            purpose=upload.purpose,
            status=FileStatus.PROCESSED,
            transformed=model is not None,
        )

    async def list(self, target: Target, query: RemoteQuery) -> RemotePage:
        """See the protocol."""
        return await page_of(await self._calls(target), target, query)

    async def get(self, target: Target, file_id: str) -> RemoteFile:
        """See the protocol."""
        place = place_of(target, file_id)
        return await look(await self._calls(target), target, place)

    @asynccontextmanager
    async def open(self, target: Target, file_id: str, span: ByteRange | None = None) -> AsyncIterator[RemoteContent]:
        """See the protocol. Of results that are put into OpenAI's form the whole is served: where a part of it begins, nobody can tell."""
        place = place_of(target, file_id)
        transforms = is_result(place) and target.fields.get("file_purpose") != AS_IT_IS
        asked = None if transforms else span
        calls = await self._calls(target)
        headers = {} if asked is None else {"Range": asked.header()}
        async with calls.answer("GET", calls.url(place.key), headers=headers, follow_redirects=True) as response:
            if response.status == _RANGE_NOT_SATISFIABLE and asked is not None:
                raise InvalidRange("The range lies outside the file.", param="range", headers=whole_size(response.headers))
            if response.status == _GONE:
                raise await calls.gone(response, file_id)
            if response.status not in {200, 206}:
                raise UpstreamAnswerInvalid("The provider's answer to a download is none.")
            said = response.headers.get("content-type")
            hidden = said is None or REDACTED in cleaned(said, target.secrets.values())
            download = Download(response, asked, None if hidden else said)
            yield _Transformed(download, target.fields.get("provider_model")) if transforms else download

    async def delete(self, target: Target, file_id: str) -> None:
        """See the protocol.

        S3 answers a deletion the same whether or not there was such an object, so that it is looked for first. Who deletes it in between
        is told of no error; it is gone as it should be.
        """
        place = place_of(target, file_id)
        calls = await self._calls(target)
        await look(calls, target, place)
        async with calls.answer("DELETE", calls.url(place.key)) as response:
            if response.status == _GONE:
                raise await calls.gone(response, file_id)

    async def _calls(self, target: Target) -> Calls:
        await library()
        return Calls(self._egress, self._credentials, target)


@dataclass(frozen=True, slots=True)
class _Transformed:
    """A :class:`fileplane.providers.base.RemoteContent` in OpenAI's form, of a length that nobody knows before it is made."""

    download: Download
    model: str | None
    status: int = 200
    length: int | None = None
    served: ServedRange | None = None
    media_type: str | None = _JSON_LINES
    transformed: bool = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in from_bedrock(aiter(self.download), model=self.model):
            yield piece


def _check_upload(upload: RemoteUpload) -> None:
    """Everything that can be refused before anything is sent."""
    if upload.expires_after is not None:
        raise InvalidValue(f"{TITLE} gives files no expiry of one's own. Leave 'expires_after' out.", param="expires_after")
    most = CAPABILITIES.max_bytes_for(upload.purpose)
    if most is not None and upload.length is not None and upload.length > most:
        raise too_large(most)
