"""Cloud Storage's JSON API, as far as files need it, and as strict as Google's documents say that it is.

Sources: https://cloud.google.com/storage/docs/performing-resumable-uploads and https://cloud.google.com/storage/docs/json_api/v1/objects.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fileplane.testing.fake_provider.accounts import Accounts, KeptFile
from fileplane.testing.fake_provider.faults import Fault
from fileplane.testing.fake_provider.files import bytes_of, read_through, span_of
from fileplane.testing.fake_provider.flavours import Flavour
from fileplane.testing.fake_provider.wire import Answer, BadRequest, Handler, RecordedRequest, Severed, answer_of

BUCKET: Final = "fake-bucket"
"""The one that there is."""
GRANULE: Final = 256 << 10
"""What all chunks but the last are multiples of."""
_MOST_IN_ONE_REQUEST: Final = 16 << 20
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_BOUNDARY: Final = re.compile(r"multipart/related; boundary=\"?([0-9A-Za-z'()+_,./:=?-]{1,70})\"?")
_MOST_LISTED: Final = 1_000


@dataclass(slots=True)
class Session:
    """A resumable upload. ``made`` is the object that it has become."""

    credential: str
    description: dict[str, Any]
    path: Path
    received: int = 0
    made: KeptFile | None = None


@dataclass(slots=True)
class _Refused(Exception):
    status: int
    reason: str
    message: str


class GcsApi:
    """See :class:`~fileplane.testing.fake_provider.own_apis.OwnApi`. ``sessions`` has the uploads that are open or were finished."""

    def __init__(self, flavour: Flavour, accounts: Accounts) -> None:
        self._flavour = flavour
        self._accounts = accounts
        self._described: dict[int, dict[str, Any]] = {}
        self.sessions: dict[str, Session] = {}
        self.persists: list[int] = []
        """How many bytes of the next chunks are kept, one after another, whatever is sent; afterwards all."""
        self.location: str | None = None
        """What is said of where a session goes on, in place of the truth."""

    @property
    def open_sessions(self) -> int:
        """How many uploads were begun and neither finished nor cancelled."""
        return sum(session.made is None for session in self.sessions.values())

    def credential(self, request: RecordedRequest) -> str | None:
        """A session's URI lets whoever has it in."""
        session = self.sessions.get(request.query.get("upload_id", ""))
        return None if session is None else session.credential

    def route(self, request: RecordedRequest, segments: list[str]) -> tuple[str, Handler | None]:
        """See the protocol. The name of an object is one segment: a slash in it is encoded."""
        raw = [part for part in request.target.partition("?")[0].split("/") if part]
        if segments[:1] == ["download"] and request.query.get("alt") == "media":
            segments, raw = segments[1:], raw[1:]  # where Google's own library reads
        if segments[:3] == ["storage", "v1", "b"] and segments[4:5] == ["o"] and len(raw) == min(len(segments), 6):
            return self._route_objects(request, len(raw) == 6)
        if segments[:4] != ["upload", "storage", "v1", "b"] or segments[5:] != ["o"]:
            return "", None
        if "upload_id" in request.query:
            asks = request.headers.get("content-range", "").startswith("bytes */")
            return {"PUT": ("upload.status" if asks else "upload.chunk", self._put), "DELETE": ("upload.cancel", self._cancel)}.get(
                request.method, ("", None)
            )
        kinds = {"multipart": ("upload", self._multipart), "resumable": ("upload.start", self._start)}
        return kinds.get(request.query.get("uploadType", ""), ("", None)) if request.method == "POST" else ("", None)

    def _route_objects(self, request: RecordedRequest, named: bool) -> tuple[str, Handler | None]:
        if not named:
            return ("list", self._list) if request.method == "GET" else ("", None)
        if request.method == "DELETE":
            return "delete", self._delete
        if request.method != "GET":
            return "", None
        return ("content", self._content) if request.query.get("alt") == "media" else ("get", self._get)

    async def _multipart(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, fault: Fault | None) -> Answer:
        received = b"".join([piece async for piece in body])
        try:
            description, content = _parts(request.headers.get("content-type", ""), received)
            self._require_free(request, credential, description)
        except _Refused as refused:
            return self._refused(refused)
        path = self._accounts.new_path()
        path.write_bytes(content)
        return self._made(self._kept(credential, description, path), fault)

    async def _start(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        received = b"".join([piece async for piece in body])
        try:
            if not request.headers.get("content-type", "").startswith("application/json"):
                raise _Refused(400, "parseError", "Parse Error")  # noqa: TRY301 - answered below, as all refusals are
            description = _description(received)
            self._require_free(request, credential, description)
        except _Refused as refused:
            return self._refused(refused)
        upload_id = secrets.token_urlsafe(48)
        session = self.sessions[upload_id] = Session(credential, description, self._accounts.new_path())
        session.path.touch()
        host = request.headers["host"]
        location = self.location or f"http://{host}{request.target.partition('?')[0]}?uploadType=resumable&upload_id={upload_id}"
        return answer_of(200, b"", headers={"location": location})

    async def _put(self, request: RecordedRequest, body: AsyncIterator[bytes], _credential: str, fault: Fault | None) -> Answer:
        session = self.sessions[request.query["upload_id"]]
        match = _CONTENT_RANGE.fullmatch(request.headers.get("content-range", ""))
        if session.made is not None:
            await read_through(body)
            return self._made(session.made, None)
        try:
            if match is None:
                raise _Refused(400, "badRequest", "Failed to parse Content-Range header.")  # noqa: TRY301 - as above
            if match[1] is not None:
                await self._take(session, match, body)
            else:
                await read_through(body)
        except _Refused as refused:
            await read_through(body)
            return self._refused(refused)
        if match[3] == "*" or int(match[3]) > session.received:
            return answer_of(308, b"", headers={} if not session.received else {"range": f"bytes=0-{session.received - 1}"})
        session.made = self._kept(session.credential, session.description, session.path)
        return self._made(session.made, fault)

    async def _take(self, session: Session, match: re.Match[str], body: AsyncIterator[bytes]) -> None:
        """A chunk. What has come of one that breaks off is kept, in whole granules, and known only to who asks."""
        first, last, total = int(match[1]), int(match[2]), match[3]
        if first != session.received:
            raise _Refused(400, "invalid", f"The upload has {session.received} bytes, and the chunk begins at {first}.")
        if total == "*" and (last + 1 - first) % GRANULE:
            raise _Refused(400, "badRequest", "The chunk's size is no multiple of 256 KiB, and it is not the last.")
        if total != "*" and last + 1 != int(total):
            raise _Refused(400, "badRequest", "The chunk is not the last, and says how long the whole is.")
        size = 0
        try:
            with session.path.open("r+b") as file:
                file.seek(first)
                async for piece in body:
                    file.write(piece)
                    size += len(piece)
        except (BadRequest, Severed):
            self._keep(session, size - size % GRANULE)
            raise
        if size != last + 1 - first:
            raise _Refused(400, "badRequest", "The chunk has not the length that it says.")
        self._keep(session, min(size, self.persists.pop(0)) if self.persists else size)

    def _keep(self, session: Session, size: int) -> None:
        session.received += size
        with session.path.open("r+b") as file:
            file.truncate(session.received)

    async def _cancel(self, request: RecordedRequest, body: AsyncIterator[bytes], _credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        if request.headers.get("content-length") != "0":
            return self._refused(_Refused(411, "required", "A cancellation has Content-Length: 0."))
        session = self.sessions.pop(request.query["upload_id"])
        if session.made is not None:
            return self._refused(_Refused(404, "notFound", "The upload is finished."))
        session.path.unlink(missing_ok=True)
        return answer_of(499, b"")

    async def _list(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        if (refused := self._no_bucket(request)) is not None:
            return self._refused(refused)
        query, files = request.query, self._accounts.of(credential).files
        after = base64.urlsafe_b64decode(query["pageToken"]).decode() if "pageToken" in query else ""
        names = sorted(name for name in files if name.startswith(query.get("prefix", "")) and name > after)
        page = names[: min(int(query.get("maxResults", _MOST_LISTED)), _MOST_LISTED)]
        value: dict[str, Any] = {"kind": "storage#objects"}
        if page:
            value["items"] = [self._resource(files[name]) for name in page]
        if len(page) < len(names):
            value["nextPageToken"] = base64.urlsafe_b64encode(page[-1].encode()).decode()
        return answer_of(200, json.dumps(value).encode())

    async def _get(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        file = self._file(request, credential)
        return self._refused(file) if isinstance(file, _Refused) else answer_of(200, json.dumps(self._resource(file)).encode())

    async def _content(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        file = self._file(request, credential)
        if isinstance(file, _Refused):
            return self._refused(file)
        match = _RANGE.fullmatch(request.headers.get("range", ""))
        headers = {"content-type": file.media_type, "x-goog-storage-class": "STANDARD"}
        if match is None:
            return Answer(200, headers, bytes_of(file.path, 0, file.size), file.size)
        first, last = span_of(match, file.size)
        if first > last:
            return answer_of(416, b"The requested range cannot be satisfied.", "text/plain", {"content-range": f"bytes */{file.size}"})
        headers["content-range"] = f"bytes {first}-{last}/{file.size}"
        return Answer(206, headers, bytes_of(file.path, first, last - first + 1), last - first + 1)

    async def _delete(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        await read_through(body)
        file = self._file(request, credential)
        if isinstance(file, _Refused):
            return self._refused(file)
        self._accounts.remove(self._accounts.of(credential), file.id)
        return Answer(204, {}, bytes_of(file.path, 0, 0), 0)

    def put(self, credential: str, name: str, content: bytes, **described: Any) -> KeptFile:
        """An object that somebody else has made. ``described`` are members of its resource."""
        path = self._accounts.new_path()
        path.write_bytes(content)
        return self._kept(credential, {"name": name, **described}, path)

    def _kept(self, credential: str, description: dict[str, Any], path: Path) -> KeptFile:
        metadata = description.get("metadata", {})
        file = self._accounts.add(
            self._accounts.of(credential),
            description["name"],
            path,
            filename=metadata.get("filename", ""),
            purpose=metadata.get("purpose", ""),
            media_type=description.get("contentType", "application/octet-stream"),
        )
        self._described[file.number] = description
        return file

    def _resource(self, file: KeptFile) -> dict[str, Any]:
        created = datetime.fromtimestamp(file.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{file.number % 1_000:03d}Z"
        value = {
            "kind": "storage#object",
            "id": f"{BUCKET}/{file.id}/{file.number}",
            "name": file.id,
            "bucket": BUCKET,
            "generation": str(file.number),
            "metageneration": "1",
            "contentType": file.media_type,
            "storageClass": "STANDARD",
            "size": str(file.size),
            "md5Hash": base64.b64encode(hashlib.md5(file.path.read_bytes(), usedforsecurity=False).digest()).decode(),
            "timeCreated": created,
            "updated": created,
        }
        metadata = self._described[file.number].get("metadata")
        return value if metadata is None else {**value, "metadata": metadata}

    def _made(self, file: KeptFile, fault: Fault | None) -> Answer:
        value = self._resource(file)
        if fault is not None and fault.kind == "odd_id":
            value["name"] = fault.body
        return answer_of(200, json.dumps(value).encode())

    def _require_free(self, request: RecordedRequest, credential: str, description: dict[str, Any]) -> None:
        if (refused := self._no_bucket(request)) is not None:
            raise refused
        if request.query.get("ifGenerationMatch") == "0" and description["name"] in self._accounts.of(credential).files:
            raise _Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")

    def _no_bucket(self, request: RecordedRequest) -> _Refused | None:
        bucket = request.path.partition("/b/")[2].partition("/")[0]
        return None if bucket == BUCKET else _Refused(404, "notFound", "The specified bucket does not exist.")

    def _file(self, request: RecordedRequest, credential: str) -> KeptFile | _Refused:
        refused = self._no_bucket(request)
        name = request.path.partition("/o/")[2]
        file = self._accounts.of(credential).files.get(name)
        return refused or file or _Refused(404, "notFound", f"No such object: {BUCKET}/{name}")

    def _refused(self, refused: _Refused) -> Answer:
        return answer_of(refused.status, json.dumps(self._flavour.error(refused.status, refused.message, refused.reason, None)).encode())


def _description(content: bytes) -> dict[str, Any]:
    """An object's metadata as it is sent. Raises :class:`_Refused`."""
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str) or not 0 < len(name.encode()) <= 1_024 or "\r" in name or "\n" in name:
        raise _Refused(400, "invalid", "Invalid object name.")
    kept = value.get("metadata", {})
    if not isinstance(kept, dict) or not all(isinstance(one, str) for one in kept.values()) or len(json.dumps(kept)) > 8 << 10:
        raise _Refused(400, "invalid", "Invalid metadata.")
    assert isinstance(value, dict)
    return value


def _parts(content_type: str, received: bytes) -> tuple[dict[str, Any], bytes]:
    """The two parts of a multipart/related body. Raises :class:`_Refused`."""
    match = _BOUNDARY.fullmatch(content_type)
    if match is None or len(received) > _MOST_IN_ONE_REQUEST:
        raise _Refused(400, "badContent", "Bad content type, or too much of it.")
    line = b"--" + match[1].encode()
    first, _, rest = received.removeprefix(line + b"\r\n").partition(b"\r\n" + line + b"\r\n")
    second, closing, _ = rest.rpartition(b"\r\n" + line + b"--")
    if not received.startswith(line) or not rest or not closing:
        raise _Refused(400, "badRequest", "Malformed multipart body.")
    (head, _, described), (of_bytes, _, content) = first.partition(b"\r\n\r\n"), second.partition(b"\r\n\r\n")
    if not head.lower().startswith(b"content-type: application/json") or not of_bytes.lower().startswith(b"content-type: "):
        raise _Refused(400, "badContent", "The first part is no JSON, or the second one has no type.")
    description = _description(described)
    if description.setdefault("contentType", of_bytes.partition(b": ")[2].decode()) != of_bytes.partition(b": ")[2].decode():
        raise _Refused(400, "invalid", "The type of the upload does not match that of the metadata.")
    return description, content
