"""A file piped from one place to another: read while it is sent, never held whole, and checked on both sides."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.finding import STANDARD_INPUT
from fileplane.cli.locations import RemotePlace

if TYPE_CHECKING:
    from fileplane.cli.client import FilesClient
    from fileplane.client.exchange import Buffer
    from fileplane.client.sources import Source


@dataclass(slots=True)
class Checked:
    """What has passed, while it passes: ``size`` bytes with this digest.

    ``expected`` is the SHA-256 that the source announced, in hex; None when it announced none. ``source`` is named by failures to read.
    """

    source: str
    name: str
    size: int | None
    expected: str | None
    _pieces: Iterator[Buffer]
    passed: int = field(default=0, init=False)
    _digest: hashlib._Hash = field(default_factory=hashlib.sha256, init=False)

    @property
    def sha256(self) -> str:
        """Of what has passed, in hex."""
        return self._digest.hexdigest()

    def pieces(self) -> Iterator[Buffer]:
        """The bytes, each piece valid until the next. Raises :class:`CommandFailed` at the end for others than the source announced.

        By then the receiver has not been told of an end, so that it keeps nothing.
        """
        with blamed(self.source):
            for piece in self._pieces:
                self._digest.update(piece)
                self.passed += len(piece)
                yield piece
            self._require_whole()

    def _require_whole(self) -> None:
        if self.size is not None and self.passed != self.size:
            raise CommandFailed(ExitCode.UNAVAILABLE, f"{self.size} bytes were announced, and {self.passed} came.")
        if self.expected is not None and self.sha256 != self.expected:
            raise CommandFailed(
                ExitCode.UNAVAILABLE, "The bytes are not those that the server announced: their SHA-256 differs from the ETag."
            )


class _Blamed(CommandFailed):
    """A failure that says already whose it is."""


@contextmanager
def blamed(place: str) -> Iterator[None]:
    """Puts the place before the message of a :class:`CommandFailed` in the block, unless that names a place already."""
    try:
        yield
    except _Blamed:
        raise
    except CommandFailed as failure:
        message = failure.message if failure.message.startswith(place) else f"{place.removesuffix(':')}: {failure.message}"
        raise _Blamed(failure.code, message, request_id=failure.request_id) from failure


@contextmanager
def remote_content(client: FilesClient, place: RemotePlace, name: str) -> Iterator[Checked]:
    """The content of a file at the place that ``client`` calls. Raises :class:`CommandFailed`."""
    with client.content(place.file_id) as content:
        yield Checked(str(place), name, content.size, content.sha256, content.pieces)


@contextmanager
def local_content(path: str, name: str | None) -> Iterator[Checked]:
    """A file of this machine, or standard input for ``-``. Raises :class:`CommandFailed`."""
    from_input = path == STANDARD_INPUT
    if from_input and sys.stdin is None:
        raise CommandFailed(ExitCode.FAILED, "There is no standard input to read.")
    try:
        file = FileIO(0, closefd=False) if from_input else FileIO(path)
    except OSError as error:
        raise CommandFailed(ExitCode.FAILED, f"{error.strerror}.") from error
    from fileplane.client.sources import opened

    # Opened here, so that a directory is called one without the advice to name what is in it.
    with file, opened(file) as source:
        yield Checked(path, name or Path(path).name, source.size, None, _pieces_of(source))


def _pieces_of(source: Source) -> Iterator[Buffer]:
    from fileplane.cli.client import failures_told

    with failures_told():
        yield from source.pieces()


def verified_at_destination(file: dict[str, Any], content: Checked, *, changes_content: bool) -> bool:
    """Whether the place says that it has as many bytes, and if it tells a SHA-256, the same one.

    ``changes_content`` for a place that may keep a file in another form, where another size is no failure.

    Raises :class:`CommandFailed` when it has something else.
    """
    size, sha256 = file.get("bytes"), file.get("sha256")
    if isinstance(sha256, str) and re.fullmatch(r"[0-9a-f]{64}", sha256):
        if sha256 == content.sha256:
            return True
        raise CommandFailed(ExitCode.UNAVAILABLE, f"The copy, {file.get('id')}, has another SHA-256 than what was sent. Delete it.")
    if not isinstance(size, int) or isinstance(size, bool) or (size == 0 and content.passed):
        return False
    if size != content.passed and not changes_content:
        raise CommandFailed(ExitCode.UNAVAILABLE, f"The copy, {file.get('id')}, has {size} bytes instead of {content.passed}. Delete it.")
    return size == content.passed
