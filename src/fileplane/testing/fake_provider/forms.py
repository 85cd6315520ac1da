"""An upload's form as the fake provider takes it: strictly, as it streams, the file straight to disk."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_BOUNDARY: Final = re.compile(r"multipart/form-data; boundary=([0-9A-Za-z'()+_,./:=?-]{1,70})")
_DISPOSITION: Final = re.compile(rb'form-data; name="([^"]+)"(?:; filename="([^"]*)")?')
_MOST_FIELD_BYTES: Final = 10_000


class BadForm(Exception):
    """A form that is none."""


@dataclass(slots=True)
class Form:
    """What a form said. ``order`` has the names of all its parts as they came."""

    fields: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    filename: str | None = None
    media_type: str = ""
    size: int = 0


async def read_form(content_type: str, body: AsyncIterator[bytes], path: Path) -> Form:
    """Reads a form to its end, its file to ``path``. Raises :class:`BadForm` for whatever is not exactly as RFC 7578 has it."""
    match = _BOUNDARY.fullmatch(content_type)
    if match is None:
        raise BadForm
    with path.open("wb") as file:
        reader = _Reader(file)
        parser = MultipartParser(match[1].encode(), reader.callbacks())
        try:
            async for piece in body:
                parser.write(piece)
            parser.finalize()
        except FormParserError as error:
            raise BadForm from error
    if not reader.ended:
        raise BadForm
    return reader.form


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self.form = Form()
        self.ended = False
        self._file = file
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._field: str | None = None
        self._text = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _begin(self) -> None:
        match = _DISPOSITION.fullmatch(self._headers.get(b"content-disposition", b""))
        if match is None:
            raise BadForm
        name = match[1].decode()
        if name in self.form.order:
            raise BadForm
        self.form.order.append(name)
        self._field = None if match[2] is not None else name
        if match[2] is not None:
            if self.form.filename is not None:
                raise BadForm
            self.form.filename = match[2].decode().replace("%22", '"')
            self.form.media_type = self._headers.get(b"content-type", b"").decode()
        self._headers = {}

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._field is None:
            self.form.size += end - start
            self._file.write(data[start:end])
        else:
            self._text += data[start:end]
            if len(self._text) > _MOST_FIELD_BYTES:
                raise BadForm

    def _end_part(self) -> None:
        if self._field is not None:
            self.form.fields[self._field] = self._text.decode()
            self._text.clear()

    def _end(self) -> None:
        self.ended = True
