"""Uploads in parts: create, add a part, complete, cancel, retrieve, list."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp

from fileplane.errors import InvalidValue, UploadNotFound
from fileplane.files.form import FormField
from fileplane.http.call import Call
from fileplane.http.files_handlers import incoming_form
from fileplane.http.json_body import pass_over_body, read_json
from fileplane.http.parameters import Parameter, parse_query
from fileplane.http.presence import while_there
from fileplane.http.responses import json_response
from fileplane.http.schemas import file_object
from fileplane.http.upload_schemas import (
    LARGEST_COMPLETION,
    CompletionRequest,
    UploadList,
    UploadObject,
    UploadRequest,
    part_object,
    upload_object,
)
from fileplane.ids import parse_part_id, parse_upload_id
from fileplane.metrics import UPLOADS_IN_PROGRESS
from fileplane.settings import Settings
from fileplane.uploads import Part, Upload, UploadPage, UploadQuery

_DEFAULT_LIMIT: Final = 100
DATA: Final = "data"


async def create_upload(call: Call) -> ASGIApp:
    """POST /v1/uploads."""
    wanted = await read_json(call.request, UploadRequest, call.services.settings)
    upload = await call.services.uploads.create(call.principal, wanted.bytes, fields_of(wanted), wanted.filename, wanted.mime_type)
    return json_response(shown(call, upload))


def fields_of(wanted: UploadRequest) -> list[FormField]:
    """What an upload's form would have besides the file."""
    fields = [FormField("purpose", wanted.purpose)]
    if wanted.expires_after is not None:
        fields.append(FormField("expires_after[anchor]", wanted.expires_after.anchor))
        fields.append(FormField("expires_after[seconds]", str(wanted.expires_after.seconds)))
    return fields


async def add_part(call: Call) -> ASGIApp:
    """POST /v1/uploads/{upload_id}/parts."""
    upload_id, form = _upload_id(call), incoming_form(call, DATA)
    try:
        with UPLOADS_IN_PROGRESS.counted():
            part = await call.services.uploads.add_part(call.principal, upload_id, form.events, form.declared_length, form.received)
    except UploadNotFound as error:
        raise _unknown(call) from error
    return json_response(part_object(part))


async def complete_upload(call: Call) -> ASGIApp:
    """POST /v1/uploads/{upload_id}/complete."""
    upload_id = _upload_id(call)
    try:
        # Looked for before the body is read, so that what is not there is told as ever.
        await call.services.uploads.require(call.principal, upload_id)
        wanted = await read_json(call.request, CompletionRequest, call.services.settings, LARGEST_COMPLETION)
        part_ids = [_part_id(text) for text in wanted.part_ids]
        work = call.services.uploads.complete(call.principal, upload_id, part_ids, wanted.md5, call.origin)
        # With a checksum it reads all bytes: for nobody, once a client that lost patience asks again.
        upload = await (work if wanted.md5 is None else while_there(call.request.receive, work))
    except UploadNotFound as error:
        raise _unknown(call) from error
    return json_response(shown(call, upload))


async def cancel_upload(call: Call) -> ASGIApp:
    """POST /v1/uploads/{upload_id}/cancel. A body means nothing."""
    upload_id = _upload_id(call)
    await pass_over_body(call.request, call.services.settings)
    try:
        return json_response(shown(call, await call.services.uploads.cancel(call.principal, upload_id)))
    except UploadNotFound as error:
        raise _unknown(call) from error


async def retrieve_upload(call: Call) -> ASGIApp:
    """GET /v1/uploads/{upload_id}."""
    try:
        upload, parts = await call.services.uploads.get(call.principal, _upload_id(call))
    except UploadNotFound as error:
        raise _unknown(call) from error
    return json_response(shown(call, upload, parts))


def upload_list_parameters(settings: Settings) -> tuple[Parameter, ...]:
    """The parameters of a list of uploads."""
    largest = settings.max_list_limit
    return (
        Parameter(
            "limit",
            "Uploads in one page.",
            {"type": "integer", "minimum": 1, "maximum": largest, "default": min(_DEFAULT_LIMIT, largest)},
        ),
        Parameter("order", "By time of creation.", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
        Parameter("after", "The id of the last upload of the page before.", {"type": "string"}),
    )


async def list_uploads(call: Call) -> ASGIApp:
    """GET /v1/uploads."""
    return json_response(list_of(call, await call.services.uploads.list(call.principal, list_query(call))))


def list_query(call: Call) -> UploadQuery:
    """The page that is asked for. Raises :class:`~fileplane.errors.InvalidValue` and its kind."""
    parameters = upload_list_parameters(call.services.settings)
    limit, order, _ = parameters
    given = parse_query(call.request.scope["query_string"], parameters, "A list of uploads")
    after = given.get("after") or None
    cursor = None if after is None else parse_upload_id(after)
    if after is not None and cursor is None:
        raise InvalidValue("Invalid 'after': no such upload. Use the id of an upload from the page before.", param="after")
    return UploadQuery(
        limit=limit.whole(given["limit"]) if "limit" in given else limit.schema["default"],
        newest_first=order.choice(given.get("order", "desc")) == "desc",
        after=cursor,
    )


def list_of(call: Call, page: UploadPage) -> UploadList:
    """A page as callers see it."""
    data = [shown(call, upload) for upload in page.uploads]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return UploadList(data=data, first_id=first, last_id=last, has_more=page.has_more)


def shown(call: Call, upload: Upload, parts: list[Part] | None = None) -> UploadObject:
    """An upload as callers see it."""
    file = None if upload.file is None else file_object(upload.file, call.shown(upload.file))
    return upload_object(upload, file, parts)


def _upload_id(call: Call) -> str:
    canonical = parse_upload_id(call.path_text("upload_id"))
    if canonical is None:
        raise _unknown(call)
    return canonical


def _unknown(call: Call) -> UploadNotFound:
    """Told in the caller's own words: what is unknown has no other form."""
    return UploadNotFound(call.path_text("upload_id"))


def _part_id(text: str) -> str:
    canonical = parse_part_id(text)
    if canonical is None:
        raise InvalidValue(f"Invalid 'part_ids': '{text[:80]}' is no id of a part.", param="part_ids")
    return canonical
