"""The adapter for Fireworks, whose files are datasets of lines (https://docs.fireworks.ai/api-reference/create-dataset, SDK 1.2.30).

A dataset is made under an id of ours, gets its bytes, and is then looked at by Fireworks. Up to 150 MB the bytes go to Fireworks itself,
more of them to a URL that it has signed, after which it is told to look at them. Whatever fails before it can have all of them, or before
it is told, takes the dataset back, so that nothing is left of it; what fails later leaves it, to be found.

Fireworks keeps neither size nor purpose, and of a file's name only what the dataset can be shown by.
"""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from fileplane.errors import (
    FileplaneError,
    InvalidValue,
    ProviderRefused,
    UnsupportedProviderOperation,
    UploadLost,
    UpstreamAnswerInvalid,
    UpstreamOutcomeUnknown,
    UpstreamUnreachable,
)
from fileplane.model import FileStatus
from fileplane.providers.access import Access, base_url_of, bearer_access
from fileplane.providers.answers import answer_of
from fileplane.providers.base import Capabilities, Paging, RemoteFile, RemoteUpload, Target
from fileplane.providers.calls import NOT_FOUND, SUCCESSES, refused, refused_sending, request_to
from fileplane.providers.datasets import MOST_DATASET_BYTES, Datasets
from fileplane.providers.dialects import Dialect, DialectOf, ListOrder
from fileplane.providers.egress import Egress
from fileplane.providers.egress_response import EgressResponse
from fileplane.providers.file_objects import seconds_of
from fileplane.providers.json_body import JsonBody
from fileplane.providers.listing import Fetch
from fileplane.providers.multipart_body import MultipartBody
from fileplane.providers.openai import check_upload
from fileplane.providers.outcomes import UPLOAD
from fileplane.providers.plain_body import PlainBody
from fileplane.providers.remote_ids import dataset_path
from fileplane.providers.request_body import RequestBody
from fileplane.providers.request_ids import Heard
from fileplane.providers.signed_urls import refused_there, signed_call

MOST_AT_ONCE: Final = 150_000_000
"""Bytes that Fireworks takes itself; of more it says where to put them."""
_TAKE_BACK_SECONDS: Final = 10.0
_SHOWN_NAME: Final = 64
"""Names that things at Fireworks are shown by are shorter than this many characters."""
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.jsonl")
_ANY_NAME: Final = "file.jsonl"
_RESULTS_ASIDE: Final = "error"
_NOT_ENCRYPTED: Final = frozenset({None, "", "ENCRYPTION_STATE_UNSPECIFIED", "ENCRYPTION_STATE_PLAINTEXT"})
_STATES: Final = {"UPLOADING": "uploaded", "READY": "ready"}

FIREWORKS: Final = Dialect(
    name="fireworks-ai",
    title="Fireworks",
    base_url="https://api.fireworks.ai/v1",
    sends_purpose=False,
    filters_purpose=False,
    order=ListOrder.ANY,
    capabilities=Capabilities(
        paging=Paging.TOKEN,
        default_list_limit=50,
        max_list_limit=200,
        keeps_purpose=False,
        keeps_bytes=False,
        needs_length=True,
        needs_lines=True,
        accepts_empty=False,
        unverified=frozenset({"max_bytes", "default_expiry_seconds", "keeps_filename", "ranges"}),
    ),
)

_log = logging.getLogger(__name__)


