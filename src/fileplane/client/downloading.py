"""Downloads: of what is large in ranges, over several connections, that go on after a kill; of everything else in one stream.

A partial file and the memory of it lie beside the target, which appears when all is there. Its SHA-256 is computed meanwhile by a
thread that follows what has come, and held against the ETag, which is the SHA-256 for files of Fileplane's own store.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fileplane.client.crew import Crew, Meter, Spans
from fileplane.client.errors import ClientError, Damaged, Refused, Unavailable
from fileplane.client.exchange import PIECE, Answer, Exchange
from fileplane.client.journal import Journal, is_ours, name_for, remembered
from fileplane.client.landing import PARTIAL_FLAGS, appearing_whole, publish, require_free, write_all, writing
from fileplane.client.planning import CHUNK, MIB, Span, missing_of, spans_of
from fileplane.client.service import Service, path_of
from fileplane.client.stopping import Stopping
from fileplane.client.values import Downloaded, Report

RANGES_FROM: Final = 64 * MIB
"""Bytes from which on a file is fetched in ranges."""
_RANGES_TO: Final = 1 << 44
"""Bytes up to which it is: of what a server claims to be larger, no list of ranges is made."""
_MOST_DIGITS: Final = 18
_SHA256_ETAG: Final = re.compile(r'"([0-9a-f]{64})"')
_STRONG_ETAG: Final = re.compile(r'"[!#-~]{1,200}"')
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_PARTIAL_CONTENT: Final = 206
_OWN_FIRST_ETAG: Final = '"parts-'
"""What Fileplane's own ETags begin with until the SHA-256 is known."""


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """How to download."""

    connections: int
    ranges_from: int
    resume: bool
    overwrite: bool


@dataclass(frozen=True, slots=True)
class Read:
    """What came: ``size`` bytes, and their SHA-256 in hex. ``verified``: the server announced that same hash."""

    size: int
    sha256: str
    verified: bool


class _Changed(Exception):
    """The file at the server is another by now."""


def read_content(
    service: Service, file_id: str, byte_range: str | None, descriptor: int, report: Report | None, stopping: Stopping
) -> Read:
    """Writes a file's content, or ``byte_range`` of it (``0-99``, ``100-`` or ``-100``), to an open descriptor, in one stream.

    Raises :class:`~fileplane.client.errors.ClientError`, Damaged among it, and OSError when it cannot be written. By then bytes have been
    written: only the caller can take them back.
    """
    headers = {} if byte_range is None else {"Range": f"bytes={byte_range}"}
    with service.exchange(stopping) as exchange:
        answer = service.send(exchange, "GET", path_of(file_id) + "/content", headers=headers)
        if byte_range is not None and answer.status != _PARTIAL_CONTENT:
            raise Unavailable("The server does not do ranges: it sent the whole file. Leave out --range.")
        return _streamed(service, answer, descriptor, Meter(file_id, length_of(answer), report), whole=byte_range is None)


def _streamed(service: Service, answer: Answer, descriptor: int, meter: Meter, *, whole: bool) -> Read:
    digest, size = hashlib.sha256(), 0
    for piece in answer.pieces():
        digest.update(piece)
        write_all(descriptor, piece)
        size += len(piece)
        meter.advance(len(piece))
    length = length_of(answer)
    if length is not None and size != length:
        raise Unavailable(f"The server at {service.base_url} announced {length} bytes and sent {size}.")
    meter.tell(now=True)
    return _verified(size, digest.hexdigest(), _sha256_in(answer.headers.get("etag", "")) if whole else None)


def download(
    service: Service, file_id: str, target: Path, options: DownloadOptions, report: Report | None, stopping: Stopping
) -> Downloaded:
    """Has a file appear at ``target``, whole. Raises :class:`~fileplane.client.errors.ClientError`, by its kind."""
    require_free(target, overwrite=options.overwrite)
    if options.resume:
        marks = name_for(target.name, service.base_url, file_id, sorted(service.own_headers.items()))
        partial = target.with_name(f".fileplane-{marks}.partial")
        if partial.exists():  # else there is nothing to go on with, and most files are small
            with remembered(target.parent, f".fileplane-{marks}") as journal:
                if journal is not None:
                    done = _Ranges(service, file_id, target, partial, journal, options, report, stopping).gone_on()
                    if done is not None:
                        return done
    with service.exchange(stopping) as exchange:
        answer = service.send(exchange, "GET", path_of(file_id) + "/content")
        length, etag = length_of(answer), answer.headers.get("etag", "")
        ranged = answer.headers.get("accept-ranges") == "bytes" and _STRONG_ETAG.fullmatch(etag)
        if length is None or not options.ranges_from <= length <= _RANGES_TO or not ranged:
            with appearing_whole(target, overwrite=options.overwrite) as descriptor:
                read = _streamed(service, answer, descriptor, Meter(target.name, length, report), whole=True)
            return Downloaded(target, read.size, read.sha256, read.verified)
        exchange.close()
    with _kept(service, file_id, target, options) as (partial, journal):
        return _Ranges(service, file_id, target, partial, journal, options, report, stopping).anew(length, etag)


