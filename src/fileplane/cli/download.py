"""Downloads: bytes checked against what the server announced, and files that appear only when they are whole."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fileplane.cli.exits import CommandFailed, ExitCode
from fileplane.cli.progress import transfer_bar

if TYPE_CHECKING:
    from fileplane.cli.client import FilesClient

_SHA256_ETAG: Final = re.compile(r'"([0-9a-f]{64})"')
_PARTIAL_CONTENT: Final = 206


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What was written: ``size`` bytes, and their SHA-256 in hex. ``verified`` says whether the server announced that same hash."""

    size: int
    sha256: str
    verified: bool


def download(client: FilesClient, file_id: str, byte_range: str | None, descriptor: int) -> Downloaded:
    """Writes a file's content, or ``byte_range`` of it, to an open descriptor, piece by piece.

    Raises :class:`CommandFailed` when less arrives than was announced, or a whole file has another SHA-256 than its ETag says, and
    OSError when it cannot be written. By then bytes have been written: only the caller can take them back.
    """
    digest, size = hashlib.sha256(), 0
    with client.content(file_id, byte_range) as response:
        if byte_range is not None and response.status_code != _PARTIAL_CONTENT:
            raise CommandFailed(ExitCode.UNAVAILABLE, "The server does not do ranges: it sent the whole file. Leave out --range.")
        length, etag = _whole(response.headers.get("content-length")), _SHA256_ETAG.fullmatch(response.headers.get("etag", ""))
        # Bar and content would spoil each other on one terminal.
        with transfer_bar(file_id, length, wanted=not os.isatty(descriptor)) as advance:
            for piece in response.iter_raw():
                _write_all(descriptor, piece)
                digest.update(piece)
                size += len(piece)
                advance(len(piece))
    if length is not None and size != length:
        raise CommandFailed(ExitCode.UNAVAILABLE, f"The server announced {length} bytes and sent {size}.")
    expected = etag[1] if etag is not None and byte_range is None else None
    if expected is not None and expected != digest.hexdigest():
        raise CommandFailed(ExitCode.UNAVAILABLE, "The bytes are not those that the server announced: their SHA-256 differs from the ETag.")
    return Downloaded(size, digest.hexdigest(), expected is not None)


def standard_output() -> int:
    """The descriptor of standard output. Raises :class:`CommandFailed` when there is none; its number may then be a connection's."""
    if sys.stdout is None:
        raise CommandFailed(ExitCode.FAILED, "There is no standard output to write to.")
    return sys.stdout.fileno()


@contextmanager
def appearing_whole(target: Path, *, overwrite: bool) -> Iterator[int]:
    """A descriptor to write to; ``target`` appears when the block ends, and nothing does when it raises.

    Unless ``overwrite``, a file that has come to be there meanwhile is left alone. Raises :class:`CommandFailed` for that, for a
    target that no file can be put in the place of, and OSError.
    """
    require_free(target, overwrite=overwrite)
    partial = target.with_name(f".fileplane-{secrets.token_hex(8)}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        _publish(partial, target, overwrite=overwrite)
    finally:
        with suppress(FileNotFoundError):
            partial.unlink()


def require_free(target: Path, *, overwrite: bool) -> None:
    """Raises :class:`CommandFailed` when there is something at ``target`` that must not be replaced: never anything but a file."""
    if target.is_dir():
        raise CommandFailed(ExitCode.FAILED, f"{target} is a directory. Name the file in it.")
    if os.path.lexists(target) and not target.is_symlink() and not target.is_file():
        raise CommandFailed(ExitCode.FAILED, f"{target} is not a regular file. To write to it, use: --output - > {target}")
    if os.path.lexists(target) and not overwrite:
        raise _exists(target)


def _publish(partial: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        partial.replace(target)
        return
    try:
        # Unlike a rename, a link never replaces what is there.
        target.hardlink_to(partial)
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError as error:
        # Not every file system has links.
        if os.path.lexists(target):
            raise _exists(target) from error
        partial.rename(target)


def _exists(target: Path) -> CommandFailed:
    return CommandFailed(ExitCode.FAILED, f"{target} exists. Overwrite it with --force, or choose another name with --output.")


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _write_all(descriptor: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(descriptor, left) :]
