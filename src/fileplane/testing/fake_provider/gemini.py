"""Gemini's Files API with its resumable uploads, as strict about their order, offsets and lengths as Google's servers are."""

from __future__ import annotations

import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import GENERATED, Accounts, KeptFile
from fileplane.testing.fake_provider.faults import Fault
from fileplane.testing.fake_provider.files import read_through, served
from fileplane.testing.fake_provider.flavours import Flavour
from fileplane.testing.fake_provider.wire import Answer, Handler, RecordedRequest, answer_of

GRANULARITY: Final = 8 << 20
"""What the size of every part but the last is a multiple of, as https://generativelanguage.googleapis.com announces it."""
_TWO_DAYS: Final = 172_800
_LONGEST_NAME: Final = 512
_NAME: Final = re.compile(r"files/[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_MEMBERS: Final = {"name", "displayName", "display_name", "mimeType", "mime_type", "sizeBytes", "size_bytes"}


@dataclass(slots=True)
class Session:
    """An upload that has begun. ``ended`` is the status that it ended with."""

    credential: str
    file_id: str | None
    display_name: str
    media_type: str
    size: int
    path: Path
    received: int = 0
    ended: str | None = None


class _Refused(Exception):
    """What is answered instead of doing anything."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class GeminiApi:
    """See :class:`~fileplane.testing.fake_provider.own_apis.OwnApi`. Steps of uploads: ``start``, ``upload``, ``cancel``, ``query``."""

    def __init__(self, flavour: Flavour, accounts: Accounts) -> None:
        self._flavour = flavour
        self._accounts = accounts
        self.granularity = GRANULARITY
        self.sessions: dict[str, Session] = {}
        """All that were ever begun, by their ids."""

    @property
    def open_sessions(self) -> list[Session]:
        """Those that have neither made a file nor been cancelled."""
        return [session for session in self.sessions.values() if session.ended is None]

    def credential(self, request: RecordedRequest) -> str | None:
        """Who knows a session's URL is let into it, and asked for no key."""
        session = self.sessions.get(request.query.get("upload_id", ""))
        return None if session is None or not request.path.startswith("/upload/") else session.credential

    def route(self, request: RecordedRequest, segments: list[str]) -> tuple[str, Handler | None]:
        """The five calls and the steps of an upload."""
        if segments[0] != "files":
            return "", None
        if request.path.startswith("/upload/"):
            return self._step(request) if len(segments) == 1 and request.method == "POST" else ("", None)
        if len(segments) == 1 and request.method == "GET":
            return "list", self._list
        if len(segments) == 2:
            if request.method == "GET" and segments[1].endswith(":download"):
                return "content", self._content
            return {"GET": ("get", self._get), "DELETE": ("delete", self._delete)}.get(request.method, ("", None))
        return "", None

    def _step(self, request: RecordedRequest) -> tuple[str, Handler | None]:
        command = request.headers.get("x-goog-upload-command", "")
        if "upload_id" not in request.query:
            return "start", self._start
        if command in {"cancel", "query"}:
            return command, self._cancel if command == "cancel" else self._query
        return "upload", self._receive

    async def _start(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        content = b"".join([piece async for piece in body])
        try:
            session = self._session(request, content, credential)
        except _Refused as refused:
            return self._error(refused.status, refused.message)
        upload_id = secrets.token_urlsafe(24)
        self.sessions[upload_id] = session
        place = f"http://{request.headers['host']}{request.path}?upload_id={upload_id}&upload_protocol=resumable"
        return self._json(
            {}, headers={**_status("active"), "x-goog-upload-url": place, "x-goog-upload-chunk-granularity": str(self.granularity)}
        )

    def _session(self, request: RecordedRequest, content: bytes, credential: str) -> Session:
        headers = request.headers
        length = headers.get("x-goog-upload-header-content-length", "")
        media_type = headers.get("x-goog-upload-header-content-type", "")
        if (headers.get("x-goog-upload-protocol"), headers.get("x-goog-upload-command")) != ("resumable", "start"):
            raise _Refused(400, "Invalid upload command.")
        if not length.isdigit() or not media_type or not headers.get("content-type", "").startswith("application/json"):
            raise _Refused(400, "Failed to create file. Length and type of the file are missing.")
        request.document = json.loads(content)
        described: dict[str, Any] = request.document.get("file", {})
        if not described.keys() <= _MEMBERS:
            raise _Refused(400, "Invalid JSON payload received. Unknown name.")
        name = described.get("name")
        display_name = str(described.get("displayName", described.get("display_name", "")))
        if name is not None and not _NAME.fullmatch(name):
            raise _Refused(400, "CreateFileRequest.file.name: File name may only contain lowercase alphanumeric characters or dashes (-).")
        if len(display_name) > _LONGEST_NAME:
            raise _Refused(400, "CreateFileRequest.file.display_name: must be no more than 512 characters.")
        file_id = None if name is None else name.removeprefix("files/")
        if file_id in self._accounts.of(credential).files:
            raise _Refused(409, "Requested entity already exists.")
        mime_type = str(described.get("mimeType", described.get("mime_type", media_type)))
        return Session(credential, file_id, display_name, mime_type, int(length), self._accounts.new_path())

    async def _receive(self, request: RecordedRequest, body: AsyncIterator[bytes], _credential: str, fault: Fault | None) -> Answer:
        session = self.sessions[request.query["upload_id"]]
        command = request.headers.get("x-goog-upload-command", "")
        final = command == "upload, finalize"
        wrong = self._wrong(request, session, command, final=final)
        if wrong is not None:
            await read_through(body)
            return self._error(400, wrong)
        received = session.received
        with session.path.open("r+b" if session.path.exists() else "wb") as file:
            file.seek(received)
            async for piece in body:
                received += len(piece)
                file.write(piece)
        session.received = received
        if not final:
            return answer_of(200, b"", headers=_status("active"))
        session.ended = "final"
        file_id = str(fault.body) if fault is not None and fault.kind == "odd_id" else session.file_id or self._flavour.new_id()
        kept = self._accounts.add(
            self._accounts.of(session.credential),
            file_id,
            session.path,
            filename=session.display_name,
            purpose="",
            media_type=session.media_type,
            expires_after=_TWO_DAYS,
        )
        return self._json({"file": self._flavour.render(kept)}, headers=_status("final"))

    def _wrong(self, request: RecordedRequest, session: Session, command: str, *, final: bool) -> str | None:
        length = request.headers.get("content-length", "")
        if session.ended is not None or command not in {"upload", "upload, finalize"}:
            return f"Invalid upload command: the upload is {session.ended or 'active'}."
        if not length.isdigit():
            return "The length of a part is missing."
        if request.headers.get("x-goog-upload-offset") != str(session.received):
            return f"Invalid offset: {session.received} bytes were received."
        end = session.received + int(length)
        if end > session.size or (final and end != session.size):
            return f"The file was announced with {session.size} bytes."
        if not final and (int(length) % self.granularity or not int(length)):
            return f"Parts but the last are multiples of {self.granularity} bytes."
        return None

    async def _cancel(self, request: RecordedRequest, body: AsyncIterator[bytes], _credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        session = self.sessions[request.query["upload_id"]]
        if session.ended is not None:
            return self._error(400, f"The upload is {session.ended} already.")
        session.ended = "cancelled"
        session.path.unlink(missing_ok=True)
        return answer_of(200, b"", headers=_status("cancelled"))

    async def _query(self, request: RecordedRequest, body: AsyncIterator[bytes], _credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        session = self.sessions[request.query["upload_id"]]
        return answer_of(200, b"", headers={**_status(session.ended or "active"), "x-goog-upload-size-received": str(session.received)})

    async def _list(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        """In no order that means anything."""
        await read_through(body)
        size = request.query.get("pageSize", str(self._flavour.default_limit))
        if not size.isdigit() or not 1 <= int(size) <= self._flavour.max_limit or not request.query.keys() <= {"pageSize", "pageToken"}:
            return self._error(400, "Invalid page size.")
        files = sorted(self._accounts.of(credential).files.values(), key=lambda file: file.id[::-1])
        start = int(urlsafe_b64decode(request.query.get("pageToken", "MA==")))
        page = files[start : start + int(size)]
        value: dict[str, Any] = {"files": [self._flavour.render(file) for file in page]} if page else {}
        if start + len(page) < len(files):
            value["nextPageToken"] = urlsafe_b64encode(str(start + len(page)).encode()).decode()
        return self._json(value)

    async def _get(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        file = self._file(request, credential)
        return self._unknown(request) if file is None else self._json(self._flavour.render(file))

    async def _delete(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        file = self._file(request, credential)
        if file is None:
            return self._unknown(request)
        self._accounts.remove(self._accounts.of(credential), file.id)
        return self._json({})

    async def _content(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        file = self._file(request, credential)
        if file is None:
            return self._unknown(request)
        if request.query.get("alt") != "media":
            return self._json({})
        if file.purpose != GENERATED:
            return self._error(400, f"File {file.id} is not downloadable: it was uploaded, and only generated files can be downloaded.")
        return served(file, request, ranges=True)

    def _file(self, request: RecordedRequest, credential: str) -> KeptFile | None:
        return self._accounts.of(credential).files.get(_id(request))

    def _unknown(self, request: RecordedRequest) -> Answer:
        return self._error(403, f"You do not have permission to access the File {_id(request)} or it may not exist.")

    def _error(self, status: int, message: str) -> Answer:
        return self._json(self._flavour.error(status, message, None, None), status)

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
        return answer_of(status, json.dumps(value).encode(), headers={"date": self._accounts.date(), **(headers or {})})


def _id(request: RecordedRequest) -> str:
    return request.path.split("/files/", 1)[1].removesuffix(":download")


def _status(word: str) -> dict[str, str]:
    return {"x-goog-upload-status": word}
