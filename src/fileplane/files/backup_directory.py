"""A directory of backups: snapshots of the database, and one pool of blobs that they share.

    backup.json                         what this is, and of which store
    backup.lock                         held while a backup is made, or restored
    blobs/<2 hex>/<30 hex>              the bytes of one file each
    snapshots/<name>/fileplane.db       the database as of one instant
    snapshots/<name>/manifest.json      what the snapshot has; without it, the snapshot is not there
    unfinished/                         the snapshot that is being made

A snapshot appears by one rename, once everything that it names is durable, and goes by the removal of its manifest.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from fileplane.files import durable

FORMAT: Final = 1
_MARKER: Final = "backup.json"
_LOCK: Final = "backup.lock"
_BLOBS: Final = "blobs"
_SNAPSHOTS: Final = "snapshots"
_UNFINISHED: Final = "unfinished"
_DATABASE: Final = "fileplane.db"
_MANIFEST: Final = "manifest.json"
_BEFORE_MARKER: Final = frozenset({_LOCK, f"{_MARKER}.new", "lost+found"})
_NAME: Final = re.compile(r"\d{8}T\d{6}Z")
_NAME_FORMAT: Final = "%Y%m%dT%H%M%SZ"


class BackupFailed(Exception):
    """A backup can be neither made nor restored as things are; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot has. ``problems`` are files whose bytes could not be had; of many, only the first are named."""

    format: int
    name: str
    created_at: int
    fileplane_version: str
    schema_version: int
    database_bytes: int
    database_sha256: str
    files: int
    bytes: int
    problem_count: int
    problems: tuple[Mapping[str, str], ...] = ()


class BackupDirectory:
    """One directory of backups, while its lock is held. Everything blocks, and raises OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.blobs = path / _BLOBS

    def __str__(self) -> str:
        return str(self._path)

    def database(self, name: str) -> Path:
        """The database of a snapshot."""
        return self._path / _SNAPSHOTS / name / _DATABASE

    def snapshots(self) -> list[Manifest]:
        """Every snapshot, oldest first. Raises BackupFailed for one that cannot be read."""
        return [_read_manifest(folder / _MANIFEST) for folder in self._folders() if (folder / _MANIFEST).exists()]

    def begin(self) -> Path:
        """Clears away what an interrupted backup left; returns where the new snapshot's database is to be made."""
        for leftover in self._leftovers():
            durable.remove(leftover)
        durable.make_directory(self._path / _SNAPSHOTS)
        durable.make_directory(self._path / _UNFINISHED)
        return self._path / _UNFINISHED / _DATABASE

    def next_name(self, now: int) -> str:
        """A name that sorts after every other, also when the clock has leapt back."""
        moment = datetime.fromtimestamp(now, UTC)
        taken = [datetime.strptime(manifest.name, _NAME_FORMAT).replace(tzinfo=UTC) for manifest in self.snapshots()[-1:]]
        return max([moment, *(last + timedelta(seconds=1) for last in taken)]).strftime(_NAME_FORMAT)

    def publish(self, manifest: Manifest) -> None:
        """Makes the snapshot that was begun one of the others, by one rename."""
        unfinished = self._path / _UNFINISHED
        durable.sync(unfinished / _DATABASE)
        durable.write(unfinished / _MANIFEST, (json.dumps(asdict(manifest), indent=2) + "\n").encode())
        durable.rename(unfinished, self._path / _SNAPSHOTS / manifest.name)

    def remove(self, name: str) -> None:
        """Removes a snapshot; its blobs stay."""
        durable.remove(self._path / _SNAPSHOTS / name / _MANIFEST)
        durable.remove(self._path / _SNAPSHOTS / name)

    def _leftovers(self) -> list[Path]:
        removed = [folder for folder in self._folders() if not (folder / _MANIFEST).exists()]
        unfinished = self._path / _UNFINISHED
        return [*removed, *([unfinished] if unfinished.exists() else [])]

    def _folders(self) -> list[Path]:
        root = self._path / _SNAPSHOTS
        return sorted(entry for entry in root.iterdir() if _NAME.fullmatch(entry.name)) if root.is_dir() else []


