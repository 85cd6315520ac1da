"""The five calls on files, in a flavour's manner."""

from __future__ import annotations

import filecmp
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import Account, Accounts, KeptFile
from fileplane.testing.fake_provider.faults import Fault
from fileplane.testing.fake_provider.flavours import Flavour
from fileplane.testing.fake_provider.forms import Form, read_form
from fileplane.testing.fake_provider.wire import PIECE, Answer, Handler, RecordedRequest, answer_of

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


class FilesApi:
    """Routes and answers; see :class:`~fileplane.testing.fake_provider.provider.FakeProvider`."""

    def __init__(self, flavour: Flavour, accounts: Accounts) -> None:
        self._flavour = flavour
        self._accounts = accounts

    def route(self, method: str, segments: list[str]) -> tuple[str, Handler | None]:
        """The name of an operation and what answers it."""
        if method == "POST":
            return ("upload", self._upload) if tuple(segments) == self._flavour.upload_path else ("", None)
        if not segments:
            return ("list", self._list) if method == "GET" else ("", None)
        if len(segments) == 1 and method == "GET":
            return "get", self._get
        if len(segments) == 1 and method == "DELETE":
            return "delete", self._delete
        return ("content", self._content) if segments[1:] == ["content"] and method == "GET" else ("", None)

    async def _upload(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, fault: Fault | None) -> Answer:
        path = self._accounts.new_path()
        kept = False
        try:
            form = await read_form(request.headers.get("content-type", ""), body, path)
            request.fields = [(name, form.fields.get(name, form.filename or "")) for name in form.order]
            refused = self._refused(form)
            if refused is not None:
                return self._error(400, *refused)
            account = self._accounts.of(credential)
            existing = self._existing(account, form, path)
            if existing is not None:
                return self._json({"error": {"message": "File already exists"}, "file_id": existing}, 409)
            file = self._kept(account, form, path, fault)
            kept = True
        finally:
            if not kept:
                path.unlink(missing_ok=True)
        location = {"location": f"{request.path}/{file.id}"} if self._flavour.upload_status == 201 else {}
        return self._json(self._flavour.wrap_upload(self._flavour.render(file)), self._flavour.upload_status, location)

    def _existing(self, account: Account, form: Form, path: Path) -> str | None:
        """The id of a file of the same purpose and bytes, where the flavour has each only once."""
        if not self._flavour.once:
            return None
        for file in account.files.values():
            if file.purpose == form.fields.get("purpose") and file.size == form.size and filecmp.cmp(file.path, path, shallow=False):
                return file.id
        return None

    def _kept(self, account: Account, form: Form, path: Path, fault: Fault | None) -> KeptFile:
        file_id = self._flavour.new_id()
        if fault is not None and fault.kind == "duplicate_id" and account.files:
            file_id = next(reversed(account.files))
        if fault is not None and fault.kind == "odd_id":
            file_id = str(fault.body)
        purpose = form.fields.get("purpose", "")
        seconds = form.fields.get("expires_after[seconds]")
        return self._accounts.add(
            account,
            file_id,
            path,
            filename=form.fields.get("file_name") or form.filename or "upload",
            purpose=purpose,
            media_type=form.media_type,
            expires_after=int(seconds) if seconds else self._flavour.default_expiry.get(purpose),
        )

    def _refused(self, form: Form) -> tuple[str, str | None, str | None] | None:
        """Message, code and param of what is wrong with a form."""
        flavour, purpose = self._flavour, form.fields.get("purpose")
        if form.filename is None:
            return "Missing required parameter: 'file'.", "missing_required_parameter", "file"
        if flavour.purpose_required and not purpose:
            return "Missing required parameter: 'purpose'.", "missing_required_parameter", "purpose"
        if flavour.purposes is not None and purpose not in flavour.purposes:
            return f"'{purpose}' is not one of {sorted(flavour.purposes)} - 'purpose'", None, "purpose"
        if not form.size and not flavour.takes_empty:
            return "File is empty.", None, "file"
        return self._refused_fields(form) or self._refused_expiry(form)

    def _refused_fields(self, form: Form) -> tuple[str, str | None, str | None] | None:
        flavour = self._flavour
        if "file_name" in flavour.form_fields and not form.fields.get("file_name"):
            return "file_name is required", "missing_required_parameter", "file_name"
        if form.fields.get("file_type", "jsonl") not in {"jsonl", "csv", "parquet"}:
            return "file_type must be one of jsonl, csv, parquet", None, "file_type"
        known = {"file", "purpose", "expires_after[anchor]", "expires_after[seconds]", *flavour.form_fields}
        unknown = [name for name in form.order if name not in known]
        if unknown:
            return f"Additional properties are not allowed ('{unknown[0]}' was unexpected)", None, None
        return None

    def _refused_expiry(self, form: Form) -> tuple[str, str | None, str | None] | None:
        flavour, seconds = self._flavour, form.fields.get("expires_after[seconds]")
        if seconds is None and "expires_after[anchor]" not in form.fields:
            return None
        if not flavour.takes_expiry:
            return "'expires_after' is not supported.", None, "expires_after"
        if form.fields.get("expires_after[anchor]") != "created_at" or seconds is None or not seconds.isdigit():
            return "'expires_after' is malformed.", "invalid_value", "expires_after"
        if not flavour.shortest_expiry <= int(seconds) <= flavour.longest_expiry:
            return "'expires_after.seconds' is out of bounds.", "invalid_value", "expires_after.seconds"
        if flavour.expiry_before_file and form.order.index("file") < form.order.index("expires_after[seconds]"):
            return "expires_after must come before file.", None, "expires_after"
        return None

    async def _list(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        flavour, query = self._flavour, request.query
        files = sorted(self._accounts.of(credential).files.values(), key=lambda file: file.number)
        if flavour.order == "newest_first" or (
            flavour.order == "asked" and query.get("order", "desc") == "desc" and flavour.paging != "none"
        ):
            files.reverse()
        if flavour.filters_purpose and "purpose" in query:
            files = [file for file in files if file.purpose == query["purpose"]]
        if flavour.paging == "none":
            return self._json({"data": [flavour.render(file) for file in files]} | ({"object": "list"} if flavour.has_more else {}))
        if flavour.paging == "pages":
            return self._page_by_number(files, query)
        cursor = query.get("pagination_token" if flavour.paging == "token" else "after")
        limit = int(query.get("limit", min(flavour.default_limit, flavour.max_limit)))
        if not 1 <= limit <= flavour.max_limit:
            return self._error(400, "Invalid 'limit'.", "integer_above_max_value", "limit")
        if cursor is not None:
            places = [index for index, file in enumerate(files) if file.id == cursor]
            if not places:
                return self._error(404, "Resource not found.", None, "after")
            files = files[places[0] + 1 :]
        page = files[:limit]
        more = len(files) > limit
        data = [flavour.render(file) for file in page]
        if flavour.paging == "token":
            return self._json({"data": data, "pagination_token": page[-1].id if more else None})
        value: dict[str, Any] = {"object": "list", "data": data}
        if flavour.has_more:
            value |= {"has_more": more, "first_id": page[0].id if page else None, "last_id": page[-1].id if page else None}
        return self._json(value)

    def _page_by_number(self, files: list[KeptFile], query: dict[str, str]) -> Answer:
        size = min(int(query.get("page_size", self._flavour.default_limit)), self._flavour.max_limit)
        start = int(query.get("page", "0")) * size
        return self._json(
            {"object": "list", "data": [self._flavour.render(file) for file in files[start : start + size]], "total": len(files)}
        )

    async def _get(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        file = self._file(request, credential)
        if file is None or not self._flavour.describes:
            return self._unknown(request)
        return self._json(self._flavour.wrap_upload(self._flavour.render(file)))

    async def _delete(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        file = self._file(request, credential)
        if file is None:
            return self._unknown(request)
        self._accounts.remove(self._accounts.of(credential), file.id)
        return self._json(self._flavour.deleted(file.id))

    async def _content(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        file = self._file(request, credential)
        if file is None:
            return self._unknown(request)
        if not self._flavour.downloads:
            return self._error(400, "This file cannot be downloaded.", "file_not_downloadable")
        return served(file, request, ranges=self._flavour.ranges)

    def _file(self, request: RecordedRequest, credential: str) -> KeptFile | None:
        file_id = request.path.removeprefix(self._flavour.prefix + "/files/").removesuffix("/content")
        return self._accounts.of(credential).files.get(file_id)

    def _unknown(self, request: RecordedRequest) -> Answer:
        message = "File not found." if self._flavour.unknown_status == 400 else f"No such File object: {request.path.split('/')[-1]}"
        return self._error(self._flavour.unknown_status, message, None, "id")

    def _error(self, status: int, message: str, code: str | None, param: str | None = None) -> Answer:
        return self._json(self._flavour.error(status, message, code, param), status)

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
        return answer_of(status, json.dumps(value).encode(), headers=headers)


def served(file: KeptFile, request: RecordedRequest, *, ranges: bool) -> Answer:
    """A download, of the part that is asked for where there are ``ranges``."""
    match = _RANGE.fullmatch(request.headers.get("range", "")) if ranges else None
    headers = {"content-type": file.media_type or "application/octet-stream", "content-disposition": "attachment"}
    if match is None:
        return Answer(200, headers, bytes_of(file.path, 0, file.size), file.size)
    first, last = span_of(match, file.size)
    if first > last:
        return answer_of(416, b"", headers={"content-range": f"bytes */{file.size}"})
    headers["content-range"] = f"bytes {first}-{last}/{file.size}"
    return Answer(206, headers, bytes_of(file.path, first, last - first + 1), last - first + 1)


def span_of(match: re.Match[str], size: int) -> tuple[int, int]:
    """The first and last byte of a range; the first behind the last where it cannot be satisfied."""
    if not match[1]:
        return max(0, size - int(match[2] or 0)), size - 1
    return int(match[1]), min(size - 1, int(match[2]) if match[2] else size - 1)


async def read_through(body: AsyncIterator[bytes]) -> None:
    """Takes a body and does nothing with it."""
    async for _ in body:
        pass


async def bytes_of(path: Path, start: int, length: int) -> AsyncIterator[bytes]:
    """Part of a file, in pieces."""
    with path.open("rb") as file:
        file.seek(start)
        while length:
            piece = file.read(min(PIECE, length))
            length -= len(piece)
            yield piece
