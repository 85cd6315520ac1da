"""multipart/form-data as a stream: the fields, then the one file, of a length that is known exactly when the file's is."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Final

from fileplane.errors import FileTooLarge, InvalidValue
from fileplane.providers.request_body import RequestBody

_ESCAPES: Final = str.maketrans(
    {'"': "%22", "\r": "%0D", "\n": "%0A"} | {chr(code): f"%{code:02X}" for code in range(32) if code not in {10, 13}}
)
_HARMLESS_TYPE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&^_.+-/;= ")
_OCTET_STREAM: Final = "application/octet-stream"
_LONGEST_TYPE: Final = 200
_LINE: Final = b"\r\n"
_MOST_FILLING: Final = 1 << 20


class MultipartBody(RequestBody):
    """A form with ``fields`` and one file, which come in this order (RFC 7578).

    Names are written as browsers do: in UTF-8, with ``"`` and control characters as percent and hexadecimal digits. The closing boundary
    is sent only when the file came whole: a file that fails, or has not the announced ``file_length``, leaves a form that is none.
    A file of more than ``most`` bytes is cut off with :class:`~fileplane.errors.FileTooLarge`.

    Where instead of ``file_length`` it is known what a file has ``at_most``, that decides the body's length, and what the file lacks
    stands after the closing boundary, where receivers ignore it (RFC 2046, section 5.1.1). Who passes a form of declared length on knows
    as much: only whether a line break follows the caller's last boundary cannot be told before it is there. That line break, or the lack
    of it, then simply appears after ours.
    """

    def __init__(
        self,
        fields: Sequence[tuple[str, str]],
        *,
        filename: str,
        media_type: str,
        content: AsyncIterator[bytes],
        file_field: str = "file",
        file_length: int | None = None,
        at_most: int | None = None,
        most: int | None = None,
    ) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self.file_bytes = 0
        """Bytes of the file so far."""
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n' for name, value in fields]
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(file_field)}"; filename="{_quoted(filename)}"\r\n'
            f"Content-Type: {harmless_media_type(media_type)}\r\n\r\n"
        )
        self._head = _utf8("".join(parts) + head)
        self._tail = f"\r\n--{boundary}--".encode()
        self._file = content
        self._file_length = file_length
        self._most = most
        self._at_most = None if file_length is not None else at_most
        longest = self._at_most if file_length is None else file_length + len(_LINE)
        super().__init__(self._form(), None if longest is None else len(self._head) + longest + len(self._tail))

    async def _form(self) -> AsyncIterator[bytes]:
        yield self._head
        async for piece in self._file:
            self.file_bytes += len(piece)
            if self._most is not None and self.file_bytes > self._most:
                raise too_large(self._most)
            if self._file_length is not None and self.file_bytes > self._file_length:
                raise InvalidValue("The file has more bytes than were announced.", param="file")
            if piece:
                yield piece
        if self._file_length is not None and self.file_bytes < self._file_length:
            raise InvalidValue("The file has fewer bytes than were announced.", param="file")
        yield self._tail + self._filling()

    def _filling(self) -> bytes:
        """What follows the closing boundary: a line break, and more or less of it where that makes the body as long as announced."""
        if self._at_most is None:
            return _LINE
        lacking = self._at_most - self.file_bytes
        if not 0 <= lacking <= _MOST_FILLING:
            raise InvalidValue("The file has not the length that follows from the length of the form.", param="file")
        return b" " if lacking == 1 else _LINE[:lacking] + b" " * (lacking - len(_LINE))


def too_large(most: int) -> FileTooLarge:
    """The refusal of a file that exceeds a provider's limit."""
    return FileTooLarge(f"The provider takes files of at most {most} bytes. Send a smaller one.", param="file")


def _quoted(name: str) -> str:
    return name.translate(_ESCAPES)


def harmless_media_type(value: str) -> str:
    """A media type that can stand in a header: the one given, or ``application/octet-stream``."""
    return value if value and len(value) <= _LONGEST_TYPE and set(value) <= _HARMLESS_TYPE else _OCTET_STREAM


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")
