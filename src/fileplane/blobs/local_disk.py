"""The blocking half of the local blob store: every system call it makes, and the grammar that keys are confined to.

Each path is reached through the descriptor of its directory, opened with ``O_NOFOLLOW`` like the file itself, under a key of a closed
grammar: nothing outside the root can be named. Nothing here knows of the event loop; a caller runs it on a thread.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fileplane.blobs.base import BlobInfo, BlobMissing, Inspector
from fileplane.blobs.keys import BLOB_KEY
from fileplane.model import StoredBlob

SLICE: Final = 1 << 20
"""Writes of 8 MiB to a new file were measured ten times slower than writes of 1 MiB (Linux 6.18, ext4)."""

TEMPORARIES: Final = "tmp"
SERVED: Final = "served"
"""Second names of blobs, for an HTTP server to open."""
SHARDS: Final = tuple(f"{number:02x}" for number in range(256))
KEY: Final = BLOB_KEY
TEMPORARY_KEY: Final = re.compile(r"tmp/[0-9a-f]{32}")
_SERVED_NAME: Final = re.compile(r"[0-9a-f]{32}")
_CONFINED: Final = os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | _CONFINED  # a named pipe must not keep a thread waiting for its writer
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CONFINED
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | _CONFINED
_NOT_A_BLOB: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO})


def sync_to_disk(descriptor: int) -> None:
    """Returns when the drive itself has the data, which on macOS takes ``F_FULLFSYNC``."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def prepare_root(root: Path) -> int:
    """Makes the root (mode 0700) and its directories where they are missing; returns a descriptor of it."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(root, _DIRECTORY)
    try:
        made = [name for name in (TEMPORARIES, SERVED, *SHARDS) if _made_directory(name, descriptor)]
        if made:
            sync_to_disk(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _made_directory(name: str, root_fd: int) -> bool:
    try:
        os.mkdir(name, 0o700, dir_fd=root_fd)
    except FileExistsError:
        return False
    return True


class Temporary:
    """One blob being written: a file in ``tmp``, opened at the first bytes.

    One thread at a time works on it. A lock sees to that: slices may come on several threads, and a deadline may give up on a thread that
    is still writing, whose descriptor must not be closed under it. After a failure it takes nothing more.
    """

    def __init__(self, root_fd: int, key: str, min_free_bytes: int, inspector: Inspector | None = None) -> None:
        self._root_fd = root_fd
        self._key = key
        self._name = f"{TEMPORARIES}/{secrets.token_hex(16)}"
        self._min_free_bytes = min_free_bytes
        self._inspector = inspector
        self._descriptor: int | None = None
        self._hash = hashlib.sha256()
        self._size = 0
        self._published = False
        self._failure: OSError | None = None
        self._lock = threading.Lock()

    def append_next(self, slices: deque[list[bytes]]) -> None:
        """Hashes and writes the first of ``slices``, taking it out, so that their order holds on whatever threads. Raises OSError."""
        with self._lock:
            self._append(slices.popleft())

    def sync_ahead(self) -> None:
        """Syncs what is written by now, without keeping the next slice waiting. Raises OSError, and so does everything after it."""
        with self._lock:
            assert self._descriptor is not None  # there has been a slice
            descriptor = os.dup(self._descriptor)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # The failure has been reported by now, and a later fsync of the same file would pass in silence.
            self._failure = error
            raise
        finally:
            os.close(descriptor)

    def publish(self, pieces: list[bytes]) -> StoredBlob:
        """The last bytes, then fsync, rename and fsync of the directory: the only way a blob ever becomes visible. Raises OSError."""
        with self._lock:
            self._append(pieces)
            self._sync_file()
            with _directory(self._root_fd, self._key) as (directory_fd, name):
                if _exists(directory_fd, name):
                    raise OSError(errno.EEXIST, "a blob key must never be used twice")
                os.rename(self._name, name, src_dir_fd=self._root_fd, dst_dir_fd=directory_fd)
                self._published = True
                sync_to_disk(directory_fd)
            self._close()
            return StoredBlob(self._key, self._size, self._hash.hexdigest())

    def discard(self) -> None:
        """Removes whatever there is, also a blob whose publishing was not confirmed. A descriptor whose fsync failed is only closed."""
        with self._lock:
            opened = self._descriptor is not None
            self._close()
            if self._published:
                unlink(self._root_fd, self._key)
            elif opened:
                unlink(self._root_fd, self._name)

    def _append(self, pieces: list[bytes]) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            self._hash_and_write(pieces)
        except OSError as error:
            self._failure = error
            raise

    def _hash_and_write(self, pieces: list[bytes]) -> None:
        if self._descriptor is None:
            self._descriptor = os.open(self._name, _CREATE, 0o600, dir_fd=self._root_fd)
        require_room(self._descriptor, self._min_free_bytes)
        # Each call below lets go of the interpreter and must win it back from the event loop, so there are two a slice, not two a piece.
        joined = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._inspector is None:
            self._hash.update(joined)
        else:
            self._inspector.feed(joined, self._hash.update)
        view = memoryview(joined)
        while view:
            view = view[os.write(self._descriptor, view[:SLICE]) :]
        self._size += len(joined)

    def _sync_file(self) -> None:
        assert self._descriptor is not None  # _append() has opened it
        if os.fstat(self._descriptor).st_size != self._size:
            raise OSError(errno.EIO, "the temporary file does not have the length that was written")
        sync_to_disk(self._descriptor)

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


@contextmanager
def _directory(root_fd: int, key: str) -> Iterator[tuple[int, str]]:
    """A descriptor of the key's directory, and its name within."""
    directory, _, name = key.partition("/")
    descriptor = os.open(directory, _DIRECTORY, dir_fd=root_fd)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)


