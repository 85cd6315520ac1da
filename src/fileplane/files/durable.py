"""Changes to a directory that survive power loss once they have returned, each in the order that leaves the old or the new.

Everything blocks: a caller on an event loop runs it on a thread. All of it raises OSError.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Final

_PIECE: Final = 1 << 20
_UNFINISHED: Final = ".new"


def sync(path: Path) -> None:
    """Returns when the drive itself has the file or directory, which on macOS takes ``F_FULLFSYNC``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if sys.platform == "darwin":
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        else:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Makes a directory of mode 0700; one that exists is left as it is."""
    path.mkdir(mode=0o700, exist_ok=True)
    sync(path.parent)


def write(path: Path, data: bytes) -> None:
    """Puts a file of mode 0600 in place, or in the place of an older one."""
    temporary = unfinished(path)
    temporary.unlink(missing_ok=True)
    with open(temporary, "xb", opener=_private) as file:
        file.write(data)
    rename(temporary, path)


def copy(source: Path, target: Path, sha256: str) -> bool:
    """Puts a copy of a file in place; or, when its bytes do not have this SHA-256 (hex), nothing, and returns False."""
    temporary = unfinished(target)
    temporary.unlink(missing_ok=True)
    digest = hashlib.sha256()
    with source.open("rb") as original, open(temporary, "xb", opener=_private) as file:
        while piece := original.read(_PIECE):
            digest.update(piece)
            file.write(piece)
    if digest.hexdigest() != sha256:
        temporary.unlink()
        return False
    rename(temporary, target)
    return True


def link(source: Path, target: Path) -> None:
    """Gives a file that is durable already a second name."""
    os.link(source, target, follow_symlinks=False)
    sync(target.parent)


def rename(source: Path, target: Path) -> None:
    """Moves a file or directory, whose content is made durable first, in place of what has that name."""
    sync(source)
    source.rename(target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


def remove(path: Path) -> None:
    """Removes a file or a whole directory; absent is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    sync(path.parent)


def unfinished(path: Path) -> Path:
    """The name under which a file is written before it takes the place of ``path``."""
    return path.with_name(path.name + _UNFINISHED)


def sha256_of(path: Path) -> str:
    """In hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
