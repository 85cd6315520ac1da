"""The form of an upload (multipart/form-data, RFC 7578), made while it is sent."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.progress import Advance

STANDARD_INPUT: Final = "-"
_PIECE: Final = 256 << 10
_ESCAPES: Final = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A", "\\": "\\\\"})


@dataclass(frozen=True, slots=True)
class Source:
    """An open local file and the name it is to have. ``size`` is in bytes, None for what only its end tells: a pipe, say."""

    name: str
    size: int | None
    file: FileIO

    def pieces(self) -> Iterator[bytes]:
        """The bytes, never empty pieces. Raises :class:`CommandFailed` when the file cannot be read or is not ``size`` bytes long."""
        left = self.size
        while piece := self._read(_PIECE if left is None else min(_PIECE, left)):
            yield piece
            if left is not None:
                left -= len(piece)
        if left or (left == 0 and self._read(1)):
            raise CommandFailed(ExitCode.FAILED, "The file changed while it was being sent, so nothing was kept of it. Upload it again.")

    def _read(self, count: int) -> bytes:
        try:
            return self.file.read(count) or b""
        except OSError as error:
            raise CommandFailed(ExitCode.FAILED, f"{error.strerror}.") from error


@contextmanager
def open_source(path: str, filename: str | None) -> Iterator[Source]:
    """The file to upload, or standard input for ``-``. Raises :class:`CommandFailed`."""
    from_input = path == STANDARD_INPUT
    if from_input and sys.stdin is None:
        raise CommandFailed(ExitCode.FAILED, "There is no standard input to read.")
    try:
        file = FileIO(0, closefd=False) if from_input else FileIO(path)
    except IsADirectoryError as error:
        raise CommandFailed(ExitCode.FAILED, f"This is a directory. Name the files in it, such as {path.rstrip('/')}/*") from error
    except OSError as error:
        raise CommandFailed(ExitCode.FAILED, f"{error.strerror}.") from error
    with file:
        yield Source(filename or Path(path).name, None if from_input else _size_of(file), file)


def _size_of(file: FileIO) -> int | None:
    status = os.fstat(file.fileno())
    # Files of /proc and the like say that they are empty and are not.
    return status.st_size if stat.S_ISREG(status.st_mode) and status.st_size else None


class UploadForm:
    """A form's bytes in pieces: ``fields`` first, so that the server knows a file's limits before its bytes come.

    Can be read once. Raises :class:`CommandFailed` for a name that is not Unicode.
    """

    def __init__(self, fields: Mapping[str, str], source: Source, advance: Advance) -> None:
        boundary = secrets.token_hex(16)
        head = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
        head.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{source.name.translate(_ESCAPES)}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        try:
            self._head = "".join(head).encode()
        except UnicodeEncodeError as error:
            raise CommandFailed(ExitCode.FAILED, "The name is not UTF-8. Give the file another with --filename.") from error
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._source = source
        self._advance = advance
        self.headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        if source.size is not None:
            self.headers["content-length"] = str(len(self._head) + source.size + len(self._tail))

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        for piece in self._source.pieces():
            yield piece
            self._advance(len(piece))
        yield self._tail
