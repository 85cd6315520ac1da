"""Uploads in parts, as OpenAI's Uploads API has them: an hour to live, 64 MiB a part, counts and checksums that must agree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import Account, Accounts, KeptFile, KeptPart, KeptUpload, hex_id
from fileplane.testing.fake_provider.faults import Fault
from fileplane.testing.fake_provider.files import read_through
from fileplane.testing.fake_provider.flavours import Flavour
from fileplane.testing.fake_provider.forms import read_form
from fileplane.testing.fake_provider.wire import Answer, Handler, RecordedRequest, answer_of

LIFETIME_SECONDS: Final = 3_600
_MOST_PART_BYTES: Final = 64 << 20
_MOST_BYTES: Final = 8 << 30
_MEMBERS: Final = {"filename": str, "purpose": str, "bytes": int, "mime_type": str}
_upload_id: Final = hex_id("upload_", 48)
_part_id: Final = hex_id("part_", 48)


class UploadsApi:
    """Routes and answers. The operations are ``uploads.create``, ``.part``, ``.complete`` and ``.cancel``."""

    def __init__(self, flavour: Flavour, accounts: Accounts) -> None:
        self._flavour = flavour
        self._accounts = accounts

    def route(self, method: str, segments: list[str]) -> tuple[str, Handler | None]:
        """The name of an operation and what answers it."""
        if method != "POST":
            return "", None
        match segments:
            case []:
                return "uploads.create", self._create
            case [_, "parts"]:
                return "uploads.part", self._add_part
            case [_, "complete"]:
                return "uploads.complete", self._complete
            case [_, "cancel"]:
                return "uploads.cancel", self._cancel
        return "", None

    async def _create(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        asked = await _document(body)
        request.document = asked
        if asked is None or request.headers.get("content-type") != "application/json":
            return self._error("We could not parse the JSON body of your request.")
        for name, kind in _MEMBERS.items():
            if not isinstance(asked.get(name), kind):
                return self._error(f"Missing required parameter: '{name}'.", "missing_required_parameter", name)
        if self._flavour.purposes is not None and asked["purpose"] not in self._flavour.purposes:
            return self._error(f"'{asked['purpose']}' is not one of {sorted(self._flavour.purposes)} - 'purpose'", None, "purpose")
        if not 0 < asked["bytes"] <= _MOST_BYTES:
            return self._error("Invalid 'bytes'.", "invalid_value", "bytes")
        if set(asked) - {*_MEMBERS, "expires_after"}:
            return self._error("Additional properties are not allowed.")
        upload = KeptUpload(_upload_id(), asked, self._accounts.now())
        account = self._accounts.of(credential)
        account.uploads[upload.id] = upload
        return _json(self._rendered(account, upload))

    async def _add_part(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        account = self._accounts.of(credential)
        upload = self._upload(request, account)
        if upload is None or self._status(upload) != "pending":
            await read_through(body)
            return self._refusal(upload)
        path, kept = self._accounts.new_path(), False
        try:
            form = await read_form(request.headers.get("content-type", ""), body, path)
            request.fields = [(name, form.fields.get(name, form.filename or "")) for name in form.order]
            if form.order != ["data"] or form.filename is None:
                return self._error("Missing required parameter: 'data'.", "missing_required_parameter", "data")
            if not 0 < form.size <= _MOST_PART_BYTES:
                return self._error("The part is too large.", "invalid_value", "data")
            part = KeptPart(_part_id(), form.size, path)
            upload.parts[part.id] = part
            kept = True
        finally:
            if not kept:
                path.unlink(missing_ok=True)
        return _json({"id": part.id, "object": "upload.part", "created_at": self._accounts.now(), "upload_id": upload.id})

    async def _complete(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, fault: Fault | None) -> Answer:
        asked = await _document(body)
        request.document = asked
        account = self._accounts.of(credential)
        upload = self._upload(request, account)
        if upload is None or self._status(upload) != "pending":
            return self._refusal(upload)
        part_ids = (asked or {}).get("part_ids")
        if not isinstance(part_ids, list) or not part_ids or any(part_id not in upload.parts for part_id in part_ids):
            return self._error("Invalid 'part_ids'.", "invalid_value", "part_ids")
        content = b"".join(upload.parts[part_id].path.read_bytes() for part_id in part_ids)
        if len(content) != upload.document["bytes"]:
            return self._error("The number of bytes uploaded does not match the number of bytes specified.", "invalid_value")
        md5 = (asked or {}).get("md5")
        if md5 is not None and md5 != hashlib.md5(content, usedforsecurity=False).hexdigest():
            return self._error("The checksum does not match.", "invalid_value", "md5")
        file = self._made(account, upload, content)
        upload.status, upload.file_id = "completed", file.id
        return _json(self._rendered(account, upload, fault))

    async def _cancel(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        account = self._accounts.of(credential)
        upload = self._upload(request, account)
        if upload is None or self._status(upload) != "pending":
            return self._refusal(upload)
        upload.status = "cancelled"
        for part in upload.parts.values():
            part.path.unlink(missing_ok=True)
        return _json(self._rendered(account, upload))

    def _made(self, account: Account, upload: KeptUpload, content: bytes) -> KeptFile:
        path = self._accounts.new_path()
        path.write_bytes(content)
        asked = upload.document
        seconds = (asked.get("expires_after") or {}).get("seconds", self._flavour.default_expiry.get(asked["purpose"]))
        details = {"filename": asked["filename"], "purpose": asked["purpose"], "media_type": asked["mime_type"]}
        return self._accounts.add(account, self._flavour.new_id(), path, **details, expires_after=seconds)

    def _rendered(self, account: Account, upload: KeptUpload, fault: Fault | None = None) -> dict[str, Any]:
        file = None if upload.file_id is None else account.files.get(upload.file_id)
        shown = None if file is None else self._flavour.render(file)
        if shown is not None and fault is not None and fault.kind == "wrong_size":
            shown = {**shown, "bytes": shown["bytes"] + fault.by}
        return {
            "id": upload.id,
            "object": "upload",
            "bytes": upload.document["bytes"],
            "created_at": upload.created_at,
            "expires_at": upload.created_at + LIFETIME_SECONDS,
            "filename": upload.document["filename"],
            "purpose": upload.document["purpose"],
            "status": self._status(upload),
            "file": shown,
        }

    def _status(self, upload: KeptUpload) -> str:
        late = upload.status == "pending" and self._accounts.now() >= upload.created_at + LIFETIME_SECONDS
        return "expired" if late else upload.status

    def _upload(self, request: RecordedRequest, account: Account) -> KeptUpload | None:
        return account.uploads.get(request.path.removeprefix(self._flavour.prefix + "/uploads/").rpartition("/")[0])

    def _refusal(self, upload: KeptUpload | None) -> Answer:
        if upload is None:
            return _json(self._flavour.error(404, "No such Upload object.", None, "id"), 404)
        return self._error(f"Upload {upload.id} has status '{self._status(upload)}'.", "invalid_value")

    def _error(self, message: str, code: str | None = None, param: str | None = None) -> Answer:
        return _json(self._flavour.error(400, message, code, param), 400)


async def _document(body: AsyncIterator[bytes]) -> dict[str, Any] | None:
    try:
        asked = json.loads(b"".join([piece async for piece in body]))
    except ValueError:
        return None
    return asked if isinstance(asked, dict) else None


def _json(value: Any, status: int = 200) -> Answer:
    return answer_of(status, json.dumps(value).encode())
