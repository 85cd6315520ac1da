"""What is remembered of a transfer, so that another process can go on with it: a heading, then a line for each piece that is done.

A line is appended when its piece is safe, so that even ten thousand of them cost no more than they are; one that a kill has torn is
passed over. The heading replaces what was there by a rename. The file is its owner's alone, and no key is ever in it. What is remembered
survives kills, not power cuts: then it may be older than what was done, or unreadable, and the transfer begins anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

_VERSION: Final = 1
_LARGEST: Final = 16 << 20


def cache_directory() -> Path:
    """Where uploads are remembered, unless they are told to be elsewhere: the user's cache, as the system has it."""
    if (given := os.environ.get("XDG_CACHE_HOME")) and Path(given).is_absolute():
        return Path(given) / "fileplane"
    home = Path.home()
    return home / "Library" / "Caches" / "fileplane" if platform.system() == "Darwin" else home / ".cache" / "fileplane"


def name_for(*marks: object) -> str:
    """A name for what these tell apart; nothing can be read from it."""
    return hashlib.sha256(json.dumps(marks, sort_keys=True, default=str).encode()).hexdigest()[:32]


def is_ours(status: os.stat_result, directory: Path) -> bool:
    """Whether it is a regular file that no other user can have put into ``directory``, which others may write to, as to /tmp.

    File systems that do not know users give everything to one who need not be this process's; the directory is that one's too.
    """
    return stat.S_ISREG(status.st_mode) and status.st_uid in {os.geteuid(), directory.stat().st_uid}


class Journal:
    """The memory of one transfer, at ``path``. Safe to add to from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """The heading and the pieces, or None where there is nothing that can be understood."""
        try:
            with os.fdopen(os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                if not is_ours(os.fstat(file.fileno()), self._path.parent):
                    return None
                lines = file.read(_LARGEST).split(b"\n")
        except OSError:
            return None
        documents = [document for line in lines[:-1] if (document := _document(line)) is not None]
        if not documents or documents[0].get("version") != _VERSION:
            return None
        return documents[0], documents[1:]

    def begin(self, heading: Mapping[str, Any], pieces: Iterable[Mapping[str, Any]] = ()) -> None:
        """Replaces what was remembered. Raises OSError."""
        temporary = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        lines = [{**heading, "version": _VERSION}, *pieces]
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            _write(descriptor, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            temporary.replace(self._path)
        except BaseException:
            os.close(descriptor)
            temporary.unlink(missing_ok=True)
            raise
        self.close()
        self._descriptor = descriptor

    def add(self, piece: Mapping[str, Any]) -> None:
        """Remembers one more. Raises OSError."""
        with self._lock:
            if self._descriptor is not None:
                # After a newline of its own, a line that was torn before stays torn and spoils no other.
                _write(self._descriptor, json.dumps(piece).encode() + b"\n")

    def forget(self) -> None:
        """Removes it."""
        self.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Ends writing; what is remembered stays."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


@contextmanager
def remembered(directory: Path, name: str) -> Iterator[Journal | None]:
    """The journal called ``name``, nobody else's for the length of a block.

    None when another process or thread has it, or nothing can be written there: then the transfer goes without.
    """
    descriptor = None
    try:
        with suppress(OSError):
            descriptor = _locked(directory / f"{name}.lock")
        if descriptor is None:
            yield None
            return
        journal = Journal(directory / f"{name}.jsonl")
        try:
            yield journal
        finally:
            journal.close()
            # By now the transfer has come to what it has come to.
            with suppress(OSError):
                if not (directory / f"{name}.jsonl").exists():
                    (directory / f"{name}.lock").unlink(missing_ok=True)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock; the system lets go of it with the process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held it may have removed it meanwhile: then this is the lock of nothing.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _document(line: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _write(descriptor: int, line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[os.write(descriptor, left) :]
