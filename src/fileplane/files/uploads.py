"""Uploads in parts to the native store (OpenAI's Uploads API): parts in any order and at once, then a file of them, without a copy.

A part counts towards the project as soon as it is durable. Nothing is reserved when an upload is announced: what cannot fit even if all
deleted files went is refused then, but announcements alone keep nobody from uploading, since an hour of them would cost nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

from fileplane.access import Principal
from fileplane.blobs.base import BlobKeyInvalid, BlobMissing, BlobStore
from fileplane.clock import Clock
from fileplane.errors import (
    FileTooLarge,
    InvalidValue,
    MissingParameter,
    StorageIntegrityError,
    StorageUnavailable,
    UnknownParameter,
    UploadNotFound,
    UploadNotPending,
)
from fileplane.files.allowance import Received, Uploads
from fileplane.files.form import FileBegins, FormField, UploadEvent, UploadForm, largest_of
from fileplane.files.inspection import Inspection
from fileplane.files.janitor import Janitor
from fileplane.files.manifests import never_given_up
from fileplane.files.names import clean_filename, media_type_of
from fileplane.files.part_records import recorded
from fileplane.files.room import Room
from fileplane.files.settling import Settler, read_through, settlement_of
from fileplane.ids import new_blob_key
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.model import File, FileStatus, Origin, Remains, StoredBlob
from fileplane.settings import Settings
from fileplane.uploads import Completion, NewPart, NewUpload, Part, Settlement, Upload, UploadPage, UploadQuery, UploadStatus

_MD5_BYTES: Final = 16
_HEX: Final = re.compile(r"[0-9A-Fa-f]{32}")
_log = logging.getLogger(__name__)


class PartForm:
    """The form of a part: one field ``data``, sent as a file or not, and nothing else."""

    limit: Final = (2**62, "")
    """For :class:`Room`, which is not asked for a limit of its own."""

    def __init__(self) -> None:
        self._begun = False

    def take_field(self, field: FormField) -> None:
        """Raises :class:`~fileplane.errors.UnknownParameter`."""
        name = field.name[:80]
        raise UnknownParameter(f"Unknown parameter: '{name}'. A part has 'data' alone.", param=name)

    def begin_file(self, _: FileBegins) -> None:
        """Raises :class:`~fileplane.errors.InvalidValue` for a second one."""
        if self._begun:
            raise InvalidValue("More than one 'data' was sent. Send one part in each request.", param="data")
        self._begun = True

    def require_complete(self, size: int) -> None:
        """To be called at the end of the form."""
        if not self._begun:
            raise MissingParameter("Missing required parameter: 'data'. Send it as a multipart form field.", param="data")
        if size == 0:
            raise InvalidValue("Invalid 'data': a part has at least one byte.", param="data")


class NativeUploads:
    """create, parts, complete, cancel, get and list, each for the caller's own project only."""

    def __init__(
        self,
        metadata: MetadataStore,
        blobs: BlobStore,
        janitor: Janitor,
        settler: Settler,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._janitor = janitor
        self._settler = settler
        self._settings = settings
        self._clock = clock
        self._uploads = Uploads(metadata, settings)

    async def settle(self) -> None:
        """To be called before the stores are closed: returns when all that has ended has been seen to."""
        await self._uploads.settle()

    async def create(self, principal: Principal, size: int, fields: Sequence[FormField], filename: str, media_type: str) -> Upload:
        """Announces a file of ``size`` bytes; ``fields`` are what an upload's form has besides the file.

        Raises an :class:`~fileplane.errors.InvalidRequest` that names the field, MissingScope,
        :class:`~fileplane.errors.FileTooLarge`, :class:`~fileplane.errors.StorageQuotaExceeded`,
        :class:`~fileplane.errors.FileQuotaExceeded` or :class:`~fileplane.errors.RateLimited`.
        """
        new = await self.announced(principal, size, fields, filename, media_type)
        return await self._metadata.create_upload(principal.project_id, new, self._settings.upload_expiry_seconds)

    async def announced(
        self, principal: Principal, size: int, fields: Sequence[FormField], filename: str, media_type: str, param: str = "bytes"
    ) -> NewUpload:
        """What :meth:`create` records, of whatever kind of upload; ``param`` is where its size is said. Raises as :meth:`create`."""
        form = UploadForm(self._settings, principal)
        for field in fields:
            form.take_field(field)
        name = _filename(filename)
        largest, setter = largest_of(self._settings, principal.limits, form.purpose)
        if size > largest:
            raise FileTooLarge(f"The file is larger than {largest} bytes, the limit {setter}.", param=param)
        expires_after = form.expires_after
        await self._room(principal, Received()).announce(size)
        return NewUpload(form.purpose, name, size, media_type_of(name, media_type), principal.key_id, expires_after)

    async def add_part(
        self,
        principal: Principal,
        upload_id: str,
        events: AsyncIterator[UploadEvent],
        declared_length: int | None,
        received: Received,
        target: str = "",
    ) -> Part:
        """Streams one part into the store and records it; whatever is raised leaves neither blob nor record.

        ``declared_length`` is the length of the whole form, if the client gave it; ``target`` that of the upload. Raises
        :class:`~fileplane.errors.UploadNotFound`,
        :class:`~fileplane.errors.UploadNotPending`, :class:`~fileplane.errors.TooManyParts`, :class:`~fileplane.errors.FileTooLarge`, what
        is wrong with the form, and what an upload's room raises.
        """
        upload = await self._upload(principal, upload_id, target)
        if upload.status != UploadStatus.PENDING:
            raise UploadNotPending(upload.status)
        self._require_small(0 if declared_length is None else declared_length - self._settings.max_form_overhead_bytes)
        room = self._room(principal, received)
        await room.admit(declared_length)
        async with self._uploads.going_on(principal, received):
            blob = await self._take(events, room)
            new = NewPart(blob, principal.key_id, received.bytes, self._settings.upload_expiry_seconds)
            return await self._record(principal, upload_id, new, room, received)

    async def _take(self, events: AsyncIterator[UploadEvent], room: Room) -> StoredBlob:
        form, size = PartForm(), 0
        async with self._blobs.writer(new_blob_key()) as writer:
            async for event in events:
                if isinstance(event, bytes):
                    size += len(event)
                    self._require_small(size)
                    await room.take(form, size)
                    await writer.write(event)
                elif isinstance(event, FormField):
                    form.take_field(event)
                else:
                    form.begin_file(event)
            form.require_complete(size)
            return await writer.commit()

    async def _record(self, principal: Principal, upload_id: str, new: NewPart, room: Room, received: Received) -> Part:
        async def add() -> Part:
            part = await self._metadata.add_part(principal.project_id, upload_id, new, room.quota_bytes, principal.limits)
            received.recorded = True
            return part

        return await recorded(self._blobs, new.blob, room, add)

    async def complete(self, principal: Principal, upload_id: str, part_ids: Sequence[str], md5: str | None, origin: Origin) -> Upload:
        """Makes the file of the parts in this order. With ``md5``, in hex or base64, only after all bytes were read and held against it.

        Raises :class:`~fileplane.errors.UploadNotFound`, :class:`~fileplane.errors.UploadNotPending`,
        :class:`~fileplane.errors.InvalidValue` for parts or a checksum that do not fit, after which the upload is pending as before, and
        what the limits raise. Repeated with the same parts, it answers the same.
        """
        expected = None if md5 is None else checksum(md5)
        chosen, settlement = tuple(part_ids), None
        if expected is not None:
            settlement = await self._verified(principal, upload_id, chosen, expected)
        wanted = Completion(chosen, principal.key_id, settlement)
        upload = await self._metadata.complete_upload(principal.project_id, upload_id, wanted, origin, principal.limits)
        if upload.file is not None and upload.file.status == FileStatus.UPLOADED:
            self._settler.begin(upload.file)
        return upload

    async def _upload(self, principal: Principal, upload_id: str, target: str = "") -> Upload:
        """An upload of that target. Raises :class:`~fileplane.errors.UploadNotFound`."""
        upload = await self._metadata.get_upload(principal.project_id, upload_id)
        if upload.target != target:
            raise UploadNotFound(upload_id)
        return upload

    async def admit(self, principal: Principal, size: int) -> None:
        """Refuses a file of ``size`` bytes, to be kept here until it is sent on, as :meth:`create` refuses one that is to stay."""
        await self._room(principal, Received()).announce(size)

    async def _verified(self, principal: Principal, upload_id: str, part_ids: tuple[str, ...], expected: bytes) -> Settlement:
        """Reads all bytes. The upload is kept from expiring for as long again, since reading 50 GB takes its time."""
        parts = await self._parts_to_verify(principal, upload_id, part_ids)
        file = preview(await self._metadata.get_upload(principal.project_id, upload_id))
        inspection, sha256, md5 = Inspection(self._settings), hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        inspection.begin(file.filename, file.purpose)
        try:
            await read_through(self._blobs, file, parts, inspection, [sha256, md5], never_given_up)
        except (StorageIntegrityError, BlobMissing, BlobKeyInvalid) as error:
            # Cancelled or purged meanwhile, most likely: that is said if it is so.
            await self._parts_to_verify(principal, upload_id, part_ids)
            raise StorageIntegrityError("The stored bytes of a part are missing or damaged. Upload the file again.") from error
        if md5.digest() != expected:
            raise InvalidValue(
                f"Invalid 'md5': the bytes of the parts in this order have the MD5 {md5.hexdigest()}. Check the order, or upload again.",
                param="md5",
            )
        return await settlement_of(file, inspection, sha256.hexdigest(), self._blobs)

    async def _parts_to_verify(self, principal: Principal, upload_id: str, part_ids: tuple[str, ...]) -> list[Part]:
        """What a completion with this list is, or already was, made of: its answer says of both that they have the checksum."""
        try:
            parts = await self._metadata.listed_parts(principal.project_id, upload_id, part_ids)
            await self._metadata.put_off_upload(principal.project_id, upload_id, self._settings.upload_expiry_seconds)
        except UploadNotPending:
            upload = await self._metadata.get_upload(principal.project_id, upload_id)
            parts = await self._metadata.manifest_parts(principal.project_id, upload_id)
            if upload.file is None or tuple(part.id for part in parts) != part_ids:
                raise
        return parts

    async def cancel(self, principal: Principal, upload_id: str) -> Upload:
        """Ends the upload; its parts go now, where the blob store answers, or with the janitor's next pass. Repeating it changes nothing.

        Raises :class:`~fileplane.errors.UploadNotFound` or :class:`~fileplane.errors.UploadNotPending`.
        """
        await self._upload(principal, upload_id)
        given_up = await self._metadata.cancel_upload(principal.project_id, upload_id)
        # A bounded number at a time, to the last: otherwise the room of the rest stayed taken until the janitor's next pass.
        while given_up and await self.collect(given_up):
            given_up = await self._metadata.cancel_upload(principal.project_id, upload_id)
        return await self._metadata.get_upload(principal.project_id, upload_id)

    async def collect(self, given_up: Sequence[Remains]) -> bool:
        """Removes parts that are given up, and says whether all of them went; the janitor removes the others."""
        try:
            return (await self._janitor.collect_parts(given_up))[1] == 0
        except StorageUnavailable as error:
            _log.warning("parts that are given up are left for the janitor: %s", error, exc_info=error)
            return False

    async def get(self, principal: Principal, upload_id: str) -> tuple[Upload, list[Part]]:
        """An upload with its parts. Raises :class:`~fileplane.errors.UploadNotFound`."""
        upload = await self._upload(principal, upload_id)
        listed = upload.status in (UploadStatus.PENDING, UploadStatus.COMPLETED)
        return upload, await self._metadata.upload_parts(principal.project_id, upload_id) if listed else []

    async def require(self, principal: Principal, upload_id: str) -> None:
        """Raises :class:`~fileplane.errors.UploadNotFound`."""
        await self._upload(principal, upload_id)

    async def list(self, principal: Principal, query: UploadQuery) -> UploadPage:
        """One page. Raises :class:`~fileplane.errors.InvalidValue` for a cursor that the project does not have."""
        try:
            return await self._metadata.list_uploads(principal.project_id, query)
        except CursorNotFound as error:
            raise InvalidValue("Invalid 'after': no such upload. Use the id of an upload from the page before.", param="after") from error

    def _room(self, principal: Principal, received: Received) -> Room:
        return Room(principal, self._metadata, self._janitor, self._settings, self._clock, None, received)

    def _require_small(self, size: int) -> None:
        limit = self._settings.max_part_bytes
        if size > limit:
            raise FileTooLarge(
                f"The part is larger than {limit} bytes, the limit of one part. Send the file in more parts, or ask the operator to raise "
                "max_part_bytes.",
                param="data",
            )


def _filename(raw: str) -> str:
    try:
        return clean_filename(raw)
    except InvalidValue as error:
        raise InvalidValue(str(error), param="filename") from error


def checksum(text: str) -> bytes:
    """The MD5 of a completion, from hex or base64. Raises :class:`~fileplane.errors.InvalidValue`."""
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    if len(decoded) != _MD5_BYTES:
        raise InvalidValue("Invalid 'md5': expected the MD5 of the file's bytes, as 32 hexadecimal digits or in base64.", param="md5")
    return decoded


def preview(upload: Upload) -> File:
    """What an upload would be as a file: enough to read it by."""
    return File(
        upload.project_id,
        upload.id,
        upload.purpose,
        upload.filename,
        upload.bytes,
        upload.media_type,
        "",
        "",
        upload.created_at,
        None,
        FileStatus.UPLOADED.value,
        None,
    )
