"""The data directory: made once, used by one server at a time, and what its first start does."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from fileplane.access import ALL_SCOPES
from fileplane.blobs.base import BlobLinks, ShownAs
from fileplane.blobs.bucket import BucketUnusable, LinksImpossible
from fileplane.blobs.probes import ProbeFailed
from fileplane.errors import StorageUnavailable
from fileplane.files.janitor import sweep_abandoned_uploads
from fileplane.files.moved import MovedAway, require_present
from fileplane.files.ownership import BlobsOfAnother, claim_blobs
from fileplane.files.restore import begin_restore, require_restorable, restore_left_unfinished, unfinished_restore
from fileplane.ids import hash_api_key, new_api_key, new_blob_key
from fileplane.metadata.base import DatabaseDamaged, MetadataStore
from fileplane.metadata.moves import Stage
from fileplane.metadata.shared_database import prepare_shared_database
from fileplane.metadata.sqlite_engine import prepare_database
from fileplane.metadata.sqlite_moves import SourceGate
from fileplane.opening import BLOBS_NAME, DATABASE_NAME, open_blobs, open_metadata
from fileplane.secrets.master_key import MasterKeySource, MasterKeyUnusable, unlock
from fileplane.settings import Settings

_log = logging.getLogger(__name__)

_LOCK_NAME: Final = "server.lock"
_SHORTEST_KEY: Final = 32
_FEWEST_CHARACTERS: Final = 10
_GUESSABLE: Final = (
    "changeme",
    "change-me",
    "password",
    "secret",
    "example",
    "placeholder",
    "your-api-key",
    "your_api_key",
    "test-key",
    "dummy",
    "openai_api_key",
    "sk-1234",
    "12345678",
    "abcdefgh",
)


class StartRefused(Exception):
    """The server cannot start; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What a first start made. ``shown_key`` is the new API key, or None when the operator chose it."""

    made: bool
    shown_key: str | None
    master_key: Path | None = None
    """Where a master key was made, if one was."""


class ServerLock:
    """Held exclusively while a server starts and shared while it serves, so that a second server on the directory is refused.

    Two servers would sweep each other's uploads at start. Each worker holds the lock too: it outlives a killed parent.
    The administrative commands need no lock, since SQLite admits several processes.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / _LOCK_NAME
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def take_exclusively(self) -> None:
        """Raises :class:`StartRefused` while another server holds it."""
        self._take(fcntl.LOCK_EX)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def share(self) -> None:
        """Lets this server's workers hold it as well. Raises :class:`StartRefused`."""
        self._take(fcntl.LOCK_SH)

    def release(self) -> None:
        """Lets go of it; to be called at most once."""
        os.close(self._descriptor)

    def _take(self, how: int) -> None:
        try:
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace") or "unknown"
            raise StartRefused(
                f"Another server (process {holder}) uses the data directory {self._path.parent}. Stop it, give this one more --workers "
                "instead of a second server, or start it with another --data-dir."
            ) from error


def prepare_data_directory(settings: Settings) -> tuple[ServerLock, FirstStart]:
    """Everything before the first request: directory, lock, database, first key, and the sweep of what a killed server left.

    Raises :class:`StartRefused` or :class:`~fileplane.metadata.base.DatabaseUnusable`.
    """
    data_dir = settings.data_dir
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = ServerLock(data_dir)
        lock.take_exclusively()
        if restore_left_unfinished(data_dir):
            raise StartRefused(unfinished_restore(data_dir))
        _prepare_database(settings)
        first_start = asyncio.run(_start(settings))
    except (BucketUnusable, LinksImpossible, MovedAway) as error:
        raise StartRefused(str(error)) from error
    except OSError as error:
        raise StartRefused(
            f"The data directory {data_dir} cannot be used: {error.strerror or error}. Make it writable and give it room, or choose "
            "another --data-dir."
        ) from error
    except MasterKeyUnusable as error:
        raise StartRefused(str(error)) from error
    except StorageUnavailable as error:
        raise StartRefused(
            f"The data directory {data_dir} cannot be written: {error.__cause__ or error}. Give it room and start again."
        ) from error
    lock.share()
    return lock, first_start


def _prepare_database(settings: Settings) -> None:
    if settings.database_url is not None:
        prepare_shared_database(settings.database_url)
        return
    require_database_of_blobs(settings.data_dir)
    prepare_database(settings.data_dir / DATABASE_NAME)


@contextmanager
def locked_for_restore(data_dir: Path) -> Iterator[None]:
    """Makes the directory when it is missing, and keeps every server out of it, for good until the restore is finished.

    Raises :class:`StartRefused` while a server uses it, :class:`~fileplane.files.backup_directory.BackupFailed` when it is not empty, and
    OSError.
    """
    require_restorable(data_dir)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = ServerLock(data_dir)
    try:
        lock.take_exclusively()
        require_restorable(data_dir)
        begin_restore(data_dir)
        yield
    finally:
        lock.release()


