"""The native store: the operations on files whose bytes are kept here."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec

from fileplane.access import Principal, Whose
from fileplane.blobs.base import BlobKeyInvalid, BlobMissing, BlobReader, BlobStore
from fileplane.clock import Clock, SystemClock
from fileplane.errors import (
    FileNotFound,
    FileplaneError,
    FileQuotaExceeded,
    IdempotencyConflict,
    InvalidValue,
    RateLimited,
    StorageQuotaExceeded,
    StorageUnavailable,
)
from fileplane.files.allowance import Received, Uploads
from fileplane.files.findings import Kind
from fileplane.files.form import FormField, UploadEvent, UploadForm
from fileplane.files.inspection import Inspection, recorded, refuse_invalid
from fileplane.files.janitor import Janitor, discard_refused_blob
from fileplane.files.manifests import open_manifest
from fileplane.files.reading import CountingReader, VerifyingReader, count_unreadable, damaged, is_given_up
from fileplane.files.room import Room
from fileplane.ids import new_blob_key
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.metadata.catalog import NewCopy
from fileplane.metadata.control import VirtualKeyNotFound
from fileplane.metrics import IDEMPOTENT_REPLAYS, VERDICTS
from fileplane.model import CreatedFile, File, FilePage, FileQuery, Hold, Idempotency, NewFile, Origin, Span, StoredBlob
from fileplane.settings import Settings
from fileplane.uploads import manifest_of

_log = logging.getLogger(__name__)


class NativeFiles:
    """create, list, get, open and delete, and the rest of a file's life, each for the caller's own project only."""

    def __init__(self, metadata: MetadataStore, blobs: BlobStore, janitor: Janitor, settings: Settings, clock: Clock | None = None) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._janitor = janitor
        self._settings = settings
        self._clock = clock or SystemClock()
        self._uploads = Uploads(metadata, settings)

    async def settle(self) -> None:
        """To be called before the stores are closed: returns when all that has ended has been seen to."""
        await self._uploads.settle()

    async def create(
        self,
        principal: Principal,
        origin: Origin,
        events: AsyncIterator[UploadEvent],
        declared_length: int | None,
        idempotency_key: str | None = None,
        received: Received | None = None,
    ) -> CreatedFile:
        """Streams one upload into the store and records it.

        ``declared_length`` is the length of the whole form, if the client gave it: what cannot fit is refused before ``events`` is
        read at all. Returns once blob and record are durable; whatever is raised leaves neither. An ``idempotency_key`` used within 24
        hours gives the file of then, if bytes, purpose, name and expiry are the same. ``received`` counts the body's bytes as
        ``events`` are read; they count towards the day, also those of an upload that fails.
        """
        received = received or Received()
        key_hash = None if idempotency_key is None else hashlib.sha256(idempotency_key.encode()).digest()
        room = await self._room(principal, key_hash, declared_length, received)
        async with self._uploads.going_on(principal, received):
            return await self._take(principal, origin, events, key_hash, room, received)

    async def create_from_copy(
        self, principal: Principal, origin: Origin, events: AsyncIterator[UploadEvent], size: int, received: Received
    ) -> CreatedFile:
        """As :meth:`create`, of a file of ``size`` bytes whose upload has come already: whoever calls holds its place and counts it."""
        return await self._take(principal, origin, events, None, await self._room(principal, None, size, received), received)

    async def require_room(self, principal: Principal, declared_length: int | None) -> None:
        """Refuses a form of that length, if it is known, whose file could not be kept here. Raises as :meth:`create` does unread."""
        await self._room(principal, None, declared_length, Received())

    @asynccontextmanager
    async def copied(self, principal: Principal, content: AsyncIterator[bytes], form: UploadForm, size: int) -> AsyncIterator[NewCopy]:
        """The bytes of an upload that goes to a provider, kept here too and durable; the block is to record them.

        ``size`` is their number. Raises what :meth:`create` does for a file that there is no room for, before anything is written. What the
        block raises that says that nothing was recorded removes them; what nobody can say that of is left to the janitor.
        """
        room = await self._room(principal, None, size + self._settings.max_form_overhead_bytes, Received())
        await room.take(form, size)
        async with self._blobs.writer(new_blob_key()) as writer:
            async for piece in content:
                await writer.write(piece)
            blob = await writer.commit()
        async with self._discarding(blob, BaseException):
            await room.settle(size)
        try:
            yield NewCopy(blob, room.quota_bytes, principal.limits)
        except (FileplaneError, VirtualKeyNotFound) as error:
            if not isinstance(error, StorageUnavailable) or error.nothing_changed:
                await discard_refused_blob(self._blobs, blob.key)
            raise

    async def discard(self, copy: NewCopy) -> None:
        """Removes a copy that was not needed, since the upload was the repetition of another."""
        await discard_refused_blob(self._blobs, copy.blob.key)

    async def _room(self, principal: Principal, key_hash: bytes | None, declared_length: int | None, received: Received) -> Room:
        """The room of an upload that has been admitted to it. Raises as :meth:`Room.admit`."""
        repeated = None if key_hash is None else await self._metadata.repeated_upload_bytes(principal.project_id, key_hash)
        room = Room(principal, self._metadata, self._janitor, self._settings, self._clock, repeated, received)
        try:
            await room.admit(declared_length)
        except (StorageQuotaExceeded, FileQuotaExceeded):
            if key_hash is None or repeated is not None:
                raise
            # What has just taken the last room may be the file that this one repeats.
            repeated = await self._metadata.repeated_upload_bytes(principal.project_id, key_hash)
            if repeated is None:
                raise
            room = Room(principal, self._metadata, self._janitor, self._settings, self._clock, repeated, received)
            await room.admit(declared_length)
        return room

    async def _take(
        self,
        principal: Principal,
        origin: Origin,
        events: AsyncIterator[UploadEvent],
        key_hash: bytes | None,
        room: Room,
        received: Received,
    ) -> CreatedFile:
        form, inspection = UploadForm(self._settings, principal), Inspection(self._settings)
        async with self._blobs.writer(new_blob_key(), inspection) as writer:
            size = 0
            async for event in events:
                if isinstance(event, bytes):
                    size += len(event)
                    await room.take(form, size)
                    await writer.write(event)
                elif isinstance(event, FormField):
                    form.take_field(event)
                    await room.take(form, size)
                else:
                    form.begin_file(event)
                    inspection.begin(form.filename, form.known_purpose)
            form.require_complete()
            blob = await writer.commit()
        # From here on a blob that is certain to have no record is removed, whatever is raised.
        async with self._discarding(blob, BaseException):
            verdict = await inspection.verdict(form.purpose, self._blobs, blob.key)
            refuse_invalid(verdict, self._settings)
        new = NewFile(
            blob,
            form.purpose,
            form.filename,
            form.media_type,
            principal.key_id,
            form.expires_after,
            **recorded(verdict),
            received_bytes=received.bytes,
        )
        idempotency = None if key_hash is None else Idempotency(key_hash, _fingerprint(new))
        created = await self._record(principal, new, origin, idempotency, room)
        received.recorded = True
        if verdict is not None:
            VERDICTS.add(1, form.purpose, "valid" if verdict.valid else "invalid")
        if created.repeated:
            IDEMPOTENT_REPLAYS.add(1)
            await discard_refused_blob(self._blobs, blob.key)
        return created

    async def _record(self, principal: Principal, new: NewFile, origin: Origin, idempotency: Idempotency | None, room: Room) -> CreatedFile:
        async def create() -> CreatedFile:
            return await self._metadata.create_file(principal.project_id, new, room.quota_bytes, origin, idempotency, principal.limits)

        async with self._discarding(new.blob, IdempotencyConflict, FileQuotaExceeded, RateLimited):
            try:
                return await create()
            except StorageQuotaExceeded as refusal:
                # Only now, with all its bytes here, is anything given up for it.
                async with self._discarding(new.blob, BaseException):
                    if refusal.whose is Whose.KEY:
                        raise
                    await room.settle(new.blob.size)
            async with self._discarding(new.blob, StorageQuotaExceeded):
                return await create()

    @asynccontextmanager
    async def _discarding(self, blob: StoredBlob, *refusals: type[BaseException]) -> AsyncIterator[None]:
        """Removes the blob when the block raises one of ``refusals``, or what says that nothing was recorded."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, refusals) or (isinstance(error, StorageUnavailable) and error.nothing_changed):
                await discard_refused_blob(self._blobs, blob.key)
            raise

    async def list(self, principal: Principal, query: FileQuery) -> FilePage:
        """One page. Raises :class:`~fileplane.errors.InvalidValue` for a cursor that the project does not have."""
        try:
            return await self._metadata.list_files(principal.project_id, query)
        except CursorNotFound as error:
            raise InvalidValue("Invalid 'after': no such file. Use the id of a file from the page before.", param="after") from error

    async def get(self, principal: Principal, file_id: str) -> File:
        """Raises :class:`~fileplane.errors.FileNotFound`."""
        return await self._metadata.get_file(principal.project_id, file_id)

    async def validation(self, principal: Principal, file_id: str) -> dict[str, object]:
        """The verdict on a file. Raises :class:`~fileplane.errors.FileNotFound` or :class:`~fileplane.errors.ValidationNotFound`."""
        text = await self._metadata.get_validation(principal.project_id, file_id)
        return msgspec.json.decode(text, type=dict[str, object])

    @asynccontextmanager
    async def open(self, file: File, span: Span | None = None) -> AsyncIterator[BlobReader]:
        """The bytes of a file that :meth:`get` has just returned. With ``verify_reads``, whole files are hashed on the way.

        Raises :class:`~fileplane.errors.StorageIntegrityError` when the blob is missing or has another size than the record says, and
        :class:`~fileplane.errors.FileNotFound` when the file was purged meanwhile and it is missing because of that.
        """
        verified = span is None and self._settings.verify_reads
        upload_id = manifest_of(file.blob_key)
        try:
            if upload_id is not None:
                parts = await self._metadata.manifest_parts(file.project_id, upload_id)
                gone = partial(is_given_up, self._metadata, file)
                async with open_manifest(self._blobs, file, parts, span, is_given_up=gone, verified=verified) as whole:
                    yield whole
                return
            async with self._blobs.open(file.blob_key, span, file.bytes) as reader:
                if reader.size != file.bytes:
                    raise damaged(file, Kind.WRONG_SIZE)
                yield VerifyingReader(reader, file) if verified else CountingReader(reader, file)
        except BlobMissing as error:
            if await is_given_up(self._metadata, file):
                raise FileNotFound(file.id) from error
            raise damaged(file, Kind.MISSING_BLOB) from error
        except BlobKeyInvalid as error:
            raise damaged(file, Kind.INVALID_KEY) from error
        except StorageUnavailable as error:
            count_unreadable(error)
            raise

    async def only_blob(self, file: File) -> str | None:
        """The key of the one blob that a file consists of, also of a single part; None for a file of several."""
        upload_id = manifest_of(file.blob_key)
        if upload_id is None:
            return file.blob_key
        if file.bytes > self._settings.max_part_bytes:
            return None  # hardly one part, unless the setting was larger: not worth looking up ten thousand
        parts = await self._metadata.manifest_parts(file.project_id, upload_id)
        return parts[0].blob_key if len(parts) == 1 and parts[0].bytes == file.bytes else None

    async def delete(self, principal: Principal, file_id: str, origin: Origin) -> None:
        """Marks the file as deleted: no later call sees it, but it can be restored for a while.

        Raises :class:`~fileplane.errors.FileNotFound` or :class:`~fileplane.errors.FileInUse`.
        """
        await self._metadata.delete_file(principal.project_id, file_id, self._settings.deleted_retention_seconds, origin)

    async def purge(self, principal: Principal, file_id: str, origin: Origin) -> None:
        """Deletes a live or restorable file for good, and makes its room free at once where the blob store answers.

        Raises :class:`~fileplane.errors.FileNotFound` or :class:`~fileplane.errors.FileInUse`.
        """
        remains = await self._metadata.purge_file(principal.project_id, file_id, origin)
        try:
            await self._janitor.collect([remains])
        except StorageUnavailable as error:
            _log.warning("the bytes of a purged file are left for the janitor: %s", error, exc_info=error)

    async def restore(self, principal: Principal, file_id: str, origin: Origin) -> File:
        """Takes a deletion back.

        Raises :class:`~fileplane.errors.FileNotFound`, :class:`~fileplane.errors.StorageQuotaExceeded` or
        :class:`~fileplane.errors.FileQuotaExceeded`.
        """
        own = principal.project_limits.storage_bytes
        quota = self._settings.project_quota_bytes if own is None else own
        return await self._metadata.restore_file(principal.project_id, file_id, quota, origin, principal.project_limits)

    async def hold(self, principal: Principal, file_id: str, reason: str, expires_in: int | None, origin: Origin) -> Hold:
        """Keeps a file from being deleted or purged, and from expiring. Raises :class:`~fileplane.errors.FileNotFound`."""
        return await self._metadata.hold_file(principal.project_id, file_id, reason, expires_in, origin)

    async def holds(self, principal: Principal, file_id: str) -> tuple[Hold, ...]:
        """The active holds, oldest first. Raises :class:`~fileplane.errors.FileNotFound`."""
        return tuple(await self._metadata.list_holds(principal.project_id, file_id))

    async def release(self, principal: Principal, file_id: str, hold_id: str, origin: Origin) -> None:
        """Ends a hold. Raises :class:`~fileplane.errors.FileNotFound` or :class:`~fileplane.errors.HoldNotFound`."""
        await self._metadata.release_hold(principal.project_id, file_id, hold_id, origin)


def _fingerprint(new: NewFile) -> bytes:
    """What has to be the same in every upload with one idempotency key."""
    parts = (new.blob.sha256, new.purpose, new.filename, str(new.expires_after))
    return hashlib.sha256("\0".join(parts).encode()).digest()
