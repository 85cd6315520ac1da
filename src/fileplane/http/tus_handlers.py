"""Resumable uploads by tus 1.0: create, append, look, terminate, and what the server can do."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp

from fileplane.access import Scope
from fileplane.clock import SystemClock
from fileplane.control.authority import require_scope
from fileplane.errors import FileplaneError, UploadNotFound
from fileplane.files.allowance import Received
from fileplane.files.resumable import Appending
from fileplane.http import tus_headers as tus
from fileplane.http.body import Patience, declared_length, read_body, refuse_encodings
from fileplane.http.call import Call
from fileplane.http.files_handlers import counted
from fileplane.ids import parse_upload_id
from fileplane.metrics import UPLOADS_IN_PROGRESS
from fileplane.resumable import Resumable

TUS: Final = "/v1/tus"
_clock = SystemClock()


async def tus_options(call: Call) -> ASGIApp:
    """OPTIONS /v1/tus."""
    return Response(status_code=204, headers=tus.abilities(call.services.settings))


async def tus_options_of_upload(call: Call) -> ASGIApp:
    """OPTIONS /v1/tus/{resumable_id}: the same, whatever the id."""
    return await tus_options(call)


async def create_resumable_upload(call: Call) -> ASGIApp:
    """POST /v1/tus, with the first bytes or without."""
    headers, services = call.request.headers, call.services
    tus.require_version(headers)
    refuse_encodings(call.request)
    has_body = (declared_length(call.request) or 0) > 0 or "transfer-encoding" in headers
    if has_body:
        tus.require_media_type(headers)
    wanted, request = tus.announced(headers, services.settings), _appending(call, 0)
    upload = await services.resumable.create(call.principal, wanted)
    if has_body or wanted.length == 0:
        try:
            upload = await _appended(call, upload.upload.id, request)
        except BaseException:
            # Nobody is told of it, so that nobody can go on with it. What it failed for is what counts.
            with suppress(FileplaneError):
                await services.resumable.terminate(call.principal, upload.upload.id)
            raise
    return Response(status_code=201, headers={"location": tus.location(upload, TUS), **_progress(call, upload)})


async def append_to_upload(call: Call) -> ASGIApp:
    """PATCH /v1/tus/{resumable_id}."""
    headers = call.request.headers
    tus.require_version(headers)
    upload_id = _upload_id(call)
    tus.require_media_type(headers)
    refuse_encodings(call.request)
    try:
        upload = await _appended(call, upload_id, _appending(call, tus.offset_of(headers)))
    except UploadNotFound as error:
        raise _unknown(call) from error
    return Response(status_code=204, headers=_progress(call, upload))


async def look_at_upload(call: Call) -> ASGIApp:
    """HEAD /v1/tus/{resumable_id}."""
    tus.require_version(call.request.headers)
    try:
        upload = await call.services.resumable.look(call.principal, _upload_id(call))
    except UploadNotFound as error:
        raise _unknown(call) from error
    return Response(headers={**_progress(call, upload), **tus.description(upload)})


async def terminate_upload(call: Call) -> ASGIApp:
    """DELETE /v1/tus/{resumable_id}. Of one that is complete, the file is deleted, as by DELETE /v1/files/{file_id}."""
    tus.require_version(call.request.headers)
    upload_id, services = _upload_id(call), call.services
    try:
        upload = await services.resumable.get(call.principal, upload_id)
        if upload.upload.file is None:
            await services.resumable.terminate(call.principal, upload_id)
        else:
            require_scope(call.principal, Scope.FILES_DELETE)
            await services.files.delete(call.principal, upload.upload.file.id, call.origin)
    except UploadNotFound as error:
        raise _unknown(call) from error
    return Response(status_code=204)


def _appending(call: Call, offset: int) -> Appending:
    request, received = call.request, Received()
    body = counted(read_body(request.receive, Patience.from_settings(call.services.settings), _clock), received)
    return Appending(
        offset,
        body,
        declared_length(request),
        received,
        tus.whole_number(request.headers, "upload-length"),
        tus.checksum_of(request.headers),
    )


async def _appended(call: Call, upload_id: str, request: Appending) -> Resumable:
    with UPLOADS_IN_PROGRESS.counted():
        return await call.services.resumable.append(call.principal, upload_id, request, call.origin)


def _progress(call: Call, upload: Resumable) -> dict[str, str]:
    file = upload.upload.file
    return tus.progress(upload, None if file is None else call.shown_id(file.id))


def _upload_id(call: Call) -> str:
    canonical = parse_upload_id(call.path_text("resumable_id"))
    if canonical is None:
        raise _unknown(call)
    return canonical


def _unknown(call: Call) -> UploadNotFound:
    """Told in the caller's own words: what is unknown has no other form."""
    return UploadNotFound(call.path_text("resumable_id"))