@contextmanager
def _kept(service: Service, file_id: str, target: Path, options: DownloadOptions) -> Iterator[tuple[Path, Journal | None]]:
    """Where the bytes go until they are whole, and the memory of them; without memory, a name that nobody else uses."""
    own = target.with_name(f".fileplane-{name_for(os.urandom(16).hex())}.partial")
    if not options.resume:
        yield own, None
        return
    marks = name_for(target.name, service.base_url, file_id, sorted(service.own_headers.items()))
    with remembered(target.parent, f".fileplane-{marks}") as journal:
        yield (own if journal is None else target.with_name(f".fileplane-{marks}.partial")), journal


class _Ranges:
    """One file on its way in ranges."""

    def __init__(
        self,
        service: Service,
        file_id: str,
        target: Path,
        partial: Path,
        journal: Journal | None,
        options: DownloadOptions,
        report: Report | None,
        stopping: Stopping,
    ) -> None:
        self._service = service
        self._path = path_of(file_id) + "/content"
        self._target = target
        self._partial = partial
        self._journal = journal
        self._options = options
        self._report = report
        self._whole = stopping
        self._stopping = stopping
        self._size = 0
        self._there: set[int] = set()
        self._arrival = threading.Condition()
        self._digest = hashlib.sha256()

    def gone_on(self) -> Downloaded | None:
        """With what was remembered; None where that is nothing, or of a file that has changed since, and all begins anew."""
        kept = None if self._journal is None else self._journal.read()
        if kept is None:
            return None
        heading, lines = kept
        size, etag = heading.get("size"), heading.get("etag")
        if not isinstance(size, int) or not isinstance(etag, str) or heading.get("chunk") != CHUNK or self._size_there() != size:
            return None
        spans = spans_of(size, CHUNK)
        numbers = {number for line in lines if isinstance(number := line.get("number"), int)}
        self._there = {span.number for span in spans if span.number in numbers}
        try:
            return self._fetched(spans, size, etag)
        except _Changed:
            self._there.clear()
            return None

    def anew(self, size: int, etag: str) -> Downloaded:
        """From the beginning."""
        with writing(self._target):
            self._partial.unlink(missing_ok=True)
        try:
            return self._fetched(spans_of(size, CHUNK), size, etag, os.O_EXCL)
        except _Changed as error:
            raise Unavailable("The file at the server changed while it was downloaded. Download it again.", passing=True) from error

    def _size_there(self) -> int:
        try:
            status = os.lstat(self._partial)
            return status.st_size if is_ours(status, self._partial.parent) else -1
        except OSError:
            return -1

    def _fetched(self, spans: list[Span], size: int, etag: str, flags: int = 0) -> Downloaded:
        self._size = size
        with writing(self._target):
            descriptor = os.open(self._partial, PARTIAL_FLAGS | flags, 0o666)
        try:
            with writing(self._target):
                os.ftruncate(descriptor, size)
                self._remember(size, etag)
            missing = missing_of(spans, self._there)
            resumed = sum(span.length for span in spans) - sum(span.length for span in missing)
            meter = Meter(self._target.name, size, self._report, resumed)
            with writing(self._target):
                self._fetch_all(spans, missing, etag, meter, descriptor)
            read = _verified(size, self._digest.hexdigest(), self._expected(etag))
            with writing(self._target):
                publish(self._partial, self._target, overwrite=self._options.overwrite)
        except BaseException as error:
            if self._journal is None or isinstance(error, (Damaged, _Changed)) or _is_final(error):
                self._partial.unlink(missing_ok=True)
                self._forget()
            raise
        finally:
            os.close(descriptor)
        self._partial.unlink(missing_ok=True)
        self._forget()
        meter.tell(now=True)
        return Downloaded(self._target, read.size, read.sha256, read.verified)

    def _fetch_all(self, spans: list[Span], missing: list[Span], etag: str, meter: Meter, descriptor: int) -> None:
        self._stopping = self._whole.for_attempt()
        crew, left = Crew(self._stopping), Spans(missing)

        def work() -> None:
            buffer = memoryview(bytearray(PIECE))
            with self._service.exchange(self._stopping) as exchange:
                for span in left:
                    self._fetch(exchange, span, etag, meter, descriptor, buffer)

        fetching = [("download", work)] * min(self._options.connections, len(missing))
        crew.work_off([("hash", lambda: self._follow(spans, descriptor)), *fetching], meter)

    def _fetch(self, exchange: Exchange, span: Span, etag: str, meter: Meter, descriptor: int, buffer: memoryview) -> None:
        at = span.start

        def attempt() -> None:
            nonlocal at
            started = at
            try:
                for count in self._pieces(exchange, Span(span.number, at, span.end), etag, buffer):
                    write_all(descriptor, buffer[:count], at)
                    at += count
                    meter.add(count)
            except ClientError as error:
                # What made some way may break off as often as it likes.
                if not error.passing or at == started:
                    raise

        while at < span.end:
            self._service.patiently(self._stopping, attempt)
        if self._journal is not None:
            self._journal.add({"number": span.number})
        with self._arrival:
            self._there.add(span.number)
            self._arrival.notify_all()

    def _pieces(self, exchange: Exchange, span: Span, etag: str, buffer: memoryview) -> Iterator[int]:
        """How many bytes are in the buffer, each time. Raises ``_Changed`` when they would not be of the file that ``etag`` is of."""
        answer = self._service.send(exchange, "GET", self._path, headers={"Range": f"bytes={span.start}-{span.end - 1}", "If-Range": etag})
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        wanted = (span.start, span.end - 1, self._size)
        # Not every server and cache knows If-Range, so that what it answers with is compared as well (RFC 9110, section 15.3.7.3).
        same = answer.headers.get("etag", etag) == etag or etag.startswith(_OWN_FIRST_ETAG)
        if answer.status != _PARTIAL_CONTENT or match is None or tuple(map(int, match.groups())) != wanted or not same:
            exchange.close()
            raise _Changed
        left = span.length
        while left and (count := answer.read_into(buffer[:left])):
            left -= count
            yield count
        # What ends an answer in chunks is to be read too, or the next one is not where it is looked for.
        if left or answer.read_into(buffer):
            exchange.close()
        if left:
            raise Unavailable(f"The server at {self._service.base_url} sent less than it announced.", passing=True)

    def _follow(self, spans: list[Span], descriptor: int) -> None:
        """Hashes what has come, in order, as soon as it is there."""
        buffer = memoryview(bytearray(PIECE))
        for span in spans:
            with self._arrival:
                while span.number not in self._there:
                    self._arrival.wait(1.0)
                    self._stopping.check()
            at = span.start
            while at < span.end:
                self._stopping.check()
                count = os.preadv(descriptor, [buffer[: min(PIECE, span.end - at)]], at)
                if not count:
                    raise Damaged("The partial file was shortened by somebody else. Download it again.")
                self._digest.update(buffer[:count])
                at += count

    def _remember(self, size: int, etag: str) -> None:
        if self._journal is not None:
            heading: dict[str, Any] = {"size": size, "etag": etag, "chunk": CHUNK, "base_url": self._service.base_url}
            self._journal.begin(heading, [{"number": number} for number in sorted(self._there)])

    def _expected(self, etag: str) -> str | None:
        """The SHA-256 that the server knows the file by, asked for again where it had still to read it through."""
        if not etag.startswith(_OWN_FIRST_ETAG):
            return _sha256_in(etag)
        try:
            with self._service.exchange(self._stopping) as exchange:
                answer = self._service.send(exchange, "HEAD", self._path)
                return _sha256_in(answer.headers.get("etag", ""))
        except ClientError:
            return None

    def _forget(self) -> None:
        if self._journal is not None:
            self._journal.forget()


def _verified(size: int, sha256: str, expected: str | None) -> Read:
    if expected is not None and expected != sha256:
        raise Damaged("The bytes are not those that the server announced: their SHA-256 differs from the ETag.")
    return Read(size, sha256, expected is not None)


def _is_final(error: BaseException) -> bool:
    return isinstance(error, Refused) and not error.passing


def _sha256_in(etag: str) -> str | None:
    match = _SHA256_ETAG.fullmatch(etag)
    return None if match is None else match[1]


def length_of(answer: Answer) -> int | None:
    """The length that an answer announces, in bytes. Raises :class:`~fileplane.client.errors.Unavailable` for one that nothing has."""
    text = answer.headers.get("content-length", "")
    if len(text) > _MOST_DIGITS:
        raise Unavailable("The server announced a length that no file has.")
    return int(text) if text.isascii() and text.isdigit() else None
