"""The composition of `fileplane migrate-store`: both places of a store, checked before anything is moved."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from fileplane.blobs.base import BlobStore, Claimable
from fileplane.data_directory import require_honest_store
from fileplane.files.moving import Move, Moved
from fileplane.files.moving_blobs import BlobMove, MoveStopped
from fileplane.files.ownership import claim_blobs
from fileplane.ids import new_holder
from fileplane.metadata.base import MetadataStore
from fileplane.metadata.move_journal import MoveJournal
from fileplane.metadata.moves import Stage
from fileplane.metadata.shared_database import arrival_of_database
from fileplane.metadata.sqlite_moves import SourceGate
from fileplane.opening import DATABASE_NAME, open_blobs
from fileplane.secrets.envelope import MasterKey
from fileplane.secrets.master_key import MasterKeySource
from fileplane.settings import Settings

if TYPE_CHECKING:
    from fileplane.metadata.postgres_arrival import PostgresArrival

_JOURNAL_NAME: Final = "migrate-store.db"
_LOCK_NAME: Final = "migrate-store.lock"


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What would be moved. ``stage`` is how far the old place says that a move is; ``master_key_id`` is what the new one needs."""

    files: int
    bytes: int
    database: bool
    blobs: str | None
    brought_blobs: int
    begun: bool
    stage: Stage | None
    master_key_id: str | None


class Migration:
    """The way from the stores of ``old``, which are open, to the places of ``new``, which :func:`new_settings` has made.

    Both methods raise :class:`MoveStopped`, :class:`~fileplane.metadata.base.DatabaseUnusable`,
    :class:`~fileplane.data_directory.StartRefused`, :class:`~fileplane.blobs.bucket.BucketUnusable`,
    :class:`~fileplane.files.ownership.BlobsOfAnother` and :class:`~fileplane.errors.StorageUnavailable`.
    """

    def __init__(self, old: Settings, new: Settings, metadata: MetadataStore, blobs: BlobStore) -> None:
        self._old, self._new = old, new
        self._metadata, self._blobs = metadata, blobs
        self._gate = SourceGate(old.data_dir / DATABASE_NAME)
        self._moves_blobs = new.blob_store != old.blob_store
        self._journal_path = old.data_dir / _JOURNAL_NAME

    async def plan(self) -> MovePlan:
        """Looks at both places; nothing is changed but for what the probes of the new blob store write and remove."""
        master_key_id = await self._master_key_id()
        store_id = await self._metadata.store_identity()
        found = await asyncio.to_thread(self._arrival(store_id).look) if self._new.database_url is not None else None
        if self._moves_blobs:
            await require_honest_store(self._new)
            async with open_blobs(self._new) as blobs:
                owner = await cast("Claimable", blobs).owner()
            if owner not in {None, store_id}:
                raise MoveStopped(
                    f"The blobs in {self._new.blob_store} belong to another database ({owner}). Name another bucket or prefix."
                )
        refusal = await asyncio.to_thread(self._gate.refusal)
        usage = await self._metadata.total_usage()
        return MovePlan(
            usage.live_files + usage.deleted_files,
            usage.stored_bytes,
            self._new.database_url is not None,
            str(self._new.blob_store) if self._moves_blobs else None,
            await asyncio.to_thread(self._brought_before, store_id),
            found is not None and found.begun,
            None if refusal is None else refusal.stage,
            master_key_id,
        )

    async def run(self, *, allow_missing: bool, tell: Callable[[str], None]) -> Moved:
        """Moves everything. :meth:`plan` came before, in this process."""
        store_id = await self._metadata.store_identity()
        with _locked(self._old.data_dir):
            records = self._arrival(store_id) if self._new.database_url is not None else None
            token_there = (await asyncio.to_thread(records.begin)).token if records is not None else None
            if not self._moves_blobs:
                return await Move(self._gate, None, records, new_holder(), allow_missing, tell).run(token_there)
            async with open_blobs(self._new) as target:
                await claim_blobs(self._metadata, target, str(self._new.blob_store))
                journal = self._journal(store_id)
                try:
                    blobs = BlobMove(self._metadata, self._blobs, target, journal, tell)
                    moved = await Move(self._gate, blobs, records, new_holder(), allow_missing, tell).run(token_there)
                    await asyncio.to_thread(journal.remove)
                finally:
                    journal.close()
            return moved

    def _arrival(self, store_id: str) -> PostgresArrival:
        assert self._new.database_url is not None
        return arrival_of_database(self._old.data_dir / DATABASE_NAME, self._new.database_url, store_id)

    def _journal(self, store_id: str) -> MoveJournal:
        return MoveJournal(self._journal_path, f"{store_id} {self._new.blob_store}")

    def _brought_before(self, store_id: str) -> int:
        if not self._moves_blobs or not self._journal_path.exists():
            return 0
        journal = self._journal(store_id)
        try:
            return journal.count()
        finally:
            journal.close()

    async def _master_key_id(self) -> str | None:
        """The id of the key that stored credentials need at the new place as well; None when there are none."""
        in_force = await self._metadata.master_key_id()
        if in_force is None or not await self._metadata.list_data_keys():
            return None
        given = self._new.master_key
        found = MasterKeySource(self._old.data_dir, given).find(in_force)
        if found is None:
            shown = f"has the id {MasterKey(given).id}" if given is not None else "is missing or another"
            raise MoveStopped(
                f"The master key {shown}, and the stored credentials are encrypted with the one of the id {in_force}. The new servers need "
                "that one. Nothing was changed."
            )
        return in_force


def new_settings(old: Settings, named: Settings) -> Settings:
    """``old`` with the places that ``named`` has. Raises :class:`MoveStopped` where nothing, or something else, would be moved."""
    if old.database_url is not None:
        raise MoveStopped("The records of this store are in PostgreSQL already. Only a store with SQLite can be moved.")
    moves_blobs = not named.blob_store.is_local and named.blob_store != old.blob_store
    if moves_blobs and not old.blob_store.is_local:
        raise MoveStopped("The bytes of this store are in an object store already. Copy them with its own tools, beside the server.")
    if named.database_url is None and not moves_blobs:
        raise MoveStopped("Nothing is to be moved: name a new database, a new blob store, or both.")
    return replace(
        old,
        database_url=named.database_url,
        blob_store=named.blob_store if moves_blobs else old.blob_store,
        master_key=named.master_key or old.master_key,
        content_delivery="proxy",
    )


def take_back(data_dir: Path, *, really: bool) -> Stage | None:
    """Lets a store that was moved, or is being moved, be used where it was. Returns how far the move was, None when there was none.

    Raises :class:`MoveStopped` while it is being moved.
    """
    gate = SourceGate(data_dir / DATABASE_NAME)
    with _locked(data_dir):
        refusal = gate.refusal()
        if refusal is not None and really:
            gate.admit()
        return None if refusal is None else refusal.stage


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    descriptor = os.open(data_dir / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MoveStopped("Another process moves this store. Wait for it.") from error
        yield
    finally:
        os.close(descriptor)