def require_database_of_blobs(data_dir: Path) -> None:
    """Blobs without a database are those of one that was lost: to begin anew beside them would hide that.

    Raises :class:`~fileplane.metadata.base.DatabaseDamaged`.
    """
    database = data_dir / DATABASE_NAME
    if any((data_dir / BLOBS_NAME).glob("[0-9a-f][0-9a-f]/*")) and not (database.exists() and database.stat().st_size):
        raise DatabaseDamaged(
            f"The database {database} is damaged: it is missing or empty, although there are blobs. Nothing was changed. Restore it from a "
            "backup, or start with another --data-dir."
        )


async def _start(settings: Settings) -> FirstStart:
    if settings.blob_store.is_local:
        async with open_blobs(settings) as blobs:
            await sweep_abandoned_uploads(blobs)
    else:
        # Other nodes may be uploading to it: what is abandoned there is the janitor's, once it is old enough.
        await require_honest_store(settings)
    async with open_metadata(settings) as metadata:
        stage = await require_present(metadata, blobs_here=settings.blob_store.is_local)
        if not settings.blob_store.is_local:
            await _claim_blobs(settings, metadata)
        if stage is Stage.BLOBS_MOVED:
            await asyncio.to_thread(SourceGate(settings.data_dir / DATABASE_NAME).use_with_blobs_at, str(settings.blob_store))
        source = MasterKeySource(settings.data_dir, settings.master_key, shared=settings.database_url is not None)
        _, key_made = await unlock(metadata, source)
        master_key = source.path if key_made else None
        if await metadata.list_api_keys():
            return FirstStart(made=False, shown_key=None, master_key=master_key)
        chosen = settings.bootstrap_api_key
        if chosen is not None:
            check_chosen_key(chosen)
        key = chosen or new_api_key()
        made = await metadata.bootstrap(hash_api_key(key), key[-4:], ALL_SCOPES)
    return FirstStart(made, key if made and chosen is None else None, master_key)


async def require_honest_store(settings: Settings) -> None:
    """Tries the object store with blobs of its own, and whether links to it can be signed where they are wanted.

    Raises :class:`StartRefused`, :class:`~fileplane.blobs.bucket.BucketUnusable` or :class:`~fileplane.blobs.bucket.LinksImpossible`.
    """
    # Imported here, so that servers with local blobs neither need nor load the libraries.
    from fileplane.blobs.opening import open_for_probes  # noqa: PLC0415 - see above

    examination = open_for_probes(settings.blob_store, deadline_seconds=settings.storage_deadline_seconds)
    try:
        async for probe in examination.run():
            _log.debug("the blob store passes the probe '%s' in %.3f s", probe.name, probe.seconds)
    except ProbeFailed as error:
        raise StartRefused(
            f"The blob store {settings.blob_store} is not fit for files. It fails the probe '{error.probe}': {error.seen} "
            "Nothing was stored. `fileplane doctor` tries it again."
        ) from error
    finally:
        await examination.close()
    if settings.content_delivery == "redirect":
        async with open_blobs(settings) as blobs:
            await cast("BlobLinks", blobs).link(new_blob_key(), ShownAs("text/plain", "attachment"), settings.redirect_seconds)


async def _claim_blobs(settings: Settings, metadata: MetadataStore) -> None:
    """Raises :class:`StartRefused` where the blobs belong to another database, whose files this one's janitor would remove."""
    await metadata.store_identity()  # so that what fails below is the blob store
    try:
        async with open_blobs(settings) as blobs:
            await claim_blobs(metadata, blobs, str(settings.blob_store))
    except BlobsOfAnother as error:
        raise StartRefused(str(error)) from error
    except StorageUnavailable as error:
        raise StartRefused(
            f"The blob store {settings.blob_store} cannot be asked whose blobs it has: {error.__cause__ or error}. Start again when it can."
        ) from error


def check_chosen_key(key: str) -> None:
    """Raises :class:`StartRefused` for an API key that somebody could guess."""
    reason = None
    allowed = set(string.ascii_letters + string.digits + string.punctuation)
    if len(key) < _SHORTEST_KEY:
        reason = f"has fewer than {_SHORTEST_KEY} characters"
    elif not set(key) <= allowed:
        reason = "has characters other than printable ASCII"
    elif len(set(key)) < _FEWEST_CHARACTERS:
        reason = "repeats too few characters"
    elif any(word in key.lower() for word in _GUESSABLE):
        reason = "contains a well-known word or placeholder"
    if reason is not None:
        raise StartRefused(
            f"FILEPLANE_BOOTSTRAP_API_KEY {reason}. Leave it out and a random key is made, or set one such as "
            "`python3 -c 'import secrets; print(secrets.token_urlsafe(32))'` prints."
        )
