"""Uploads: of what is small, or only its end tells how large it is, in one request; of large files in parts that go on after a kill.

Arrival is verified at the least cost. The server answers each part with the SHA-256 of what it has stored, which is held against the one
that was computed of the same buffer while it was sent: no byte is read twice, all connections hash at once, damage is found where it is
and only that part is sent again, and the completion, which lists the parts in their order, has nothing to wait for, however large the file.
A server that does not tell it (OpenAI's own) is given the MD5 of the whole with the completion, read once more from the file for that.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fileplane.client.arrived import file_of, known_sha256
from fileplane.client.crew import Crew, Meter, Spans
from fileplane.client.errors import ClientError, Damaged, NotAuthorised, NotFound, Refused, SourceChanged, SourceFailed
from fileplane.client.exchange import Exchange
from fileplane.client.forms import form, require_unicode
from fileplane.client.journal import Journal, name_for, remembered
from fileplane.client.planning import MIB, MOST_PARTS, Span, missing_of, part_bytes_for, spans_of
from fileplane.client.service import Service, json_body, path_of
from fileplane.client.sources import CHANGED, Given, Region, Source, opened
from fileplane.client.stopping import Stopping
from fileplane.client.values import File, Report, Wish

PARTS_FROM: Final = 64 * MIB
"""Bytes from which on a file is sent in parts."""
_WITHOUT_UPLOADS: Final = {404, 405, 501}
_COMPLETION_SECONDS: Final = 300.0
_SLOWEST_READING: Final = 20 * MIB  # bytes a second at which a server that verifies an MD5 reads what it has
_PARTING_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class UploadOptions:
    """How to upload. ``part_bytes`` None leaves it to the size of the file."""

    connections: int
    part_bytes: int | None
    parts_from: int
    state_directory: Path
    resume: bool


@dataclass(frozen=True, slots=True)
class _Sent:
    """A part that the server has. ``verified``: it said that it has these bytes."""

    part_id: str
    sha256: str
    verified: bool


def upload(service: Service, given: Given, wish: Wish, options: UploadOptions, report: Report | None, stopping: Stopping) -> File:
    """Sends a file and returns what it became. Raises :class:`~fileplane.client.errors.ClientError`, by its kind."""
    with opened(given) as source:
        if isinstance(source, Region) and source.size >= options.parts_from:
            file = _InParts(service, source, wish, options, report, stopping).upload()
            if file is not None:
                return file
        return _at_once(service, source, wish, report, stopping)


def _at_once(service: Service, source: Source, wish: Wish, report: Report | None, stopping: Stopping) -> File:
    """One request, never repeated: whether it was carried out is not known when its answer is lost."""
    digest, meter = hashlib.sha256(), Meter(wish.filename, source.size, report)

    def pieces() -> Iterator[memoryview]:
        for piece in source.pieces():
            digest.update(piece)
            yield piece
            meter.advance(len(piece))

    fields = {"purpose": wish.purpose}
    if wish.expires_after is not None:
        fields |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(wish.expires_after)}
    with service.exchange(stopping) as exchange:
        body = form(fields, "file", wish.filename, wish.media_type, source.size, pieces())
        document = service.document(exchange, "POST", "/files", body=body, answer_seconds=_COMPLETION_SECONDS)
        file = file_of(service, document, None)
        sha256 = known_sha256(service, exchange, file.id)
        if sha256 is not None and sha256 != digest.hexdigest():
            with suppress(ClientError):
                service.send(exchange, "DELETE", path_of(file.id))
            raise Damaged("The bytes that arrived are not those that were sent: their SHA-256 differs. The file was deleted again.")
    meter.tell(now=True)
    return file_of(service, document, sha256)


class _InParts:
    """One file on its way in parts."""

    def __init__(
        self, service: Service, source: Region, wish: Wish, options: UploadOptions, report: Report | None, stopping: Stopping
    ) -> None:
        self._service = service
        self._source = source
        self._wish = wish
        self._options = options
        self._report = report
        self._whole = stopping
        self._stopping = stopping
        self._lock = threading.Lock()
        self._sent: dict[int, _Sent] = {}
        self._upload_id = ""
        self._part_bytes = part_bytes_for(source.size, options.connections, options.part_bytes)
        self._journal: Journal | None = None

    def upload(self) -> File | None:
        """None where the server knows no uploads in parts."""
        identity = self._source.identity
        if identity is None or not self._options.resume:
            return self._upload()
        wish = self._wish
        marks = (identity.path, self._service.base_url, wish.purpose, wish.filename, wish.expires_after, wish.media_type)
        name = name_for(*marks, sorted(self._service.own_headers.items()))
        directory = self._options.state_directory / "uploads"
        with suppress(OSError):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with remembered(directory, name) as self._journal:
            return self._upload()

    def _upload(self) -> File | None:
        file = self._resumed()
        if file is not None:
            return file
        resumed = bool(self._upload_id)
        try:
            if not resumed and not self._begun():
                return None
            return self._carried_out()
        except Refused as error:
            if not resumed or not _is_gone(error):
                raise
            self._stopping = self._whole
            self._upload_id, self._sent = "", {}
            return self._carried_out() if self._begun() else None

    def _carried_out(self) -> File:
        spans = spans_of(self._source.size, self._part_bytes)
        missing = missing_of(spans, self._sent)
        there = sum(span.length for span in spans if span.number in self._sent)
        meter = Meter(self._wish.filename, self._source.size, self._report, there)
        try:
            self._send_all(missing, meter)
            self._require_unchanged(spans)
            file = self._completed(spans)
        except BaseException as error:
            if self._journal is None or isinstance(error, SourceFailed) or _is_final(error) or _is_gone(error):
                self._forget()
                self._cancel()
            raise
        self._forget()
        meter.tell(now=True)
        return file

    def _require_unchanged(self, spans: list[Span]) -> None:
        self._source.require_unchanged()
        if self._source.was_touched and not all(self._is_still(span, self._sent[span.number]) for span in spans):
            raise SourceChanged(CHANGED)

    def _is_still(self, span: Span, sent: _Sent) -> bool:
        """Whether the file has the bytes there that were sent."""
        digest = hashlib.sha256()
        for piece in self._source.pieces_of(span):
            self._stopping.check()
            digest.update(piece)
        return digest.hexdigest() == sent.sha256

    def _send_all(self, missing: list[Span], meter: Meter) -> None:
        self._stopping = self._whole.for_attempt()
        crew, left = Crew(self._stopping), Spans(missing)

        def work() -> None:
            with self._service.exchange(self._stopping) as exchange:
                for span in left:
                    self._send(exchange, span, meter)

        crew.work_off([("upload", work)] * min(self._options.connections, len(missing)), meter)

    def _send(self, exchange: Exchange, span: Span, meter: Meter) -> None:
        sent = self._service.patiently(self._stopping, lambda: self._sent_once(exchange, span, meter))
        with self._lock:
            self._sent[span.number] = sent
        if self._journal is not None:
            with suppress(OSError):  # what is not remembered is only sent again
                self._journal.add({"number": span.number, "start": span.start, "end": span.end, **_line_of(sent)})

    def _sent_once(self, exchange: Exchange, span: Span, meter: Meter) -> _Sent:
        digest, count = hashlib.sha256(), 0

        def pieces() -> Iterator[memoryview]:
            nonlocal count
            for piece in self._source.pieces_of(span):
                digest.update(piece)
                yield piece
                count += len(piece)
                meter.add(len(piece))

        try:
            body = form({}, "data", "upload", None, span.length, pieces())
            document = self._service.document(exchange, "POST", f"{self._path}/parts", body=body, answer_seconds=_COMPLETION_SECONDS)
            return self._arrived(document, span, digest.hexdigest() if count == span.length else "")
        except BaseException:
            meter.add(-count)
            exchange.close()
            raise

    def _arrived(self, document: dict[str, Any], span: Span, sent: str) -> _Sent:
        part_id, sha256, size = document.get("id"), document.get("sha256"), document.get("bytes", span.length)
        if not isinstance(part_id, str):
            raise self._service.unintelligible()
        if not sent or size != span.length or sha256 not in (None, sent):
            raise Damaged("A part did not arrive as it was sent: the server has another SHA-256 of it.", passing=True)
        return _Sent(part_id, sent, sha256 is not None)

    def _completed(self, spans: list[Span]) -> File:
        wanted: dict[str, Any] = {"part_ids": [self._sent[span.number].part_id for span in spans]}
        seconds = _COMPLETION_SECONDS
        if not all(sent.verified for sent in self._sent.values()):
            wanted["md5"] = self._md5()
            seconds += self._source.size / _SLOWEST_READING
        with self._service.exchange(self._stopping) as exchange:
            document = self._service.patiently(
                self._stopping,
                lambda: self._service.document(exchange, "POST", f"{self._path}/complete", body=json_body(wanted), answer_seconds=seconds),
            )
        return self._file_in(document)

    def _md5(self) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        for piece in self._source.pieces():
            self._stopping.check()
            digest.update(piece)
        return digest.hexdigest()

    def _begun(self) -> bool:
        """Whether the server has taken the announcement; False where it knows no uploads in parts."""
        wish = self._wish
        require_unicode(wish.filename)
        wanted: dict[str, Any] = {"filename": wish.filename, "purpose": wish.purpose, "bytes": self._source.size}
        wanted["mime_type"] = wish.media_type or "application/octet-stream"
        if wish.expires_after is not None:
            wanted["expires_after"] = {"anchor": "created_at", "seconds": wish.expires_after}
        try:
            body = json_body(wanted)
            with self._service.exchange(self._stopping) as exchange:
                document = self._service.document(exchange, "POST", "/uploads", body=body)
        except ClientError as error:
            if error.status in _WITHOUT_UPLOADS:
                return False
            raise
        if not isinstance(document.get("id"), str):
            raise self._service.unintelligible()
        self._upload_id = document["id"]
        self._remember()
        return True

    def _remember(self) -> None:
        identity = self._source.identity
        if self._journal is None or identity is None:
            return
        heading = {
            "upload_id": self._upload_id,
            "base_url": self._service.base_url,
            "path": identity.path,
            "size": identity.size,
            "mtime_ns": identity.mtime_ns,
            "touched": identity.touched,
            "part_bytes": self._part_bytes,
        }
        spans = spans_of(self._source.size, self._part_bytes)
        lines = (
            {"number": number, "start": spans[number].start, "end": spans[number].end, **_line_of(sent)}
            for number, sent in sorted(self._sent.items())
        )
        try:
            self._journal.begin(heading, lines)
        except OSError:
            self._journal = None  # without it, this process can still bring the file

    def _resumed(self) -> File | None:
        """Takes up what was remembered, as far as the server has it. The file, if it was completed already."""
        kept, identity = self._kept(), self._source.identity
        if kept is None or identity is None:
            return None
        heading, lines = kept
        upload_id, part_bytes = heading["upload_id"], heading["part_bytes"]
        if (heading.get("size"), heading.get("mtime_ns")) != (identity.size, identity.mtime_ns):
            self._upload_id = upload_id
            self._cancel()
            self._upload_id = ""
            return None
        self._upload_id, self._part_bytes = upload_id, part_bytes
        document = self._asked()
        if document is None:
            self._upload_id = ""
            self._part_bytes = part_bytes_for(self._source.size, self._options.connections, self._options.part_bytes)
            return None
        sure = heading.get("touched") == list(identity.touched)
        self._take_up(document, lines, sure=sure)
        if document.get("status") != "completed":
            self._remember()
        elif sure or len(self._sent) == len(spans_of(identity.size, part_bytes)):
            self._forget()
            return self._file_in(document)
        else:
            self._upload_id, self._sent = "", {}
        return None

    def _kept(self) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """What is remembered, if it is of an upload that this file can have."""
        kept = None if self._journal is None else self._journal.read()
        if kept is None:
            return None
        part_bytes = kept[0].get("part_bytes")
        if not isinstance(kept[0].get("upload_id"), str) or not isinstance(part_bytes, int) or part_bytes < 1:
            return None
        return kept if -(-self._source.size // part_bytes) <= MOST_PARTS else None

    def _take_up(self, document: dict[str, Any], lines: list[dict[str, Any]], *, sure: bool) -> None:
        """Without being ``sure`` that the file is the one it was, each part is read again and compared."""
        there = {part["id"]: part for part in document["parts"] if isinstance(part, dict) and isinstance(part.get("id"), str)}
        spans = spans_of(self._source.size, self._part_bytes)
        for line in lines:
            number, part = line.get("number"), there.get(str(line.get("part_id")))
            if part is None or not isinstance(number, int) or not 0 <= number < len(spans):
                continue
            sent = _Sent(str(line["part_id"]), str(line.get("sha256")), line.get("verified") is True)
            same = part.get("bytes", spans[number].length) == spans[number].length and part.get("sha256") in (None, sent.sha256)
            if same and (sure or self._is_still(spans[number], sent)):
                self._sent[number] = sent

    def _asked(self) -> dict[str, Any] | None:
        """The upload with its parts, or None where there is none any more that could go on."""
        try:
            with self._service.exchange(self._stopping) as exchange:
                document = self._service.patiently(self._stopping, lambda: self._service.document(exchange, "GET", self._path))
        except NotAuthorised:
            raise
        except Refused:
            return None
        except ClientError as error:
            if error.status in _WITHOUT_UPLOADS:
                return None
            raise
        if document.get("bytes") != self._source.size or not isinstance(document.get("parts"), list):
            return None
        is_there = document.get("status") == "pending" or (document.get("status") == "completed" and document.get("file"))
        return document if is_there else None

    def _file_in(self, document: dict[str, Any]) -> File:
        file = document.get("file")
        if not isinstance(file, dict):
            raise self._service.unintelligible()
        return file_of(self._service, file, None)

    def _cancel(self) -> None:
        """Has the server keep nothing of it; where it does not answer, the upload expires."""
        if not self._upload_id:
            return
        with suppress(ClientError), self._service.exchange(Stopping()) as exchange:
            self._service.send(exchange, "POST", f"{self._path}/cancel", answer_seconds=_PARTING_SECONDS)

    def _forget(self) -> None:
        if self._journal is not None:
            self._journal.forget()

    @property
    def _path(self) -> str:
        return "/uploads/" + path_of(self._upload_id).rpartition("/")[2]


def _line_of(sent: _Sent) -> dict[str, Any]:
    return {"part_id": sent.part_id, "sha256": sent.sha256, "verified": sent.verified}


def _is_gone(error: BaseException) -> bool:
    """Whether the upload has expired at the server meanwhile, or been cancelled."""
    return isinstance(error, NotFound) or (isinstance(error, Refused) and error.code == "upload_not_pending")


def _is_final(error: BaseException) -> bool:
    """Whether going on later can lead to nothing else."""
    return isinstance(error, Refused) and not error.passing and not isinstance(error, (NotAuthorised, NotFound))
