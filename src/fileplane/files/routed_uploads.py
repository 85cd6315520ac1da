"""Uploads in parts along a route: passed on to providers that have such uploads, put together here and sent once for all others.

Through a virtual key with a catalog, an upload is recorded with its target, and so are its parts; ids are Fileplane's own, and exist for
the project alone. What is kept here until it is sent is recorded too, by provider and host where the credential comes with each request:
nothing of the credential is kept. With a credential of the caller's own, uploads that the provider takes itself only pass through.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final

from fileplane.access import Principal
from fileplane.blobs.base import BlobStore
from fileplane.catalog import FileState
from fileplane.clock import Clock
from fileplane.errors import (
    FileplaneError,
    FileTooLarge,
    InvalidValue,
    NotFound,
    ProviderRefused,
    StorageUnavailable,
    UnsupportedProviderOperation,
    UploadLost,
    UploadNotFound,
)
from fileplane.files.allowance import Received, Uploads
from fileplane.files.assembling import Assembled, route_from
from fileplane.files.attempts import along_the_plan, repeated
from fileplane.files.form import FormField, UploadEvent
from fileplane.files.passage import Passage
from fileplane.files.passed_parts import IncomingPart, Spooling, passed_on
from fileplane.files.remote_expiry import ends_here
from fileplane.files.remote_route import ClosedTarget, RemoteRoute, RemoteTarget
from fileplane.files.remote_shapes import file_in_catalog
from fileplane.files.remote_uploads import SPOOL_NAME, RemoteUploads
from fileplane.files.routed_rules import (
    Made,
    file_without_catalog,
    form_of,
    form_with,
    is_recorded,
    not_told,
    part_id_of,
    passes_on,
    refuse_early,
    require_pending,
    target_name,
)
from fileplane.files.sending import Call, Sending, Steps
from fileplane.files.uploads import NativeUploads, checksum
from fileplane.ids import parse_upload_id
from fileplane.metadata.base import CursorNotFound, MetadataStore
from fileplane.model import File, Origin
from fileplane.providers.base import RemoteFile
from fileplane.providers.part_uploads import NewPartUpload, RemotePart, RemotePartUpload, uploads_at
from fileplane.settings import Settings
from fileplane.uploads import (
    BegunCompletion,
    NewUpload,
    Part,
    RoutedUpload,
    Upload,
    UploadPage,
    UploadQuery,
    UploadStatus,
    key_target,
)

_SENDING_SECONDS: Final = 86_400
"""So long an upload without a catalog does not expire once it is being sent: longer than any sending takes."""
_LONGEST_LIFE_SECONDS: Final = 2_592_000
_OVER: Final = {400, 404, 409, 410}
"""How a provider refuses to cancel what is over; other refusals are of who asks, or when."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """An upload that a request names. ``row`` is None where nothing of it is recorded here, and ``upload_id`` is then the provider's."""

    target: RemoteTarget
    upload_id: str
    row: RoutedUpload | None


