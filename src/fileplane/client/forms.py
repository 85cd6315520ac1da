"""The forms that bytes are sent in (multipart/form-data, RFC 7578), made while they are sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from fileplane.client.errors import SourceFailed
from fileplane.client.exchange import Body, Buffer

_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A", "\\": "\\\\"})


def form(fields: Mapping[str, str], name: str, filename: str, media_type: str | None, size: int | None, pieces: Iterable[Buffer]) -> Body:
    """``fields`` first, so that the server knows a file's limits before its bytes come, then ``size`` bytes as the file ``name``.

    Raises :class:`~fileplane.client.errors.SourceFailed` for a file name that is not Unicode.
    """
    boundary = secrets.token_hex(16)
    head = [f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n' for field, value in fields.items()]
    head.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename.translate(_ESCAPES)}"\r\n'
        f"Content-Type: {media_type or 'application/octet-stream'}\r\n\r\n"
    )
    require_unicode("".join(head))
    start = "".join(head).encode()
    end = f"\r\n--{boundary}--\r\n".encode()
    length = None if size is None else len(start) + size + len(end)
    return Body(f"multipart/form-data; boundary={boundary}", length, _enclosed(start, pieces, end))


def require_unicode(filename: str) -> None:
    """Raises :class:`~fileplane.client.errors.SourceFailed` for a file name that no server can be told."""
    try:
        filename.encode()
    except UnicodeEncodeError as error:
        raise SourceFailed("The name is not UTF-8. Give the file another with --filename.") from error


def _enclosed(start: bytes, pieces: Iterable[Buffer], end: bytes) -> Iterator[Buffer]:
    yield start
    yield from pieces
    yield end
