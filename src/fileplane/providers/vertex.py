"""Files of Vertex AI: objects in a bucket of Cloud Storage, through its JSON API.

What Cloud Storage does not keep of a file, its purpose and name, is in the object's own metadata, which other tools can read. Files that
are made for batches or fine-tuning are sent in Vertex AI's form of a line, and what batches write is given back in OpenAI's, unless
``file_purpose`` is ``upload``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from fileplane.errors import FileNotFound, InvalidRange, InvalidValue, MissingParameter, UpstreamAnswerInvalid
from fileplane.providers.access import Access, base_url_of, missing_credential
from fileplane.providers.answers import answer_of, media_type_of
from fileplane.providers.base import (
    ByteRange,
    Capabilities,
    Paging,
    RemoteContent,
    RemoteFile,
    RemotePage,
    RemoteQuery,
    RemoteUpload,
    ServedRange,
    Target,
)
from fileplane.providers.calls import SUCCESSES, check_found, refused, request_to, unsupported
from fileplane.providers.content import Download, whole_size
from fileplane.providers.dialects import Dialect, DialectOf, ListOrder
from fileplane.providers.egress import Egress
from fileplane.providers.google_credentials import GoogleTokens, identity_of
from fileplane.providers.jsonl.vertex import from_vertex, to_vertex
from fileplane.providers.listing import MOST_WALKED
from fileplane.providers.multipart_body import too_large
from fileplane.providers.object_chunks import counted
from fileplane.providers.object_ids import ObjectPlace, object_of, parse_object_id
from fileplane.providers.openai import MOST_LIST_BYTES
from fileplane.providers.refusals import MOST_ANSWER_BYTES
from fileplane.providers.vertex_listing import page_of_bucket
from fileplane.providers.vertex_objects import SCHEME, bucket_of, bucket_path, description_of, file_of, is_result, new_place, object_path
from fileplane.providers.vertex_upload import ObjectUpload
from fileplane.providers.without_jobs import WithoutJobs
from fileplane.secrets.values import Secret

AS_IT_IS: Final = "upload"
"""The ``file_purpose`` of what is neither translated on its way there nor back."""
TRANSLATED: Final = frozenset({"batch", "fine-tune"})
"""The purposes whose lines Vertex AI has in a form of its own."""
MODEL_HEADER: Final = "x-portkey-provider-model"
_JSONL: Final = "application/jsonl"
_SERVED: Final = (200, 206)
_RANGE_NOT_SATISFIABLE: Final = 416

VERTEX: Final = Dialect(
    name="vertex-ai",
    title="Google Vertex AI",
    base_url="https://storage.googleapis.com",
    capabilities=Capabilities(
        transforms=True,
        paging=Paging.TOKEN,
        default_list_limit=100,
        max_list_limit=MOST_WALKED,
        max_bytes=5 << 40,
    ),
    filters_purpose=False,
    has_status=False,
    order=ListOrder.ANY,
)
"""The limit of an object's size is that of https://cloud.google.com/storage/quotas#objects. Lifecycle rules of a bucket, which no file
says anything of, may delete objects."""


class VertexAI(WithoutJobs):
    """A :class:`fileplane.providers.base.Provider`. ``tokens`` are those of Google's identities."""

    def __init__(self, egress: Egress, dialect_of: DialectOf, tokens: GoogleTokens) -> None:
        super().__init__(VERTEX.title)
        self.name = VERTEX.name
        self._egress = egress
        self._dialect_of = dialect_of
        self._tokens = tokens

    def capabilities(self, target: Target) -> Capabilities:
        """See the protocol."""
        return self._dialect_of(target).capabilities

    async def upload(self, target: Target, upload: RemoteUpload) -> RemoteFile:
        """See the protocol. Raises :class:`~fileplane.errors.MissingParameter` for a file to be translated for no model."""
        dialect = self._dialect_of(target)
        place = new_place(target, upload)
        model = _check_upload(dialect, target, upload)
        most = dialect.capabilities.max_bytes_for(upload.purpose)
        description = description_of(place, upload, transformed=model is not None)
        content = counted(upload.content, upload.length, most)
        sent = content if model is None else _translated(content, model, _purpose(target, upload.purpose))

        async def call() -> RemoteFile:
            access = await self._access_to(target, dialect)
            async with AsyncExitStack() as stack:
                for generator in (content, sent):
                    if isinstance(generator, AsyncGenerator):
                        await stack.enter_async_context(aclosing(generator))
                return await ObjectUpload(self._egress, target, access, place, description).send(sent)

        file = await self._tokens.renewing(identity_of(target), call, again=False)
        return replace(file, filename=file.filename or upload.filename, purpose=upload.purpose, transformed=model is not None)

    async def list(self, target: Target, query: RemoteQuery) -> RemotePage:
        """See the protocol."""
        dialect, bucket = self._dialect_of(target), bucket_of(target)
        if query.after is not None:
            after = parse_object_id(query.after)
            if after is None or (after.scheme, after.bucket) != (SCHEME, bucket):
                raise InvalidValue("'after' is no id of a file in this bucket.", param="after")
            query = replace(query, after=after.id)

        async def fetch(asked: Mapping[str, str]) -> Any:
            access = await self._access_to(target, dialect)
            async with self._egress.call(request_to(target, access, "GET", access.url(bucket_path(bucket), asked))) as response:
                if response.status not in SUCCESSES:
                    raise await refused(target, access, response)
                return await answer_of(target, access, response, MOST_LIST_BYTES)

        limit = query.limit or dialect.capabilities.default_list_limit
        return await self._tokens.renewing(identity_of(target), lambda: page_of_bucket(bucket, fetch, query, limit))

    async def get(self, target: Target, file_id: str) -> RemoteFile:
        """See the protocol. What a batch has written is translated when it is read, so that nobody knows its size."""
        dialect, place = self._dialect_of(target), _place_of(target, file_id)

        async def call() -> RemoteFile:
            access = await self._access_to(target, dialect)
            async with self._egress.call(request_to(target, access, "GET", access.url(object_path(place)))) as response:
                await check_found(target, dialect, access, response, FileNotFound, file_id)
                return file_of(await answer_of(target, access, response, MOST_ANSWER_BYTES), place.bucket)

        file = await self._tokens.renewing(identity_of(target), call)
        if file.id != place.id:
            raise UpstreamAnswerInvalid("The provider describes another object than the one that was asked for.")
        return replace(file, bytes=None, transformed=True) if _is_translated(target, place) else file

    @asynccontextmanager
    async def open(self, target: Target, file_id: str, span: ByteRange | None = None) -> AsyncIterator[RemoteContent]:
        """See the protocol. What a batch has written is always served whole."""
        dialect, place = self._dialect_of(target), _place_of(target, file_id)
        if not dialect.capabilities.download:
            raise unsupported(dialect, "download files")
        translated = _is_translated(target, place)
        asked = span if dialect.capabilities.ranges and not translated else None
        async with AsyncExitStack() as stack:
            content = await self._tokens.renewing(
                identity_of(target), lambda: stack.enter_async_context(self._opened(target, dialect, place, file_id, asked))
            )
            yield _Translated(content, target.fields.get("provider_model")) if translated else content

    @asynccontextmanager
    async def _opened(
        self, target: Target, dialect: Dialect, place: ObjectPlace, file_id: str, asked: ByteRange | None
    ) -> AsyncIterator[Download]:
        access = await self._access_to(target, dialect)
        url = access.url(object_path(place), {"alt": "media"})
        headers = {} if asked is None else {"Range": asked.header()}
        async with self._egress.call(request_to(target, access, "GET", url, headers=headers, follow_redirects=True)) as response:
            if response.status == _RANGE_NOT_SATISFIABLE and asked is not None:
                raise InvalidRange("The range lies outside the file.", param="range", headers=whole_size(response.headers))
            await check_found(target, dialect, access, response, FileNotFound, file_id)
            if response.status not in _SERVED:
                raise UpstreamAnswerInvalid("The provider's answer to a download is none.")
            yield Download(response, asked, media_type_of(target, access, response))

    async def delete(self, target: Target, file_id: str) -> None:
        """See the protocol."""
        dialect, place = self._dialect_of(target), _place_of(target, file_id)
        if not dialect.capabilities.delete:
            raise unsupported(dialect, "delete files")

        async def call() -> None:
            access = await self._access_to(target, dialect)
            async with self._egress.call(request_to(target, access, "DELETE", access.url(object_path(place)))) as response:
                await check_found(target, dialect, access, response, FileNotFound, file_id)

        await self._tokens.renewing(identity_of(target), call)

    async def _access_to(self, target: Target, dialect: Dialect) -> Access:
        identity = identity_of(target)
        within = target.request_timeout_seconds
        token = target.secrets.get("api_key") if identity is None else await self._tokens.token(identity, within)
        if token is None and target.custom_host is None:
            raise missing_credential(dialect.title)
        secret_headers = {} if token is None else {"Authorization": Secret(f"Bearer {token.reveal()}")}
        return Access(base_url_of(target, dialect.base_url), secret_headers)


