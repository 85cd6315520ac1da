"""Where the workers of one server keep the numbers that are added up: a private directory, in memory where the system has that.

Made by the supervising process, which holds a lock on it and removes it at the end. What a killed server left is removed by its workers,
or by the next server of the same user: the lock tells that nobody uses it any more.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fileplane.metrics import DIRECTORY_VARIABLE

_PREFIX: Final = "fileplane-metrics-"
_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the directory made in it is private, and its name random

_log = logging.getLogger(__name__)


@contextmanager
def metrics_directory(*, needed: bool) -> Iterator[None]:
    """For the length of a block, the processes started in it add up their numbers, if that is ``needed``.

    One worker that is asked itself needs no directory for that.

    Without any place for it the server runs all the same, and each worker tells its own numbers.
    """
    os.environ.pop(DIRECTORY_VARIABLE, None)
    parent = _parent()
    made, lock = None, None
    if needed:
        try:
            _remove_abandoned(parent)
            made, lock = _make(parent)
            os.environ[DIRECTORY_VARIABLE] = made
        except OSError as error:
            _log.warning("each worker tells its own metrics only, since there is no place to add them up: %s", error)
    try:
        yield
    finally:
        os.environ.pop(DIRECTORY_VARIABLE, None)
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_metrics_directory() -> None:
    """For a worker whose supervising process was killed. The files stay usable for those that have them open."""
    made = os.environ.get(DIRECTORY_VARIABLE)
    if made is not None and Path(made).name.startswith(_PREFIX):
        shutil.rmtree(made, ignore_errors=True)


def _parent() -> Path:
    if _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK | os.X_OK):
        return _IN_MEMORY
    return Path(tempfile.gettempdir())


def _make(parent: Path) -> tuple[str, int]:
    """A new directory and the descriptor that locks it. Raises OSError."""
    while True:
        made = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        try:
            return made, _locked(Path(made))
        except (BlockingIOError, FileNotFoundError):
            # Another server took it for abandoned in the moment before it was locked, and removes it.
            continue


def _remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        try:
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            lock = _locked(path)
        except OSError:
            continue
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _locked(path: Path) -> int:
    """A descriptor of the directory that holds its lock. Raises OSError while another process does."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