class Fireworks(Datasets):
    """See the module. ``most_at_once`` is for tests."""

    def __init__(self, egress: Egress, dialect_of: DialectOf, *, most_at_once: int = MOST_AT_ONCE) -> None:
        super().__init__("fireworks-ai", egress, dialect_of, _access_to)
        self._most_at_once = most_at_once
        self._taking_back: set[asyncio.Task[None]] = set()

    async def upload(self, target: Target, upload: RemoteUpload) -> RemoteFile:
        """See the protocol."""
        dialect = self._dialect_of(target)
        check_upload(dialect, upload)
        assert upload.length is not None, "it is refused before"
        access = await self._access_to(target, dialect)
        dataset_id = f"file-{uuid.uuid4().hex}"
        at_once = upload.length <= self._most_at_once
        name, most = _wire_name(upload.filename), dialect.capabilities.max_bytes_for(upload.purpose)
        body: RequestBody
        if at_once:
            media_type, length = upload.media_type, upload.length
            body = MultipartBody([], filename=name, media_type=media_type, content=upload.content, file_length=length, most=most)
        else:
            body = PlainBody(upload.content, upload.length)
        by, made = _Deadline(target), None
        try:
            made = await self._make(by.target(), access, dataset_id, upload)
            if at_once:
                await self._send(by.target(), access, dataset_id, body)
            else:
                _require_plain(made)
                await self._put(by, access, dataset_id, name, body)
        except BaseException as error:
            # Of what has gone out whole and is not refused nobody knows whether it has arrived. It can be found by those who look.
            # What was put at a signed URL is no file before Fireworks is told.
            known = not body.complete or (isinstance(error, FileplaneError) and not isinstance(error, UpstreamOutcomeUnknown))
            not_made = made is None and isinstance(error, ProviderRefused)
            if known and not not_made:
                await self._take_back(target, access, dataset_id)
            raise
        created_at = seconds_of(made, "createTime")
        return RemoteFile(dataset_id, upload.length, created_at, None, upload.filename, upload.purpose, FileStatus.UPLOADED)

    async def _make(self, target: Target, access: Access, dataset_id: str, upload: RemoteUpload) -> Mapping[str, Any]:
        """A dataset without bytes."""
        shown = {"displayName": upload.filename} if upload.filename.isprintable() and len(upload.filename) < _SHOWN_NAME else {}
        dataset = {**shown, "userUploaded": {}, "exampleCount": str(upload.lines)}
        made = await self._told(target, access, "/datasets", {"datasetId": dataset_id, "dataset": dataset}, changes_nothing=True)
        if not isinstance(made, dict) or _id_in(made) != dataset_id:
            raise UpstreamAnswerInvalid("The provider made another dataset than the one that was asked for.")
        return made

    async def _send(self, target: Target, access: Access, dataset_id: str, body: RequestBody) -> None:
        request = request_to(target, access, "POST", access.url(dataset_path(dataset_id, "upload")), body=body)
        async with self._egress.call(request) as response:
            if response.status not in SUCCESSES:
                raise await refused_sending(target, access, response, body)
            answer = await _answered(target, access, response, body)
        said = answer.get("id") if isinstance(answer, dict) else ""
        if not isinstance(answer, dict) or (said is not None and said != dataset_id and not str(said).endswith(f"/datasets/{dataset_id}")):
            raise UploadLost("The provider's answer to an upload is none. It may have the file; look at its list first.")

    async def _put(self, by: _Deadline, access: Access, dataset_id: str, name: str, body: RequestBody) -> None:
        url = await self._place(by.target(), access, dataset_id, name, str(body.length))
        # Both headers are part of what is signed.
        headers = {"Content-Type": body.content_type, "X-Goog-Content-Length-Range": f"{body.length},{body.length}"}
        async with signed_call(self._egress, by.target(), "PUT", url, headers, body) as response:
            if response.status not in SUCCESSES:
                raise await refused_there(by.target(), url, response)
            if not body.complete:
                raise UpstreamAnswerInvalid("The provider answered before it had the whole file.")
        await self._told(by.target(), access, dataset_path(dataset_id, "validateUpload"), {})

    async def _place(self, target: Target, access: Access, dataset_id: str, name: str, size: str) -> str:
        """Where Fireworks wants the bytes."""
        path = dataset_path(dataset_id, "getUploadEndpoint")
        answer = await self._told(target, access, path, {"filenameToSize": {name: size}}, changes_nothing=True)
        urls = _urls_in(answer)
        if set(urls) != {name}:
            raise UpstreamAnswerInvalid("The provider does not say where to put the file.")
        return urls[name]

    async def _told(self, target: Target, access: Access, path: str, document: Mapping[str, Any], *, changes_nothing: bool = False) -> Any:
        """The answer to a document. With ``changes_nothing`` it is never in doubt whether the provider has the file because of it."""
        body = JsonBody(document, UPLOAD)
        request = replace(request_to(target, access, "POST", access.url(path), body=body), repeatable=changes_nothing)
        async with self._egress.call(request) as response:
            if response.status not in SUCCESSES:
                if changes_nothing:
                    raise await refused(target, access, response)
                raise await refused_sending(target, access, response, body)
            if changes_nothing:
                return await answer_of(target, access, response, MOST_DATASET_BYTES)
            return await _answered(target, access, response, body)

    async def _take_back(self, target: Target, access: Access, dataset_id: str) -> None:
        """Deletes a dataset of an upload that failed, even when whoever wanted it is gone."""

        async def delete() -> None:
            own = replace(target, request_timeout_seconds=None, heard=Heard())
            request = request_to(own, access, "DELETE", access.url(dataset_path(dataset_id)))
            try:
                async with asyncio.timeout(_TAKE_BACK_SECONDS), self._egress.call(request) as response:
                    if response.status not in SUCCESSES and response.status != NOT_FOUND:
                        _log.warning("the dataset of an upload that failed could not be deleted, and is left at Fireworks: %s", dataset_id)
            except (FileplaneError, TimeoutError) as error:
                _log.warning(
                    "the dataset of an upload that failed could not be deleted, and may be left at Fireworks: %s",
                    dataset_id,
                    exc_info=error,
                )

        task = asyncio.create_task(delete(), name="fileplane-take-back")
        self._taking_back.add(task)
        task.add_done_callback(self._taking_back.discard)
        await asyncio.shield(task)

    def _as_file(self, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        status = row.get("status")
        failed = isinstance(status, dict) and status.get("code") not in {None, "OK"}
        return {
            "id": _id_in(row),
            "created_at": row.get("createTime"),
            "filename": row.get("displayName"),
            "status": "failed" if failed else _STATES.get(str(row.get("state"))),
            "status_details": status.get("message") if isinstance(status, dict) and failed else None,
        }

    def _fetching(self, target: Target, access: Access) -> Fetch:
        async def fetch(query: Mapping[str, str]) -> Any:
            asked = {"pageSize": query["limit"]} if "limit" in query else {}
            if "pagination_token" in query:
                asked["pageToken"] = query["pagination_token"]
            answer, files = await self._listed(target, access, asked, "datasets")
            return {"data": files, "pagination_token": answer.get("nextPageToken")}

        return fetch

    async def _urls(self, target: Target, access: Access, file_id: str) -> Sequence[str]:
        """Of a job's results those that are no failures, where there are others."""
        found = _urls_in(await self._asked(target, access, dataset_path(file_id, "getDownloadEndpoint"), file_id))
        if not found:
            raise ProviderRefused("Fireworks has no bytes of this dataset, or not yet.", status=400, code="file_not_ready")
        names = sorted(name for name in found if _RESULTS_ASIDE not in name.rpartition("/")[2].lower()) or sorted(found)
        return [found[name] for name in names]


class _Deadline:
    """A target whose own deadline holds for several calls together."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    def target(self) -> Target:
        """For the next call, with what is left."""
        seconds = self._target.request_timeout_seconds
        if seconds is None:
            return self._target
        return replace(self._target, request_timeout_seconds=max(0.001, seconds - (self._loop.time() - self._since)))


async def _access_to(target: Target, dialect: Dialect) -> Access:
    account = target.fields.get("fireworks_account_id", "")
    if not _ACCOUNT.fullmatch(account):
        raise InvalidValue("Fireworks cannot be called without the name of the account.", param="x-portkey-fireworks-account-id")
    access = await bearer_access(target, dialect)
    return replace(access, base_url=f"{base_url_of(target, dialect.base_url)}/accounts/{account}", headers={})


def _require_plain(made: Mapping[str, Any]) -> None:
    if made.get("encryptionState") not in _NOT_ENCRYPTED:
        raise UnsupportedProviderOperation(
            "The account's datasets are encrypted by a key of its own before they are sent, which is not done here.", param="file"
        )


async def _answered(target: Target, access: Access, response: EgressResponse, body: RequestBody) -> Any:
    """The answer to an upload. From here on whatever fails leaves a file behind, if the body was sent whole."""
    if not body.complete:
        raise UploadLost("The provider answered before it had the whole file. It may have a part; look at its list first.")
    try:
        return await answer_of(target, access, response, MOST_DATASET_BYTES)
    except (UpstreamAnswerInvalid, UpstreamUnreachable) as error:
        raise UploadLost(f"{error.message} It may have the file; look at its list first.") from error


def _wire_name(filename: str) -> str:
    """What a file is called within its dataset, where only plain names that say what it is are sure to be taken."""
    return filename if _PLAIN_NAME.fullmatch(filename) else _ANY_NAME


def _id_in(row: Mapping[str, Any]) -> str:
    return str(row.get("name", "")).rpartition("/datasets/")[2]


def _urls_in(answer: Any) -> dict[str, str]:
    """By their files' names. A map that is empty is left out, as in all of Google's JSON."""
    urls = answer.get("filenameToSignedUrls", {}) if isinstance(answer, dict) else None
    if not isinstance(urls, dict):
        raise UpstreamAnswerInvalid("The provider's answer does not say where the bytes are.")
    return {name: url for name, url in urls.items() if isinstance(url, str) and url}