class _Translated:
    """What a batch has written, in OpenAI's form of a line."""

    status = 200
    length: int | None = None
    served: ServedRange | None = None
    media_type: str | None = _JSONL
    transformed = True

    def __init__(self, content: RemoteContent, model: str | None) -> None:
        self._content = content
        self._model = model

    def __aiter__(self) -> AsyncIterator[bytes]:
        """See the protocol."""
        return from_vertex(aiter(self._content), model=self._model)


def _place_of(target: Target, file_id: str) -> ObjectPlace:
    return object_of(file_id, SCHEME, bucket_of(target))


def _purpose(target: Target, purpose: str) -> str:
    """What decides how a file is sent: what the request says of it before what its form says, as Portkey has it."""
    return target.fields.get("file_purpose", purpose)


def _is_translated(target: Target, place: ObjectPlace) -> bool:
    return is_result(place) and target.fields.get("file_purpose") != AS_IT_IS


def _translated(content: AsyncIterator[bytes], model: str, purpose: str) -> AsyncIterator[bytes]:
    try:
        return to_vertex(content, model=model, purpose=purpose)
    except InvalidValue as error:
        error.param = MODEL_HEADER if error.param == "model" else error.param
        raise


def _check_upload(dialect: Dialect, target: Target, upload: RemoteUpload) -> str | None:
    """The model that a file is translated for; None for one that is sent as it is. Raises for what can be refused before."""
    if upload.expires_after is not None:
        raise InvalidValue(f"{dialect.title} gives files no expiry of one's own. Leave 'expires_after' out.", param="expires_after")
    if any(character in upload.purpose for character in "\r\n\x00"):
        raise InvalidValue("'purpose' has control characters.", param="purpose")
    most = dialect.capabilities.max_bytes_for(upload.purpose)
    if most is not None and upload.length is not None and upload.length > most:
        raise too_large(most)
    purpose = _purpose(target, upload.purpose)
    if purpose not in TRANSLATED:
        return None
    model = target.fields.get("provider_model")
    if model is None:
        raise MissingParameter(
            f"A file of purpose '{purpose}' is translated for its model, and no model is named. Send {MODEL_HEADER}, or send "
            f"x-portkey-file-purpose: {AS_IT_IS} with a file that is in Vertex AI's own form already.",
            param=MODEL_HEADER,
        )
    return model
