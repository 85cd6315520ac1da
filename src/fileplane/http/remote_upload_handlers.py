"""The calls on uploads in parts that go to providers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp

from fileplane.errors import UploadNotFound
from fileplane.files.remote_shapes import file_at_provider
from fileplane.files.routed_uploads import Found
from fileplane.http import upload_handlers as native
from fileplane.http.call import Call
from fileplane.http.files_handlers import incoming_form
from fileplane.http.json_body import pass_over_body, read_json
from fileplane.http.operation import Handler
from fileplane.http.presence import telling_of_the_end, while_there
from fileplane.http.remote_trace import tell
from fileplane.http.responses import json_response
from fileplane.http.schemas import file_object
from fileplane.http.upload_schemas import LARGEST_COMPLETION, CompletionRequest, PartObject, UploadObject, UploadRequest, part_object
from fileplane.metrics import UPLOADS_IN_PROGRESS
from fileplane.providers.part_uploads import RemotePart, RemotePartUpload
from fileplane.uploads import Part


async def create_upload(call: Call) -> ASGIApp:
    """POST /v1/uploads."""
    wanted = await read_json(call.request, UploadRequest, call.services.settings)
    fields = native.fields_of(wanted)
    routed = call.services.routed
    made = await routed.create(call.remote_route, call.principal, wanted.bytes, fields, wanted.filename, wanted.mime_type)
    tell(call)
    if isinstance(made, RemotePartUpload):
        return json_response(_provided(call, made, wanted))
    return json_response(native.shown(call, made))


async def add_part(call: Call) -> ASGIApp:
    """POST /v1/uploads/{upload_id}/parts."""
    found = await _found(call, native.add_part)
    if not isinstance(found, Found):
        return found
    form, body_read = incoming_form(call, native.DATA), asyncio.Event()
    events = telling_of_the_end(form.events, body_read)
    with UPLOADS_IN_PROGRESS.counted():
        adding = call.services.routed.add_part(call.remote_route, call.principal, found, events, form.declared_length, form.received)
        with _in_own_words(call):
            part = await while_there(call.request.receive, adding, body_read)
    tell(call)
    return json_response(_part(call, part))


async def complete_upload(call: Call) -> ASGIApp:
    """POST /v1/uploads/{upload_id}/complete. Carried through when the client leaves meanwhile: it may ask again, and gets the file."""
    found = await _found(call, native.complete_upload)
    if not isinstance(found, Found):
        return found
    wanted = await read_json(call.request, CompletionRequest, call.services.settings, LARGEST_COMPLETION)
    completing = call.services.routed.complete(call.remote_route, call.principal, call.origin, found, wanted.part_ids, wanted.md5)
    with _in_own_words(call):
        made = await completing
    tell(call)
    return json_response(_provided(call, made) if isinstance(made, RemotePartUpload) else native.shown(call, made))


async def cancel_upload(call: Call) -> ASGIApp:
    """POST /v1/uploads/{upload_id}/cancel. A body means nothing."""
    found = await _found(call, native.cancel_upload)
    if not isinstance(found, Found):
        return found
    await pass_over_body(call.request, call.services.settings)
    with _in_own_words(call):
        made = await call.services.routed.cancel(call.remote_route, call.principal, found)
    tell(call)
    return json_response(_provided(call, made) if isinstance(made, RemotePartUpload) else native.shown(call, made))


async def retrieve_upload(call: Call) -> ASGIApp:
    """GET /v1/uploads/{upload_id}."""
    found = await _found(call, native.retrieve_upload)
    if not isinstance(found, Found):
        return found
    upload, parts = await call.services.routed.get(call.principal, found)
    tell(call)
    return json_response(native.shown(call, upload, parts))


async def list_uploads(call: Call) -> ASGIApp:
    """GET /v1/uploads."""
    page = await call.services.routed.list(call.remote_route, call.principal, native.list_query(call))
    tell(call)
    return json_response(native.list_of(call, page))


async def _found(call: Call, natively: Handler) -> Found | ASGIApp:
    """The upload that the path names; the native store's answer, where that is one of the route's targets and has it."""
    upload_id = call.path_text("upload_id")
    try:
        return await call.services.routed.find(call.remote_route, call.principal, upload_id)
    except UploadNotFound as error:
        if call.route.has_native:
            return await natively(call)
        raise UploadNotFound(upload_id) from error


@contextmanager
def _in_own_words(call: Call) -> Iterator[None]:
    """What is unknown is told by the id that the caller has, not by the provider's."""
    try:
        yield
    except UploadNotFound as error:
        raise UploadNotFound(call.path_text("upload_id")) from error


def _provided(call: Call, upload: RemotePartUpload, wanted: UploadRequest | None = None) -> UploadObject:
    """A provider's own upload, with what it leaves out as far as the request has said it."""
    file = None if upload.file is None else file_at_provider(call.principal.project_id, upload.file)
    return UploadObject(
        id=upload.id,
        bytes=upload.bytes if upload.bytes is not None else (wanted.bytes if wanted else 0),
        created_at=upload.created_at or 0,
        expires_at=upload.expires_at or 0,
        filename=upload.filename or (wanted.filename if wanted else ""),
        purpose=upload.purpose or (wanted.purpose if wanted else ""),
        status=upload.status,  # type: ignore[arg-type]  # the adapter lets only these through
        file=None if file is None else file_object(file, file.id),
    )


def _part(call: Call, part: Part | RemotePart) -> PartObject:
    if isinstance(part, Part):
        return part_object(part)
    return PartObject(id=part.id, created_at=part.created_at or 0, upload_id=call.path_text("upload_id"), bytes=part.bytes or 0)
