"""The adapter for Cohere, whose files are datasets (https://docs.cohere.com/docs/datasets, SDK 7.3.1).

A dataset has a type, which is what a purpose comes down to, and is looked at after its upload. Cohere keeps the rows in a form of its own;
the bytes as they were sent are kept because that is asked for, and are what a download gives. A dataset that a job has made has none, so
that its rows come in Cohere's form, which is Avro. Its size is known only of those.

Rows for embed jobs may be sent as OpenAI has the requests of a batch; see :mod:`fileplane.providers.jsonl.cohere`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from fileplane.errors import (
    FileplaneError,
    InvalidValue,
    ProviderRefused,
    UnsupportedProviderOperation,
    UploadLost,
    UpstreamAnswerInvalid,
    UpstreamUnreachable,
)
from fileplane.model import FileStatus
from fileplane.providers.access import Access, bearer_access
from fileplane.providers.answers import answer_of
from fileplane.providers.base import Capabilities, Paging, RemoteFile, RemoteUpload, Target
from fileplane.providers.calls import SUCCESSES, refused_sending, request_to
from fileplane.providers.datasets import Datasets
from fileplane.providers.dialects import Dialect, DialectOf, ListOrder
from fileplane.providers.egress import Egress
from fileplane.providers.jsonl.cohere import ID_FIELD, to_cohere
from fileplane.providers.listing import MOST_WALKED, Fetch
from fileplane.providers.multipart_body import MultipartBody
from fileplane.providers.openai import check_upload
from fileplane.providers.refusals import MOST_ANSWER_BYTES
from fileplane.providers.remote_ids import dataset_path, is_remote_id
from fileplane.providers.request_ids import Heard

_DAY: Final = 86_400
_PAGE: Final = "100"
_EMBED: Final = "embed-input"
_LINES: Final = ".jsonl"
_LONGEST_NAME: Final = 1_500
_STATUSES: Final = {
    "unknown": "uploaded",
    "queued": "queued",
    "processing": "processing",
    "validated": "ready",
    "failed": "failed",
    "skipped": "failed",
}

COHERE: Final = Dialect(
    name="cohere",
    title="Cohere",
    base_url="https://api.cohere.com/v1",
    purposes={"batch": "batch-openai-chat-input", "fine-tune": "chat-finetune-input"},
    read_purposes={"embed-result": "batch_output"},
    filters_purpose=False,
    order=ListOrder.ANY,
    capabilities=Capabilities(
        transforms=True,
        paging=Paging.PAGES,
        max_bytes=1_500_000_000,
        default_expiry_seconds=30 * _DAY,
        purposes=frozenset(
            {
                "batch",
                "fine-tune",
                _EMBED,
                "batch-chat-input",
                "batch-chat-v2-input",
                "batch-embed-v2-input",
                "batch-openai-chat-input",
                "chat-finetune-input",
                "reranker-finetune-input",
                "single-label-classification-finetune-input",
                "multi-label-classification-finetune-input",
            }
        ),
        keeps_bytes=False,
        unverified=frozenset({"purposes", "max_list_limit", "paging", "download", "ranges"}),
    ),
)


class Cohere(Datasets):
    """See the module."""

    def __init__(self, egress: Egress, dialect_of: DialectOf) -> None:
        super().__init__("cohere", egress, dialect_of, bearer_access)

    async def upload(self, target: Target, upload: RemoteUpload) -> RemoteFile:
        """See the protocol."""
        dialect = self._dialect_of(target)
        check_upload(dialect, upload)
        rows = _Rows(upload) if upload.purpose == _EMBED and upload.filename.lower().endswith(_LINES) else None
        access = await self._access_to(target, dialect)
        body = MultipartBody(
            [],
            filename=upload.filename,
            media_type=upload.media_type,
            content=upload.content if rows is None else rows.turned(),
            file_field="data",
            file_length=upload.length if rows is None else None,
            at_most=upload.at_most if rows is None else None,
            most=dialect.capabilities.max_bytes_for(upload.purpose),
        )
        query = {"name": _name_of(upload), "type": dialect.theirs(upload.purpose), "keep_original_file": "true"}
        if rows is not None:
            query["optional_fields"] = ID_FIELD
        request = request_to(target, access, "POST", access.url("/datasets", query), body=body)
        async with self._egress.call(request) as response:
            if response.status not in SUCCESSES:
                raise await refused_sending(target, access, response, body)
            if not body.complete:
                raise UploadLost("The provider answered before it had the whole file. It may have a part; look at its list first.")
            try:
                answer = await answer_of(target, access, response, MOST_ANSWER_BYTES)
            except (UpstreamAnswerInvalid, UpstreamUnreachable) as error:
                raise UploadLost(f"{error.message} It may have the file; look at its list first.") from error
        if not isinstance(answer, dict) or not is_remote_id(answer.get("id")):
            raise UploadLost("The provider's answer has no file with a usable id. It may have the file; look at its list first.")
        described = await self._described(target, str(answer["id"]))
        changed = rows is not None and rows.changed
        return replace(described, bytes=body.file_bytes, filename=upload.filename, purpose=upload.purpose, transformed=changed)

    async def _described(self, target: Target, file_id: str) -> RemoteFile:
        """A dataset that was just made, of which nothing but its id was told. That it is there is certain, whatever this brings."""
        try:
            return await self.get(replace(target, heard=Heard()), file_id)
        except FileplaneError:
            return RemoteFile(file_id, created_at=int(time.time()), status=FileStatus.UPLOADED)

    def _as_file(self, row: Any) -> Any:
        if isinstance(row, dict) and isinstance(row.get("dataset"), dict):
            row = row["dataset"]
        if not isinstance(row, dict):
            return row
        sizes = [part.get("size_bytes") for part in _parts(row) if not part.get("original_url")]
        whole = bool(sizes) and len(sizes) == len(_parts(row)) and all(isinstance(size, int) for size in sizes)
        return {
            "id": row.get("id"),
            "bytes": sum(sizes) if whole else None,
            "created_at": row.get("created_at"),
            "filename": row.get("name"),
            "purpose": row.get("dataset_type"),
            "status": _STATUSES.get(str(row.get("validation_status")), "uploaded"),
            "status_details": row.get("validation_error"),
        }

    def _fetching(self, target: Target, access: Access) -> Fetch:
        walked = 0

        async def fetch(query: Mapping[str, str]) -> Any:
            # It does not say whether there is more, nor how many it gives at most: only an empty page is certainly the last.
            nonlocal walked
            asked = {"offset": str(walked)} if walked else {}
            _, files = await self._listed(target, access, {"limit": query.get("page_size", _PAGE), **asked}, "datasets")
            walked += len(files)
            return {"data": files, "total": MOST_WALKED * MOST_WALKED}

        return fetch

    async def _urls(self, target: Target, access: Access, file_id: str) -> Sequence[str]:
        answer = await self._asked(target, access, dataset_path(file_id), file_id)
        self._read(self._dialect_of(target), file_id, answer)
        dataset = answer["dataset"] if isinstance(answer.get("dataset"), dict) else answer
        parts = sorted(_parts(dataset), key=lambda part: part["index"] if isinstance(part.get("index"), int) else 0)
        originals = _texts(parts, "original_url")
        urls = originals or _texts(parts, "url")
        if not urls:
            raise ProviderRefused(
                "Cohere has no bytes of this dataset, or not before it has looked at it.", status=400, code="file_not_ready"
            )
        if len(urls) > 1 and not (originals and str(dataset.get("name")).lower().endswith(_LINES)):
            raise UnsupportedProviderOperation(
                f"This dataset consists of {len(urls)} files, which cannot be made one. Read it with Cohere's own SDK.", param="id"
            )
        return urls


def _name_of(upload: RemoteUpload) -> str:
    """Goes into the URL, which has room for no more. Raises :class:`~fileplane.errors.InvalidValue`."""
    name = upload.filename.encode("utf-8", "replace").decode()
    if len(quote(name)) > _LONGEST_NAME:
        raise InvalidValue(f"{COHERE.title} takes names of files of at most {_LONGEST_NAME} characters once percent-encoded.", param="file")
    return name


class _Rows:
    """The rows of an embed job, turned as they come, and whether that changes any byte."""

    def __init__(self, upload: RemoteUpload) -> None:
        self._upload = upload
        self._before = hashlib.sha256()
        self._after = hashlib.sha256()

    @property
    def changed(self) -> bool:
        """Once all of them have come."""
        return self._before.digest() != self._after.digest()

    async def turned(self) -> AsyncIterator[bytes]:
        """The rows as they are sent."""
        async for piece in to_cohere(self._checked()):
            self._after.update(piece)
            yield piece

    async def _checked(self) -> AsyncIterator[bytes]:
        size, length = 0, self._upload.length
        async for piece in self._upload.content:
            size += len(piece)
            if length is not None and size > length:
                raise InvalidValue("The file has more bytes than were announced.", param="file")
            self._before.update(piece)
            yield piece
        if length is not None and size < length:
            raise InvalidValue("The file has fewer bytes than were announced.", param="file")


def _parts(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    parts = row.get("dataset_parts")
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _texts(parts: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """Each once, in order."""
    return list(dict.fromkeys(part[name] for part in parts if isinstance(part.get(name), str) and part[name]))
