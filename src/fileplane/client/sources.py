"""What is uploaded: files that are read in any place, and streams that are read once."""

from __future__ import annotations

import io
import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from fileplane.client.errors import SourceChanged, SourceFailed
from fileplane.client.exchange import PIECE
from fileplane.client.planning import Span

CHANGED: Final = "The file changed while it was being sent, so nothing was kept of it. Upload it again."
WRONG_SIZE: Final = (
    "Its size changed while it was being sent, or is not what the file system says ({size} bytes), as that of files in /sys, so nothing "
    "was kept of it. Pipe it in, which needs no size: cat FILE | fileplane upload - --filename NAME"
)
Given = str | os.PathLike[str] | BinaryIO
"""A path, or an open binary file, which is read from where it stands and not closed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is recognised by when an upload goes on: the bytes of another size or time are others.

    The same may have been set again on other bytes, as `cp -p` and `rsync --times` do; never ``touched``, which are the inode and the time
    of its change: where those differ, only reading tells.
    """

    path: str
    size: int
    mtime_ns: int
    touched: tuple[int, int]


class Stream:
    """Bytes that come once and in order; ``size`` is None where only the end tells, as of a pipe.

    ``descriptor`` is what can be waited at when there is nothing to read just now, as in a pipe that another process has made
    non-blocking; ``read`` returns None then, which is no end.
    """

    identity: Final = None

    def __init__(self, read: Callable[[int], bytes | None], size: int | None = None, descriptor: int | None = None) -> None:
        self._read_some = read
        self._descriptor = descriptor
        self.size = size

    def pieces(self) -> Iterator[memoryview]:
        """All of them. Raises :class:`~fileplane.client.errors.SourceFailed`."""
        while piece := self._read(PIECE):
            yield memoryview(piece)

    def _read(self, count: int) -> bytes:
        try:
            while (piece := self._read_some(count)) is None:
                self._wait()
        except OSError as error:
            raise SourceFailed(f"{error.strerror or error}.") from error
        else:
            return piece

    def _wait(self) -> None:
        if self._descriptor is None:
            raise SourceFailed("It has nothing to read just now, and cannot be waited for. Give a source that blocks.")
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.poll()


class Region:
    """``size`` bytes of a regular file from ``start`` on, which any thread reads anywhere. ``path`` is None of one that came open."""

    def __init__(self, descriptor: int, start: int, status: os.stat_result, path: str | None) -> None:
        self._descriptor = descriptor
        self._start = start
        self._status = status
        self.size: int = status.st_size - start
        self.identity = None if path is None else Identity(path, status.st_size, status.st_mtime_ns, _touched(status))

    def pieces(self) -> Iterator[memoryview]:
        """All of it, each piece valid until the next. Raises :class:`~fileplane.client.errors.SourceFailed` if it is written to."""
        yield from self.pieces_of(Span(0, 0, self.size))
        if self._read(memoryview(bytearray(1)), self.size):
            raise self._of_another_size()
        self.require_unchanged()

    def pieces_of(self, span: Span) -> Iterator[memoryview]:
        """The bytes of a span. Raises :class:`~fileplane.client.errors.SourceFailed`."""
        buffer, at = memoryview(bytearray(min(PIECE, span.length))), span.start
        while at < span.end:
            count = self._read(buffer[: min(PIECE, span.end - at)], at)
            if not count:
                raise self._of_another_size()
            at += count
            yield buffer[:count]

    def require_unchanged(self) -> None:
        """Raises :class:`~fileplane.client.errors.SourceChanged` if it has another size, or was written to, since it was opened."""
        now = os.fstat(self._descriptor)
        if (now.st_size, now.st_mtime_ns) != (self._status.st_size, self._status.st_mtime_ns):
            raise SourceChanged(CHANGED)

    def _of_another_size(self) -> SourceFailed:
        """For what ends before or after the size that it has: files of /sys always say one page, whatever is in them."""
        try:
            self.require_unchanged()
        except SourceChanged as changed:
            return changed
        return SourceFailed(WRONG_SIZE.format(size=self._status.st_size))

    @property
    def was_touched(self) -> bool:
        """Whether anything has been done to it since it was opened, if only its name was changed."""
        return _touched(os.fstat(self._descriptor)) != _touched(self._status)

    def _read(self, buffer: memoryview, at: int) -> int:
        try:
            return os.preadv(self._descriptor, [buffer], self._start + at)
        except OSError as error:
            raise SourceFailed(f"{error.strerror}.") from error


def _touched(status: os.stat_result) -> tuple[int, int]:
    return status.st_ino, status.st_ctime_ns


Source = Stream | Region


@contextmanager
def opened(given: Given) -> Iterator[Source]:
    """What is to be uploaded, for the length of a block. Raises :class:`~fileplane.client.errors.SourceFailed`."""
    with ExitStack() as closing:
        if isinstance(given, (str, os.PathLike)):
            yield _source_of(closing.enter_context(_open(os.fspath(given))), os.path.abspath(given))  # noqa: PTH100 - links are names too
        else:
            yield _source_of(given, None)


def name_of(given: Given) -> str:
    """The name that a file has of itself: the last part of its path, or ``upload``, as SDKs call what has none."""
    path = given if isinstance(given, (str, os.PathLike)) else getattr(given, "name", None)
    return (Path(path).name if isinstance(path, (str, os.PathLike)) else "") or "upload"


def _open(path: str) -> io.FileIO:
    try:
        return io.FileIO(path)
    except IsADirectoryError as error:
        raise SourceFailed(f"This is a directory. Name the files in it, such as {path.rstrip('/')}/*") from error
    except OSError as error:
        raise SourceFailed(f"{error.strerror}.") from error


def _source_of(file: BinaryIO | io.FileIO, path: str | None) -> Source:
    # Other objects have a descriptor too and other bytes than it, such as gzip's.
    raw = file.raw if isinstance(file, (io.BufferedReader, io.BufferedRandom)) else file
    if isinstance(raw, io.FileIO):
        descriptor = raw.fileno()
        status = os.fstat(descriptor)
        # Files of /proc and the like say that they are empty and are not.
        if stat.S_ISREG(status.st_mode) and status.st_size:
            start = file.tell()
            if start <= status.st_size:
                return Region(descriptor, start, status, path)
        return Stream(file.read, descriptor=descriptor)
    return Stream(file.read)
