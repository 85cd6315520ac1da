"""Files that appear only when they are whole."""

from __future__ import annotations

import os
import secrets
import select
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fileplane.client.errors import TargetExists, TargetFailed

PARTIAL_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def appearing_whole(target: Path, *, overwrite: bool) -> Iterator[int]:
    """A descriptor to write to; ``target`` appears when the block ends, and nothing does when it raises.

    Unless ``overwrite``, a file that has come to be there meanwhile is left alone. Raises
    :class:`~fileplane.client.errors.TargetFailed` for that, for a target that no file can be put in the place of, and when it cannot be
    written.
    """
    require_free(target, overwrite=overwrite)
    partial = target.with_name(f".fileplane-{secrets.token_hex(8)}.partial")
    with writing(target):
        try:
            descriptor = os.open(partial, PARTIAL_FLAGS | os.O_EXCL, 0o666)
            try:
                yield descriptor
            finally:
                os.close(descriptor)
            publish(partial, target, overwrite=overwrite)
        finally:
            with suppress(FileNotFoundError):
                partial.unlink()


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """A block in which whatever the file system refuses is told as what cannot be written."""
    try:
        yield
    except OSError as error:
        raise TargetFailed(f"{target} cannot be written: {error.strerror}.") from error


def require_free(target: Path, *, overwrite: bool) -> None:
    """Raises TargetFailed when there is something at ``target`` that must not be replaced: never anything but a file."""
    if target.is_dir():
        raise TargetFailed(f"{target} is a directory. Name the file in it.")
    if os.path.lexists(target) and not target.is_symlink() and not target.is_file():
        raise TargetFailed(f"{target} is not a regular file. To write to it, use: --output - > {target}")
    if os.path.lexists(target) and not overwrite:
        raise TargetExists(target)


def publish(partial: Path, target: Path, *, overwrite: bool) -> None:
    """Lets the file appear. Raises :class:`~fileplane.client.errors.TargetExists`, and OSError."""
    if overwrite:
        partial.replace(target)
        return
    try:
        # Unlike a rename, a link never replaces what is there.
        target.hardlink_to(partial)
    except FileExistsError as error:
        raise TargetExists(target) from error
    except OSError as error:
        # Not every file system has links.
        if os.path.lexists(target):
            raise TargetExists(target) from error
        partial.rename(target)


def write_all(descriptor: int, piece: memoryview, at: int | None = None) -> None:
    """Writes where the descriptor stands, or ``at`` that place. Raises OSError.

    A pipe that another process has made non-blocking is waited for while it is full, as any other pipe.
    """
    left = piece
    while left:
        try:
            count = os.write(descriptor, left) if at is None else os.pwrite(descriptor, left, at)
        except BlockingIOError:
            _wait_for_room(descriptor)
            continue
        at = None if at is None else at + count
        left = left[count:]


def _wait_for_room(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()