class RoutedUploads:
    """create, parts, complete, cancel, get and list, along a route."""

    def __init__(
        self, metadata: MetadataStore, blobs: BlobStore, native: NativeUploads, sender: RemoteUploads, settings: Settings, clock: Clock
    ) -> None:
        self._metadata = metadata
        self._blobs = blobs
        self._native = native
        self._sender = sender
        self._settings = settings
        self._clock = clock
        self._uploads = Uploads(metadata, settings)
        self._spooling = Spooling(settings.data_dir / SPOOL_NAME, settings.min_free_disk_bytes, settings.max_file_bytes)

    async def settle(self) -> None:
        """To be called before the stores are closed."""
        await self._uploads.settle()

    async def create(
        self, route: RemoteRoute, principal: Principal, size: int, fields: Sequence[FormField], filename: str, media_type: str
    ) -> Upload | RemotePartUpload:
        """Announces a file of ``size`` bytes at the route's first target that takes it. See :meth:`NativeUploads.create`.

        What comes back is the provider's own where nothing is recorded here.
        """
        if isinstance(route.plan[0], ClosedTarget):
            raise route.plan[0].why
        form = form_with(self._settings, principal, fields, filename, media_type)
        overhead = self._settings.max_form_overhead_bytes
        await Passage(principal, self._metadata, self._clock, Received(), overhead).admit(size + overhead)
        new = NewUpload(form.purpose, form.filename, size, form.media_type, principal.key_id, form.expires_after)

        async def at(target: RemoteTarget) -> Upload | RemotePartUpload:
            if passes_on(target):
                return await self._announced(route, principal, target, new)
            return await self._begun_here(principal, target, new)

        async def natively() -> Upload | RemotePartUpload:
            return await self._native.create(principal, size, fields, filename, media_type)

        return await along_the_plan(route, at, natively)

    async def _announced(self, route: RemoteRoute, principal: Principal, target: RemoteTarget, new: NewUpload) -> Upload | RemotePartUpload:
        uploads = uploads_at(target.provider, target.target)
        assert uploads is not None, "whoever passes on has looked"
        if target.virtual_key_id is None and route.only is None:
            raise UnsupportedProviderOperation(
                "With credentials of your own, an upload in parts needs a route with one target: nothing here remembers which of several "
                "has it. Name one, or virtual keys.",
                param="x-portkey-config",
            )
        expires_after = None if ends_here(target, new.expires_after) else new.expires_after
        asked = NewPartUpload(new.purpose, new.filename, new.media_type, new.bytes, expires_after)
        remote = await uploads.create_upload(target.target, asked)
        if target.virtual_key_id is None:
            return remote
        lifetime = self._settings.upload_expiry_seconds
        if remote.expires_at is not None and remote.created_at is not None:
            lifetime = max(1, min(remote.expires_at - remote.created_at, _LONGEST_LIFE_SECONDS))
        recorded = replace(new, target=key_target(target.virtual_key_id))
        return (await self._metadata.create_routed_upload(principal.project_id, recorded, remote.id, lifetime)).upload

    async def _begun_here(self, principal: Principal, target: RemoteTarget, new: NewUpload) -> Upload:
        can, name = target.provider.capabilities(target.target), target.provider.name
        if not principal.project_id:
            raise UnsupportedProviderOperation(
                f"{name} has no uploads in parts, and a server without keys of its own keeps nothing to put them together. Send the file "
                "whole, to /v1/files.",
                param="x-portkey-provider",
            )
        refuse_early(name, can, target, new)
        if new.bytes > self._settings.max_file_bytes:
            raise FileTooLarge(
                f"The parts are kept here until {name} is sent the file, and it is larger than {self._settings.max_file_bytes} bytes, the "
                "server's limit for that.",
                param="bytes",
            )
        await self._native.admit(principal, new.bytes)
        recorded = replace(new, target=target_name(target))
        lifetime = self._settings.upload_expiry_seconds
        return (await self._metadata.create_routed_upload(principal.project_id, recorded, None, lifetime)).upload

    async def find(self, route: RemoteRoute, principal: Principal, upload_id: str) -> Found:
        """The upload that a request names in its path. Raises :class:`~fileplane.errors.UploadNotFound`."""
        canonical = parse_upload_id(upload_id) if principal.project_id else None
        if canonical is not None:
            try:
                row = await self._metadata.get_routed_upload(principal.project_id, canonical)
            except UploadNotFound:
                row = None
            if row is not None:
                target = next((one for one in route.everywhere if target_name(one) == row.upload.target), None)
                if target is None:
                    raise UploadNotFound(upload_id)
                route.trace.path, route.trace.provider = target.path, target.provider.name
                return Found(target, canonical, row)
        own = {target_name(one): one for one in route.everywhere if one.virtual_key_id is None and passes_on(one)}
        if len(own) != 1:
            raise UploadNotFound(upload_id)
        [target] = own.values()
        return Found(target, upload_id, None)

    async def add_part(
        self,
        route: RemoteRoute,
        principal: Principal,
        found: Found,
        events: AsyncIterator[UploadEvent],
        declared_length: int | None,
        received: Received,
    ) -> Part | RemotePart:
        """Takes one part. See :meth:`NativeUploads.add_part`. What comes back is the provider's own where nothing is recorded here."""
        row = found.row
        if row is not None:
            require_pending(row)
            if row.provider_upload_id is None:
                target = row.upload.target
                return await self._native.add_part(principal, found.upload_id, events, declared_length, received, target)
            await self._metadata.require_room_for_part(principal.project_id, found.upload_id)
        passage = Passage(principal, self._metadata, self._clock, received, self._settings.max_form_overhead_bytes)
        await passage.admit(declared_length)
        incoming = IncomingPart(events, passage)
        upload_id = found.upload_id if row is None else row.provider_upload_id or ""
        async with self._uploads.going_on(principal, received) if principal.project_id else nullcontext():
            remote = await passed_on(found.target, upload_id, incoming, self._spooling, route.trace)
            if row is None:
                return remote
            add = self._metadata.add_routed_part
            return await add(principal.project_id, found.upload_id, remote.id, incoming.size, incoming.sha256)

    async def complete(
        self, route: RemoteRoute, principal: Principal, origin: Origin, found: Found, part_ids: Sequence[str], md5: str | None
    ) -> Upload | RemotePartUpload:
        """Makes the file, at the target where the upload was announced. Repeated with the same list, it answers the same.

        Raises as :meth:`NativeUploads.complete`, what an upload to a provider raises, and
        :class:`~fileplane.errors.UploadUnresolved` while the end of another completion is not known.
        """
        row, expected = found.row, None if md5 is None else checksum(md5)
        wanted_md5 = None if expected is None else expected.hex()
        if row is None:
            uploads = uploads_at(found.target.provider, found.target.target)
            assert uploads is not None, "whoever finds what passes through has looked"
            call = uploads.complete_upload
            return await repeated(found.target, lambda one: call(one.target, found.upload_id, part_ids, wanted_md5), route.trace)
        chosen = tuple(part_id_of(text) for text in part_ids)
        digest = hashlib.sha256("\0".join(chosen).encode()).digest()
        if row.upload.status == UploadStatus.COMPLETED and row.digest == digest:
            shown = self._shown(row)
            if shown.file is not None:
                return shown
        require_pending(row)
        if row.provider_upload_id is None:
            return await self._sent_once(route, principal, origin, found, row, chosen, expected, digest)
        return await self._completed_there(route, principal, origin, found, row, chosen, wanted_md5, digest)

    async def _completed_there(
        self,
        route: RemoteRoute,
        principal: Principal,
        origin: Origin,
        found: Found,
        row: RoutedUpload,
        chosen: tuple[str, ...],
        md5: str | None,
        digest: bytes,
    ) -> Upload:
        listed = await self._metadata.listed_routed_parts(principal.project_id, row.upload.id, chosen)
        uploads = uploads_at(found.target.provider, found.target.target)
        provider_upload_id = row.provider_upload_id
        if uploads is None or provider_upload_id is None:
            raise UploadNotFound(row.upload.id)

        async def call(target: RemoteTarget) -> RemoteFile:
            ids = [one.provider_part_id for one in listed]
            done = await uploads.complete_upload(target.target, provider_upload_id, ids, md5, row.upload.bytes)
            if done.file is None:
                raise UploadLost("The provider's answer names no file. It may have the file; look at its list first.")
            return done.file

        steps = self._steps(principal, row, digest, call, chosen)
        made = Made(form_of(self._settings, principal, row.upload), row.upload.bytes)
        sending = Sending(principal, origin, made, None, None, several=False, steps=steps)
        alone = replace(route, plan=(found.target,), after=lambda _number, _status: None)
        return await self._finished(principal, row, (await self._sender.send_along(alone, sending)).file)

    async def _sent_once(
        self,
        route: RemoteRoute,
        principal: Principal,
        origin: Origin,
        found: Found,
        row: RoutedUpload,
        chosen: tuple[str, ...],
        md5: bytes | None,
        digest: bytes,
    ) -> Upload:
        parts = await self._metadata.listed_parts(principal.project_id, row.upload.id, chosen)
        # Reading, and being sent, may take longer than what is left of the upload's hour.
        await self._metadata.put_off_upload(principal.project_id, row.upload.id, self._settings.upload_expiry_seconds)
        whole = Assembled(self._blobs, row.upload, parts, form_of(self._settings, principal, row.upload))
        await whole.read_through(md5)
        onwards = route_from(route, found.target)
        steps = self._steps(principal, row, digest, None)
        sending = Sending(principal, origin, whole, whole, None, several=len(onwards.plan) > 1, steps=steps)
        return await self._finished(principal, row, (await self._sender.send_along(onwards, sending)).file)

    def _steps(self, principal: Principal, row: RoutedUpload, digest: bytes, call: Call | None, part_ids: tuple[str, ...] = ()) -> Steps:
        before: list[str | None] = [None]
        number = 1 + secrets.randbelow(1 << 62)

        async def begun(intent_id: str | None) -> None:
            lifetime = 0 if intent_id is not None else _SENDING_SECONDS
            begin = BegunCompletion(digest, intent_id, part_ids, before[0], lifetime, number)
            await self._metadata.begin_completion(principal.project_id, row.upload.id, begin)
            before[0] = intent_id

        async def abandoned() -> None:
            try:
                await self._metadata.abandon_completion(principal.project_id, row.upload.id, number)
            except StorageUnavailable as error:
                _log.warning("that the completion of an upload failed could not be recorded: %s", error, exc_info=error)

        return Steps(begun, abandoned, call)

    async def _finished(self, principal: Principal, row: RoutedUpload, file: File) -> Upload:
        """The file is there, so whatever fails now is found out later, and is no failure of the completion."""
        upload_id = row.upload.id
        try:
            await self._native.collect(await self._metadata.finish_completion(principal.project_id, upload_id, file.id))
        except FileplaneError as error:
            _log.warning("the end of an upload's completion could not be recorded, and is found out later: %s", error, exc_info=error)
        return replace(row.upload, status=UploadStatus.COMPLETED.value, file=file)

    async def cancel(self, route: RemoteRoute, principal: Principal, found: Found) -> Upload | RemotePartUpload:
        """Ends the upload, here and at the provider; repeating it changes nothing, where it is recorded here."""
        row, uploads = found.row, uploads_at(found.target.provider, found.target.target)
        if row is None:
            assert uploads is not None, "whoever finds what passes through has looked"
            return await repeated(found.target, lambda one: uploads.cancel_upload(one.target, found.upload_id), route.trace)
        if row.upload.status != UploadStatus.CANCELLED:
            require_pending(row)
            provider_upload_id = row.provider_upload_id
            if provider_upload_id is not None and uploads is not None:
                try:
                    await repeated(found.target, lambda one: uploads.cancel_upload(one.target, provider_upload_id), route.trace)
                except (NotFound, ProviderRefused) as error:
                    if error.status not in _OVER:
                        raise
                    _log.info("an upload that is cancelled was over at %s already", found.target.provider.name)
        await self._native.collect(await self._metadata.cancel_routed_upload(principal.project_id, row.upload.id))
        return (await self._metadata.get_routed_upload(principal.project_id, row.upload.id)).upload

    async def get(self, principal: Principal, found: Found) -> tuple[Upload, list[Part]]:
        """An upload with its parts, of which a completed one has none any more. Raises UnsupportedProviderOperation for the provider's."""
        if found.row is None:
            raise not_told(found.target)
        upload = self._shown(found.row)
        if upload.status != UploadStatus.PENDING:
            return upload, []
        if found.row.provider_upload_id is None:
            return upload, await self._metadata.upload_parts(principal.project_id, upload.id)
        return upload, [one.part for one in await self._metadata.routed_parts(principal.project_id, upload.id)]

    async def list(self, route: RemoteRoute, principal: Principal, query: UploadQuery) -> UploadPage:
        """One page of what is recorded here of the route's targets. Raises InvalidValue for a cursor, and as :meth:`get`."""
        targets = [target_name(one) for one in route.everywhere if principal.project_id and is_recorded(one)]
        targets += [""] if route.has_native else []
        if not targets:
            raise not_told(route.everywhere[0]) if route.everywhere else route.closed[0].why
        try:
            page = await self._metadata.list_uploads(principal.project_id, replace(query, targets=tuple(dict.fromkeys(targets))))
        except CursorNotFound as error:
            raise InvalidValue("Invalid 'after': no such upload. Use the id of an upload from the page before.", param="after") from error
        return replace(page, uploads=tuple([await self._in_list(one) for one in page.uploads]))

    async def _in_list(self, upload: Upload) -> Upload:
        return self._shown(await self._metadata.get_routed_upload(upload.project_id, upload.id)) if upload.target else upload

    def _shown(self, row: RoutedUpload) -> Upload:
        """With its file: the catalog's, or what is known of one that is in none."""
        upload, intent = row.upload, row.intent
        if upload.status != UploadStatus.COMPLETED:
            return upload
        if intent is not None:
            over = intent.expires_at is not None and intent.expires_at <= self._clock.now_ms() // 1000
            return replace(upload, file=file_in_catalog(intent) if intent.state is FileState.BOUND and not over else None)
        return upload if row.provider_file_id is None else replace(upload, file=file_without_catalog(upload, row.provider_file_id))
