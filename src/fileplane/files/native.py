"""The native store: the five operations on files whose bytes are kept here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fileplane.blobs.base import BlobKeyInvalid, BlobMissing, BlobReader, BlobStore
from fileplane.errors import FileTooLarge, InvalidValue, StorageIntegrityError, StorageQuotaExceeded, StorageUnavailable
from fileplane.files.form import FormField, UploadEvent, UploadForm
from fileplane.files.janitor import discard_refused_blob
from fileplane.ids import new_blob_key
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.model import File, FilePage, FileQuery, NewFile, Principal, Span
from fileplane.settings import Settings


class NativeFiles:
    """create, list, get, open and delete, each for the caller's own project only."""

    def __init__(self, metadata: MetadataStore, blobs: BlobStore, settings: Settings) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._settings = settings

    async def create(self, principal: Principal, events: AsyncIterator[UploadEvent], declared_length: int | None) -> File:
        """Streams one upload into the store and records it.

        ``declared_length`` is the length of the whole form, if the client gave it: what cannot fit is refused before ``events`` is
        read at all. Returns once blob and record are durable; whatever is raised leaves neither.
        """
        stored_bytes = await self._admit(principal, declared_length)
        form = UploadForm(self._settings, principal)
        async with self._blobs.writer(new_blob_key()) as writer:
            size = 0
            async for event in events:
                if isinstance(event, bytes):
                    size += len(event)
                    self._check_size(form, size, stored_bytes)
                    await writer.write(event)
                elif isinstance(event, FormField):
                    form.take_field(event)
                    self._check_size(form, size, stored_bytes)
                else:
                    form.begin_file(event)
            purpose, filename, expires_after = form.purpose, form.filename, form.expires_after
            blob = await writer.commit()
        new = NewFile(blob, purpose, filename, form.media_type, principal.key_id, expires_after)
        return await self._record(principal, new)

    async def _admit(self, principal: Principal, declared_length: int | None) -> int:
        settings = self._settings
        least = 0 if declared_length is None else declared_length - settings.max_form_overhead_bytes
        largest = max(settings.max_file_bytes, settings.max_batch_file_bytes)
        if least > largest:
            raise _too_large(largest, "max_file_bytes")
        stored_bytes = (await self._metadata.usage(principal.project_id)).stored_bytes
        if stored_bytes >= settings.project_quota_bytes or least > settings.project_quota_bytes - stored_bytes:
            raise StorageQuotaExceeded(settings.project_quota_bytes)
        return stored_bytes

    def _check_size(self, form: UploadForm, size: int, stored_bytes: int) -> None:
        if size > form.limit:
            raise _too_large(form.limit, form.limiting_setting)
        if stored_bytes + size > self._settings.project_quota_bytes:
            raise StorageQuotaExceeded(self._settings.project_quota_bytes)

    async def _record(self, principal: Principal, new: NewFile) -> File:
        try:
            return await self._metadata.create_file(principal.project_id, new, self._settings.project_quota_bytes)
        except StorageQuotaExceeded:
            await discard_refused_blob(self._blobs, new.blob.key)
            raise
        except StorageUnavailable as error:
            if error.nothing_changed:
                await discard_refused_blob(self._blobs, new.blob.key)
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

    @asynccontextmanager
    async def open(self, file: File, span: Span | None = None) -> AsyncIterator[BlobReader]:
        """The bytes of a file that :meth:`get` has just returned.

        Raises :class:`~fileplane.errors.StorageIntegrityError` when the blob is missing or has another size than the record says.
        """
        try:
            async with self._blobs.open(file.blob_key, span) as reader:
                if reader.size != file.bytes:
                    raise StorageIntegrityError(_damaged(file))
                yield reader
        except (BlobMissing, BlobKeyInvalid) as error:
            raise StorageIntegrityError(_damaged(file)) from error

    async def delete(self, principal: Principal, file_id: str) -> None:
        """Marks the file as deleted: no later call sees it. Raises :class:`~fileplane.errors.FileNotFound`."""
        await self._metadata.delete_file(principal.project_id, file_id)


def _too_large(limit: int, setting: str) -> FileTooLarge:
    return FileTooLarge(
        f"The file is larger than {limit} bytes, the limit here. Split it, or ask the operator to raise {setting}.", param="file"
    )


def _damaged(file: File) -> str:
    return f"The stored bytes of file {file.id} are missing or damaged. The operator must restore them from a backup."