def open_blob(root_fd: int, key: str) -> tuple[int, int]:
    """A descriptor of a blob, and its size. Raises BlobMissing, also for anything that is no regular file; otherwise OSError."""
    try:
        with _directory(root_fd, key) as (directory_fd, name):
            descriptor = os.open(name, _READ, dir_fd=directory_fd)
    except OSError as error:
        if error.errno in _NOT_A_BLOB:
            raise BlobMissing(key) from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise BlobMissing(key)
    return descriptor, status.st_size


def unlink(root_fd: int, key: str) -> None:
    """Removes a blob or temporary; absent is fine. Raises OSError."""
    try:
        with _directory(root_fd, key) as (directory_fd, name):
            os.unlink(name, dir_fd=directory_fd)
    except FileNotFoundError:
        return


def new_served_name() -> str:
    """A name below the root that is never given twice."""
    return f"{SERVED}/{secrets.token_hex(16)}"


def name_for_serving(root_fd: int, key: str, served: str) -> None:
    """Gives a blob a second name, which outlives the first. Raises OSError, also where a file system knows no second names."""
    with _directory(root_fd, key) as (blob_fd, blob), _directory(root_fd, served) as (served_fd, name):
        os.link(blob, name, src_dir_fd=blob_fd, dst_dir_fd=served_fd, follow_symlinks=False)


def remove_old_served_names(root_fd: int, seconds: float) -> None:
    """Removes the second names of blobs that have had none given or taken away for so long: who gave them was killed. Raises OSError."""
    with _directory(root_fd, f"{SERVED}/") as (directory_fd, _), os.scandir(directory_fd) as entries:
        old = [entry.name for entry in entries if _SERVED_NAME.fullmatch(entry.name) and _is_older(entry, seconds)]
    for name in old:
        unlink(root_fd, f"{SERVED}/{name}")


def _is_older(entry: os.DirEntry[str], seconds: float) -> bool:
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_ctime > seconds
    except FileNotFoundError:
        return False  # whoever gave it has just taken it back


def list_directory(root_fd: int, directory: str) -> list[BlobInfo]:
    """The blobs or temporaries of one directory; files of other names are not ours. Raises OSError."""
    descriptor = os.open(directory, _DIRECTORY, dir_fd=root_fd)
    try:
        with os.scandir(descriptor) as entries:
            return [info for entry in entries if (info := _describe(f"{directory}/{entry.name}", entry)) is not None]
    finally:
        os.close(descriptor)


def probe(root_fd: int, min_free_bytes: int) -> None:
    """Writes and removes a small temporary, and looks at the room left. Raises OSError."""
    require_room(root_fd, min_free_bytes)
    temporary = Temporary(root_fd, f"{SHARDS[0]}/{'0' * 30}", 0)
    try:
        temporary.append_next(deque([[b"ready"]]))
    finally:
        temporary.discard()


def require_room(descriptor: int, min_free_bytes: int) -> None:
    """Raises OSError (ENOSPC) while the file system has less room than ``min_free_bytes``."""
    if min_free_bytes:
        usage = os.fstatvfs(descriptor)
        if usage.f_bavail * usage.f_frsize < min_free_bytes:
            raise OSError(errno.ENOSPC, "the disk has less room than min_free_disk_bytes")


def _exists(directory_fd: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _describe(key: str, entry: os.DirEntry[str]) -> BlobInfo | None:
    committed = KEY.fullmatch(key) is not None
    if not committed and not TEMPORARY_KEY.fullmatch(key):
        return None
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    return BlobInfo(key, status.st_size, status.st_mtime, committed)