@contextmanager
def opened_for_backup(path: Path, data_dir: Path, stores: Sequence[str]) -> Iterator[BackupDirectory]:
    """The directory, made when it is missing, for the backups of the store with these ids and of no other.

    The ids are those of its projects, the oldest first; any of them will be known again when a clock has leapt.

    Raises :class:`BackupFailed` when it is, holds or lies in the data directory, holds something else, or is in use.
    """
    _require_apart(path, data_dir)
    if not path.parent.is_dir():
        raise BackupFailed(f"{path.parent} does not exist. Make it, or mount it, and try again.")
    durable.make_directory(path)
    _require_backups_or_nothing(path)
    with _locked(path, fcntl.LOCK_EX):
        marker = path / _MARKER
        if not marker.exists():
            durable.write(marker, (json.dumps({"format": FORMAT, "store": stores[0]}) + "\n").encode())
        if _read_marker(path).get("store") not in stores:
            raise BackupFailed(f"{path} has the backups of another data directory. Name another directory for this one.")
        yield BackupDirectory(path)


@contextmanager
def opened_for_restore(path: Path) -> Iterator[BackupDirectory]:
    """The directory, in which nothing is changed. Raises :class:`BackupFailed` when it has no backups, or is in use."""
    if not (path / _MARKER).exists():
        raise BackupFailed(f"{path} is no directory of Fileplane's backups: it has no {_MARKER}.")
    _read_marker(path)
    with _locked(path, fcntl.LOCK_SH):
        yield BackupDirectory(path)


def chosen_snapshot(directory: BackupDirectory, name: str | None, schema_version: int) -> Manifest:
    """The snapshot of this name, or the newest. Raises :class:`BackupFailed` when there is none, or a newer Fileplane has made it."""
    snapshots = directory.snapshots()
    if not snapshots:
        raise BackupFailed(f"{directory} has no complete backup.")
    found = [manifest for manifest in snapshots if name is None or manifest.name == name]
    if not found:
        raise BackupFailed(f"{directory} has no snapshot '{name}'. It has: {', '.join(manifest.name for manifest in snapshots)}.")
    if found[-1].schema_version > schema_version:
        raise BackupFailed(
            f"The snapshot {found[-1].name} was made by a newer Fileplane ({found[-1].fileplane_version}). Upgrade this one."
        )
    return found[-1]


def _require_apart(path: Path, data_dir: Path) -> None:
    ours, theirs = path.resolve(), data_dir.resolve()
    if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
        raise BackupFailed(f"{path} and the data directory {data_dir} lie within each other. Name a directory elsewhere, on another disk.")


def _require_backups_or_nothing(path: Path) -> None:
    if not (path / _MARKER).exists() and {entry.name for entry in path.iterdir()} - _BEFORE_MARKER:
        raise BackupFailed(f"{path} holds something else than Fileplane's backups. Name a directory that is empty or does not exist.")


def _read_marker(path: Path) -> dict[str, Any]:
    marker = _read_json(path / _MARKER)
    _require_known_format(marker, path)
    return marker


def _read_manifest(path: Path) -> Manifest:
    content = _read_json(path)
    _require_known_format(content, path)
    try:
        known = {entry.name: content[entry.name] for entry in fields(Manifest)}
    except KeyError as error:
        raise BackupFailed(f"{path} is damaged: it has no {error}. Remove its directory to do without this snapshot.") from error
    return Manifest(**known | {"name": path.parent.name, "problems": tuple(known["problems"])})


def _read_json(path: Path) -> dict[str, Any]:
    with suppress(ValueError):
        content = json.loads(path.read_bytes())
        if isinstance(content, dict):
            return content
    raise BackupFailed(f"{path} is damaged: it is no JSON object. Nothing was changed.")


def _require_known_format(content: Mapping[str, Any], path: Path) -> None:
    if content.get("format") != FORMAT:
        raise BackupFailed(f"{path} has the format {content.get('format')!r}, of which this Fileplane knows nothing. Use a newer one.")


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    """Holds the lock; a copy of the directory that came without the file, and is only read, goes without."""
    shared = how == fcntl.LOCK_SH
    try:
        flags = os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT
        descriptor = os.open(path / _LOCK, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileNotFoundError:
        if not shared:
            raise
        yield
        return
    try:
        _take(descriptor, how, path)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, how: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BackupFailed(f"{path} is in use by another backup or restore. Wait until it is done.") from error
