"""Resumable uploads to the native store, as tus has them: an upload in parts, whose parts are what each request brought, in order.

What has come when a connection breaks is kept: it is committed as a part, and the next request goes on behind it. A request that brings
much makes a part of each :func:`~fileplane.resumable.full_part_bytes`, and of what has come in :data:`PART_SECONDS`, so that a server that
is killed loses no more than that. Small parts that lie side by side are merged once there are many, so that neither a line that breaks
all the time nor a client that sends a byte at a time comes to the most parts that an upload may have.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fileplane.access import Principal
from fileplane.blobs.base import BlobMissing, BlobStore
from fileplane.clock import Clock
from fileplane.errors import (
    ChecksumMismatch,
    ClientDisconnected,
    FileTooLarge,
    RequestTimeout,
    StorageUnavailable,
    UploadGone,
    UploadLocked,
    UploadNotPending,
)
from fileplane.files.allowance import Received, Uploads
from fileplane.files.findings import Kind
from fileplane.files.form import FormField, largest_of
from fileplane.files.janitor import Janitor
from fileplane.files.manifests import open_manifest
from fileplane.files.part_records import discarding, recorded
from fileplane.files.reading import damaged
from fileplane.files.room import Room
from fileplane.files.settling import Settler
from fileplane.files.turns import Interrupted, Turn, Turns
from fileplane.files.uploads import NativeUploads, PartForm, preview
from fileplane.ids import new_blob_key
from fileplane.metadata.base import MetadataStore
from fileplane.model import FileStatus, Origin, StoredBlob
from fileplane.resumable import MANY_PARTS, Append, NewResumable, Resumable, full_part_bytes, to_merge
from fileplane.settings import Settings
from fileplane.uploads import NewPart, Part, UploadStatus

PART_SECONDS: Final = 30.0
CHECKSUMS: Final[dict[str, Callable[[], hashlib._Hash]]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
}
"""The algorithms of Upload-Checksum, of which tus asks for SHA-1 at least."""

_BROKEN: Final = (ClientDisconnected, RequestTimeout, Interrupted)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announced:
    """What a resumable upload is created with. ``length`` is None when it is deferred; ``fields`` as those of an upload's form."""

    length: int | None
    metadata: str
    fields: Sequence[FormField]
    filename: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Checksum:
    """Of a request's body, by the name of an algorithm in :data:`CHECKSUMS`."""

    algorithm: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Appending:
    """A request that appends: its body, of which nothing has been read, and what its headers say.

    ``declared`` is the body's length, if it is known; ``length`` that of the upload, where the request tells it.
    """

    offset: int
    body: AsyncIterator[bytes]
    declared: int | None
    received: Received
    length: int | None = None
    checksum: Checksum | None = None


class _Verified:
    """The :class:`~fileplane.blobs.base.Inspector` of a body with a checksum."""

    def __init__(self, checksum: Checksum) -> None:
        self._expected = checksum.digest
        self._digest: hashlib._Hash = CHECKSUMS[checksum.algorithm]()

    def feed(self, data: bytes, alongside: Callable[[bytes | memoryview], object]) -> None:
        alongside(data)
        self._digest.update(data)

    def require(self) -> None:
        if self._digest.digest() != self._expected:
            raise ChecksumMismatch


