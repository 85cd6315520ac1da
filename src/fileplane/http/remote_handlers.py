"""The five file calls, and HEAD, of requests that go to providers."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp

from fileplane.errors import InvalidValue, UnsupportedProviderOperation
from fileplane.http.call import Call
from fileplane.http.files_handlers import content_of, incoming_form
from fileplane.http.parameters import delete_parameters, list_parameters, parse_purge, parse_remote_list_query
from fileplane.http.presence import telling_of_the_end, while_there
from fileplane.http.remote_content import RemoteContentResponse, head_response
from fileplane.http.remote_trace import tell
from fileplane.http.responses import json_response
from fileplane.http.schemas import FileDeletion, file_list, file_object
from fileplane.metrics import UPLOADS_IN_PROGRESS


async def upload_file(call: Call) -> ASGIApp:
    """POST /v1/files."""
    form, body_read = incoming_form(call), asyncio.Event()
    events = telling_of_the_end(form.events, body_read)
    with UPLOADS_IN_PROGRESS.counted():
        creating = call.services.remote.create(
            call.remote_route, call.principal, call.origin, events, form.declared_length, form.idempotency_key, form.received
        )
        created = await while_there(call.request.receive, creating, body_read)
    tell(call)
    headers = {"idempotent-replayed": "true"} if created.repeated else None
    return json_response(file_object(created.file, call.shown(created.file)), headers=headers)


async def list_files(call: Call) -> ASGIApp:
    """GET /v1/files."""
    query = parse_remote_list_query(call.request.scope["query_string"], list_parameters(call.services.settings))
    page = await while_there(call.request.receive, call.services.remote.list(call.remote_route, call.principal, query))
    tell(call)
    return json_response(file_list(page, [file_object(file, call.shown(file)) for file in page.files]))


async def retrieve_file(call: Call) -> ASGIApp:
    """GET /v1/files/{file_id}."""
    file = await while_there(call.request.receive, call.services.remote.get(call.remote_route, call.principal, call.remote_id))
    tell(call)
    return json_response(file_object(file, file.id))


async def file_content(call: Call) -> ASGIApp:
    """GET and HEAD /v1/files/{file_id}/content. Providers have no HEAD: the length is the file's own, where that is what is served.

    Bytes that a provider does not give back come from the copy here, if there is one.
    """
    copy = await call.services.remote.copy_of(call.remote_route, call.principal, call.remote_id)
    if copy is not None:
        tell(call)
        return await content_of(call, copy)
    if call.request.method == "GET":
        return RemoteContentResponse(call)
    outline = await while_there(call.request.receive, call.services.remote.outline(call.remote_route, call.principal, call.remote_id))
    tell(call)
    return head_response(outline)


async def delete_file(call: Call) -> ASGIApp:
    """DELETE /v1/files/{file_id}. At a provider every deletion is for good, and is carried through when the client leaves meanwhile."""
    if parse_purge(call.request.scope["query_string"], delete_parameters(call.services.settings)):
        raise InvalidValue("A deletion at a provider is for good anyway. Leave 'purge' out.", param="purge")
    await call.services.remote.delete(call.remote_route, call.principal, call.remote_id, call.origin)
    tell(call)
    return json_response(FileDeletion(id=call.remote_id))


async def unsupported(call: Call) -> ASGIApp:
    """What no provider has."""
    raise UnsupportedProviderOperation(
        f"{call.remote_route.trace.provider} has no such operation: only files that Fileplane keeps itself are restored, held, validated "
        "or uploaded by tus. Leave out the headers that name a provider, virtual key or config, or set x-portkey-provider to 'fileplane'.",
        param="x-portkey-provider",
    )
