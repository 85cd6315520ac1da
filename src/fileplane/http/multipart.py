r"""Upload forms (multipart/form-data, RFC 7578), parsed as they stream by; the file's bytes are handed on as they come.

Browsers and SDKs put file names into the Content-Disposition header as raw UTF-8, with ``"``, CR and LF as ``%22``, ``%0D`` and
``%0A`` (WHATWG HTML, "multipart form data"); older clients escape ``"`` and ``\`` with a backslash. Both are understood. The
extended form ``filename*`` is forbidden here by RFC 7578, section 4.2, and ignored.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from fileplane.errors import InvalidValue, MalformedForm, UnsupportedMediaType
from fileplane.files.form import FileBegins, FormField, UploadEvent
from fileplane.settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_LONGEST_BOUNDARY: Final = 70
_CLOSING: Final = b"\r\n----"  # what encloses the boundary at the end of a form; a line break may follow
_END_OF_HEADERS: Final = b"\r\n\r\n"
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]*[0-9A-Za-z'()+_,\-./:=?]")
_PARAMETER: Final = re.compile(rb';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))\s*', re.DOTALL)
_BACKSLASHED: Final = re.compile(rb'\\(["\\])')
_PERCENTED: Final = {b"%22": b'"', b"%0D": b"\r", b"%0A": b"\n"}
_PERCENT: Final = re.compile(b"%22|%0D|%0A", re.IGNORECASE)
_PLAIN_ENCODINGS: Final = {b"", b"binary", b"8bit", b"7bit"}


def boundary_of(content_type: str | None) -> bytes:
    """The boundary of a Content-Type. Raises :class:`~fileplane.errors.UnsupportedMediaType` or InvalidValue."""
    media_type, parameters = _split_parameters((content_type or "").encode("latin-1", "replace"))
    if media_type != b"multipart/form-data":
        raise UnsupportedMediaType(
            "Uploads are multipart/form-data: a file with the fields 'purpose' and 'file', a part with 'data'.", param="content-type"
        )
    boundary = parameters.get(b"boundary", b"")
    if len(boundary) > _LONGEST_BOUNDARY or not _BOUNDARY.fullmatch(boundary.decode("latin-1")):
        raise InvalidValue("The Content-Type header has no usable boundary (RFC 2046 allows 1 to 70 characters).", param="content-type")
    return boundary


async def read_form(
    body: AsyncIterator[bytes], boundary: bytes, settings: Settings, form_bytes: int | None = None, nameless: str | None = None
) -> AsyncIterator[UploadEvent]:
    """The form's fields and the file's bytes in the order in which they were sent; ``form_bytes`` is the body's length, if it is known.

    The file is the part ``file`` with a file name; or, if it is given, the part called ``nameless``, with a file name or without.

    Raises :class:`~fileplane.errors.MalformedForm`, also when the body ends before the form does.
    """
    collector = _Collector(settings, None if form_bytes is None else form_bytes - len(boundary) - len(_CLOSING), nameless)
    parser = MultipartParser(
        boundary, collector.callbacks(), max_header_count=settings.max_part_headers, max_header_size=settings.max_part_header_bytes
    )
    received = 0
    async for chunk in body:
        collector.chunk_at, received = received, received + len(chunk)
        try:
            parser.write(chunk)
        except FormParserError as error:
            raise MalformedForm(
                f"The form is not well-formed multipart/form-data near byte {received - len(chunk)} of the body."
            ) from error
        for event in collector.take():
            yield event
        if received - collector.file_bytes > settings.max_form_overhead_bytes:
            raise MalformedForm(f"The form has more than {settings.max_form_overhead_bytes} bytes besides its file.")
    if not collector.ended:
        raise MalformedForm("The body ended before the form did: its closing boundary is missing. Send the whole form.")


class _Collector:
    """Turns the parser's callbacks into events. Pieces of the file are copied only where a chunk holds something else as well."""

    def __init__(self, settings: Settings, last_boundary_at: int | None, nameless: str | None = None) -> None:
        """``last_boundary_at`` is where in the body the closing boundary begins at the latest."""
        self._settings = settings
        self._nameless = nameless
        self._last_boundary_at = last_boundary_at
        self._headers_end_at = 0
        self.chunk_at = 0
        """Where in the body the chunk begins that is being parsed."""
        self._events: list[UploadEvent] = []
        self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._header_bytes = 0
        self._field_name: str | None = None
        self._field_value = bytearray()
        self.file_bytes = 0
        self.ended = False

    def callbacks(self) -> MultipartCallbacks:
        """For the parser."""
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value_piece,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def take(self) -> list[UploadEvent]:
        """What has happened since the last call."""
        events, self._events = self._events, []
        return events

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > self._settings.max_form_parts:
            raise MalformedForm(f"The form has more than {self._settings.max_form_parts} parts.")
        self._headers = {}
        self._header_bytes = 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self._header_name += data[start:end]

    def _header_value_piece(self, data: bytes, start: int, end: int) -> None:
        self._count_header_bytes(end - start)
        self._headers_end_at = self.chunk_at + end
        self._header_value += data[start:end]

    def _count_header_bytes(self, count: int) -> None:
        self._header_bytes += count
        if self._header_bytes > self._settings.max_part_header_bytes:
            raise MalformedForm(f"A part of the form has more than {self._settings.max_part_header_bytes} bytes of headers.")

    def _header_end(self) -> None:
        name = self._header_name.lower()
        if name in self._headers:
            raise MalformedForm("A part of the form has a header twice.")
        self._headers[name] = self._header_value
        self._header_name, self._header_value = b"", b""

    def _headers_finished(self) -> None:
        disposition, parameters = _split_parameters(self._headers.get(b"content-disposition", b""))
        if disposition != b"form-data" or b"name" not in parameters:
            raise MalformedForm("A part of the form has no Content-Disposition with form-data and a name.")
        if self._headers.get(b"content-transfer-encoding", b"").strip().lower() not in _PLAIN_ENCODINGS:
            raise MalformedForm("A part of the form has a Content-Transfer-Encoding. Send its bytes as they are.")
        name = _decoded(parameters[b"name"], "name")
        if self._is_file(name, parameters):
            self._field_name = None
            media_type = self._headers.get(b"content-type", b"").decode("latin-1")
            filename = "" if self._nameless is not None else _decoded(parameters[b"filename"], "file")
            self._events.append(FileBegins(filename, media_type, self._at_most()))
        else:
            self._field_name = name
            self._field_value.clear()

    def _is_file(self, name: str, parameters: Mapping[bytes, bytes]) -> bool:
        if self._nameless is not None:
            return name == self._nameless
        return name == "file" and b"filename" in parameters

    def _at_most(self) -> int | None:
        if self._last_boundary_at is None:
            return None
        return max(0, self._last_boundary_at - self._headers_end_at - len(_END_OF_HEADERS))

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field_name is None:
            self.file_bytes += end - start
            self._events.append(data if end - start == len(data) else data[start:end])
            return
        if len(self._field_value) + end - start > self._settings.max_field_bytes:
            name = self._field_name[:80]
            raise InvalidValue(f"The field '{name}' has more than {self._settings.max_field_bytes} bytes.", param=name)
        self._field_value += data[start:end]

    def _part_end(self) -> None:
        if self._field_name is not None:
            self._events.append(FormField(self._field_name, _utf8(bytes(self._field_value), self._field_name[:80])))

    def _end(self) -> None:
        self.ended = True


def _split_parameters(header: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """``form-data; name="file"`` as its value and parameters. Of a repeated parameter the first counts; what does not parse is dropped."""
    value, _, _ = header.partition(b";")
    parameters: dict[bytes, bytes] = {}
    for name, quoted, plain in _PARAMETER.findall(header, len(value)):
        parameters.setdefault(name.lower(), _BACKSLASHED.sub(rb"\1", quoted) if quoted else plain)
    return value.strip().lower(), parameters


def _decoded(name: bytes, param: str) -> str:
    return _utf8(_PERCENT.sub(lambda match: _PERCENTED[match[0].upper()], name), param)


def _utf8(value: bytes, param: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"'{param}' is not valid UTF-8.", param=param) from error
