"""The five file calls, and HEAD."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from fileplane.access import Scope
from fileplane.clock import SystemClock
from fileplane.control.authority import require_scope
from fileplane.errors import InvalidValue
from fileplane.files.allowance import Received
from fileplane.files.form import UploadEvent
from fileplane.http.body import Patience, declared_length, read_body, refuse_encodings
from fileplane.http.call import Call
from fileplane.http.content import ContentResponse, content_headers, not_modified, requested_span
from fileplane.http.content_links import may_redirect, redirected
from fileplane.http.multipart import boundary_of, read_form
from fileplane.http.parameters import delete_parameters, list_parameters, parse_list_query, parse_purge
from fileplane.http.responses import json_response
from fileplane.http.schemas import FileDeletion, file_list, file_object
from fileplane.metrics import UPLOADS_IN_PROGRESS
from fileplane.model import File

_LONGEST_IDEMPOTENCY_KEY: Final = 255
_clock = SystemClock()


async def upload_file(call: Call) -> ASGIApp:
    """POST /v1/files."""
    form = incoming_form(call)
    with UPLOADS_IN_PROGRESS.counted():
        created = await call.services.files.create(
            call.principal, call.origin, form.events, form.declared_length, form.idempotency_key, form.received
        )
    headers = {"idempotent-replayed": "true"} if created.repeated else None
    return json_response(file_object(created.file, call.shown_id(created.file.id)), headers=headers)


@dataclass(frozen=True, slots=True)
class IncomingForm:
    """An upload's body, of which nothing has been read yet, and what its headers say of it."""

    events: AsyncIterator[UploadEvent]
    declared_length: int | None
    idempotency_key: str | None
    received: Received


def incoming_form(call: Call, nameless: str | None = None) -> IncomingForm:
    """The form of an upload. Raises for headers that make it none. ``nameless`` as :func:`read_form` has it."""
    request, settings = call.request, call.services.settings
    refuse_encodings(request)
    boundary = boundary_of(request.headers.get("content-type"))
    received = Received()
    body = counted(read_body(request.receive, Patience.from_settings(settings), _clock), received)
    length = declared_length(request)
    return IncomingForm(read_form(body, boundary, settings, length, nameless), length, _idempotency_key(request), received)


async def counted(body: AsyncIterator[bytes], received: Received) -> AsyncIterator[bytes]:
    """A body whose bytes are counted as they are read."""
    async for chunk in body:
        received.bytes += len(chunk)
        yield chunk


def _idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, if there is one. Raises :class:`~fileplane.errors.InvalidValue`."""
    key = request.headers.get("idempotency-key", "").strip()
    if len(key) > _LONGEST_IDEMPOTENCY_KEY or not (key.isascii() and key.isprintable()):
        raise InvalidValue(
            f"Invalid 'Idempotency-Key': expected at most {_LONGEST_IDEMPOTENCY_KEY} printable ASCII characters, such as a UUID.",
            param="idempotency-key",
        )
    return key or None


async def list_files(call: Call) -> ASGIApp:
    """GET /v1/files."""
    query = parse_list_query(call.request.scope["query_string"], list_parameters(call.services.settings))
    page = await call.services.files.list(call.principal, query)
    return json_response(file_list(page, [file_object(file, call.shown_id(file.id)) for file in page.files]))


async def retrieve_file(call: Call) -> ASGIApp:
    """GET /v1/files/{file_id}."""
    file = await call.services.files.get(call.principal, call.file_id)
    return json_response(file_object(file, call.shown_id(file.id)))


async def file_content(call: Call) -> ASGIApp:
    """GET and HEAD /v1/files/{file_id}/content. Ranges are defined for GET alone (RFC 9110, section 14.2)."""
    return await content_of(call, await call.services.files.get(call.principal, call.file_id))


async def content_of(call: Call, file: File) -> ASGIApp:
    """The answer to GET or HEAD of the content of a file whose bytes are kept here."""
    headers = call.request.headers
    if not_modified(headers, file):
        kept = {name: value for name, value in content_headers(file, None).items() if not name.startswith("content-")}
        return Response(status_code=304, headers=kept)
    span = requested_span(headers, file) if call.request.method == "GET" else None
    if call.services.links is not None and may_redirect(call.request.method, headers):
        blob_key = await call.services.files.only_blob(file)
        if blob_key is not None:
            return await redirected(call.services.links, file, blob_key, call.services.settings.redirect_seconds)
    return ContentResponse(call.services.files, file, span, call.services.settings.download_stall_seconds)


async def delete_file(call: Call) -> ASGIApp:
    """DELETE /v1/files/{file_id}. SDKs send a Content-Type or an empty object with it; neither is read."""
    file_id = call.file_id
    if parse_purge(call.request.scope["query_string"], delete_parameters(call.services.settings)):
        require_scope(call.principal, Scope.FILES_PURGE)
        await call.services.files.purge(call.principal, file_id, call.origin)
    else:
        await call.services.files.delete(call.principal, file_id, call.origin)
    return json_response(FileDeletion(id=call.shown_id(file_id)))