class ResumableUploads:
    """create, append, look and terminate, each for the caller's own project only."""

    def __init__(
        self,
        metadata: MetadataStore,
        blobs: BlobStore,
        janitor: Janitor,
        settler: Settler,
        native: NativeUploads,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._janitor = janitor
        self._settler = settler
        self._native = native
        self._settings = settings
        self._clock = clock
        self._uploads = Uploads(metadata, settings)
        self._turns = Turns(metadata, settings, clock)

    async def settle(self) -> None:
        """To be called before the stores are closed: returns when all that has ended has been seen to."""
        await self._turns.settle()
        await self._uploads.settle()

    async def create(self, principal: Principal, announced: Announced) -> Resumable:
        """Records an upload. Raises as :meth:`NativeUploads.create`."""
        new = await self._native.announced(
            principal, announced.length or 0, announced.fields, announced.filename, announced.media_type, "upload-length"
        )
        wanted = NewResumable(new, announced.metadata, announced.length is None)
        return await self._metadata.create_resumable(principal.project_id, wanted, self._settings.tus_expiry_seconds)

    async def look(self, principal: Principal, upload_id: str) -> Resumable:
        """How far an upload has come. Whatever request appends to it ends, so that the next one can go on from there.

        Raises :class:`~fileplane.errors.UploadNotFound` and :class:`~fileplane.errors.UploadGone`.
        """
        return _there(await self._turns.ended(principal.project_id, upload_id))

    async def get(self, principal: Principal, upload_id: str) -> Resumable:
        """The same, without ending anything."""
        return _there(await self._metadata.get_resumable(principal.project_id, upload_id))

    async def append(self, principal: Principal, upload_id: str, request: Appending, origin: Origin) -> Resumable:
        """Appends the body. With the last byte the file is made. Whatever comes of the request, what :meth:`look` tells then is durable.

        A body that breaks off, or comes too slowly, is kept as far as it has come, unless it has a checksum; and so it is when somebody
        else asks for the offset meanwhile, for which :class:`~fileplane.errors.UploadLocked` is raised. Raises what
        :meth:`ResumableStore.take_turn` and :meth:`ResumableStore.append_part` raise, :class:`~fileplane.errors.FileTooLarge`,
        :class:`~fileplane.errors.ChecksumMismatch`, and what an upload's room raises.
        """
        found = await self.get(principal, upload_id)
        if found.upload.status == UploadStatus.COMPLETED and request.offset == found.received:
            # What is sent again by a client that did not get its answer, and brings nothing.
            if request.declared or (request.declared is None and await anext(request.body, None) is not None):
                raise _beyond(found.length, 0, "")
            return found
        self._require_fits(principal, found, request)
        await self._room(principal, request.received).admit(request.declared)
        async with (
            self._uploads.going_on(principal, request.received),
            self._turns.taken(principal.project_id, upload_id, request.offset, request.length) as turn,
        ):
            await self._receive(principal, turn, request, origin)
        file = turn.upload.upload.file
        if file is not None and file.status == FileStatus.UPLOADED:
            self._settler.begin(file)
        return turn.upload

    async def terminate(self, principal: Principal, upload_id: str) -> None:
        """Ends an upload that is not complete, with all that has come of it.

        Raises :class:`~fileplane.errors.UploadNotFound`, :class:`~fileplane.errors.UploadGone`, and
        :class:`~fileplane.errors.UploadLocked` when it was completed meanwhile.
        """
        await self.get(principal, upload_id)
        try:
            await self._native.cancel(principal, upload_id)
        except UploadNotPending as error:
            raise UploadLocked from error

    def _require_fits(self, principal: Principal, found: Resumable, request: Appending) -> None:
        length = found.length if request.length is None else request.length
        largest, setter = largest_of(self._settings, principal.limits, found.upload.purpose)
        if length is not None and length > largest:
            raise FileTooLarge(f"The file is larger than {largest} bytes, the limit {setter}.", param="upload-length")
        if not request.declared or request.offset != found.received:
            return  # the second is told when the turn is taken
        if request.offset + request.declared > (largest if length is None else length):
            raise _beyond(length, largest, setter)
        if request.checksum is not None and request.declared > self._settings.max_part_bytes:
            raise _unverifiable(self._settings.max_part_bytes)

    async def _receive(self, principal: Principal, turn: Turn, request: Appending, origin: Origin) -> None:
        while True:
            if turn.upload.parts >= MANY_PARTS:
                await self._merge(principal, turn)
            room = self._room(principal, request.received)
            await room.admit(None)
            part = _PartInProgress(self._settings, principal, turn, request, self._clock)
            blob = await part.write(self._blobs, room)
            if blob is not None or turn.upload.received == turn.upload.length:
                await self._record(principal, turn, part, blob, room, origin)
            if isinstance(part.broken, Interrupted):
                raise UploadLocked from part.broken
            if part.broken is not None:
                raise part.broken
            if part.is_last or turn.upload.upload.file is not None:
                return

    async def _record(
        self, principal: Principal, turn: Turn, part: _PartInProgress, blob: StoredBlob | None, room: Room, origin: Origin
    ) -> None:
        received = part.request.received
        new = None if blob is None else NewPart(blob, principal.key_id, received.bytes)
        ends = part.is_last or part.broken is not None
        own, lifetime = turn.upload, self._settings.tus_expiry_seconds
        wanted = Append(new, principal.key_id, room.quota_bytes, principal.limits, lifetime, origin, ends, own.length)

        async def append() -> Resumable:
            return await self._metadata.append_part(principal.project_id, own.upload.id, own.turn, wanted)

        turn.upload = await (append() if blob is None else recorded(self._blobs, blob, room, append))
        received.bytes = 0  # counted with the part

    async def _merge(self, principal: Principal, turn: Turn) -> None:
        held, project_id = turn.upload, principal.project_id
        parts = await self._metadata.resumable_parts(project_id, held.upload.id)
        chosen = to_merge(parts, full_part_bytes(self._settings.max_part_bytes, held.length))
        if len(chosen) <= 1:
            return
        blob = await self._merged(turn, chosen)
        async with discarding(self._blobs, blob):
            new = NewPart(blob, principal.key_id)
            given_up = await self._metadata.merge_parts(project_id, held.upload.id, held.turn, chosen, new)
        turn.upload = replace(held, parts=held.parts - len(chosen) + 1)
        try:
            await self._janitor.collect_parts(given_up)
        except StorageUnavailable as error:
            _log.warning("parts that were merged are left for the janitor: %s", error, exc_info=error)

    async def _merged(self, turn: Turn, chosen: Sequence[Part]) -> StoredBlob:
        held = turn.upload
        file = replace(preview(held.upload), bytes=sum(part.bytes for part in chosen))

        async def may_be_gone() -> bool:
            """Raises what has become of it, where somebody else has merged the parts by now, or the upload is over: that is no damage."""
            if _there(await self._metadata.get_resumable(file.project_id, file.id)).turn != held.turn:
                raise UploadLocked
            return False

        try:
            # Held against the parts' own hashes: what is damaged must not get a hash that says it is not.
            async with (
                self._blobs.writer(new_blob_key()) as writer,
                open_manifest(self._blobs, file, chosen, is_given_up=may_be_gone, verified=True) as reader,
            ):
                async for piece in reader:
                    await writer.write(piece)
                return await writer.commit()
        except BlobMissing as error:
            await may_be_gone()
            raise damaged(file, Kind.MISSING_BLOB) from error

    def _room(self, principal: Principal, received: Received) -> Room:
        return Room(principal, self._metadata, self._janitor, self._settings, self._clock, None, received)


class _PartInProgress:
    """One part, filled from a request's body until it is full, or the body ends or breaks off."""

    def __init__(self, settings: Settings, principal: Principal, turn: Turn, request: Appending, clock: Clock) -> None:
        self._turn = turn
        self.request = request
        self._clock = clock
        self._full = full_part_bytes(settings.max_part_bytes, turn.upload.length)
        self._largest, self._setter = largest_of(settings, principal.limits, turn.upload.upload.purpose)
        self.is_last = False
        self.broken: Exception | None = None
        self._size = 0

    async def write(self, blobs: BlobStore, room: Room) -> StoredBlob | None:
        """The part's blob, durable, or None when there is nothing to keep."""
        checksum = self.request.checksum
        verified = None if checksum is None else _Verified(checksum)
        async with blobs.writer(new_blob_key(), verified) as writer:
            try:
                async for piece in self._pieces():
                    await room.take(PartForm(), self._size)
                    await writer.write(piece)
            except _BROKEN as error:
                self.broken = error
            if self._size == 0:
                if verified is not None and self.broken is None:
                    verified.require()
                return None
            if verified is not None and self.broken is not None:
                return None  # whether these bytes are what was sent cannot be told
            blob = await writer.commit()
        if verified is not None:
            async with discarding(blobs, blob, ChecksumMismatch):
                verified.require()
        return blob

    async def _pieces(self) -> AsyncIterator[bytes]:
        until: float | None = None
        while not self._is_full(until):
            piece = await self._turn.following(self.request.body)
            if piece is None:
                self.is_last = True
                return
            self._size += len(piece)
            self._require_within()
            until = self._clock.monotonic() + PART_SECONDS if until is None else until
            yield piece

    def _is_full(self, until: float | None) -> bool:
        if self.request.checksum is not None:
            return False  # it is that of the whole body, of which nothing is kept without it
        if self._turn.upload.received + self._size == self._turn.upload.length:
            return False  # whether the body ends here, too, is still to be seen
        return self._size >= self._full or (until is not None and self._clock.monotonic() >= until)

    def _require_within(self) -> None:
        upload = self._turn.upload
        if upload.received + self._size > (self._largest if upload.length is None else upload.length):
            raise _beyond(upload.length, self._largest, self._setter)
        if self.request.checksum is not None and self._size > self._full:
            raise _unverifiable(self._full)


def _there(found: Resumable) -> Resumable:
    upload = found.upload
    if upload.status != UploadStatus.PENDING and upload.file is None:
        raise UploadGone(upload.status)
    return found


def _beyond(length: int | None, largest: int, setter: str) -> FileTooLarge:
    if length is None:
        return FileTooLarge(f"The file is larger than {largest} bytes, the limit {setter}.", param="upload-length")
    return FileTooLarge(f"The body goes beyond the upload's length of {length} bytes.", param="upload-length")


def _unverifiable(most: int) -> FileTooLarge:
    return FileTooLarge(
        f"A body with a checksum may have {most} bytes. Send it in several requests, each with its own.", param="upload-checksum"
    )
