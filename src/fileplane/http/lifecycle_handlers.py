"""The rest of a file's life: restoring, holds, the verdict of validation."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from starlette.types import ASGIApp

from fileplane.http.call import Call
from fileplane.http.json_body import pass_over_body, read_json
from fileplane.http.responses import json_response
from fileplane.http.schemas import FileValidation, HoldDeletion, HoldList, HoldObject, file_object, hold_object

LONGEST_HOLD_SECONDS: Final = 10 * 365 * 86_400


class HoldRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a file is to be kept, and for how many seconds; without ``expires_in`` until the hold is released."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    expires_in: Annotated[int, msgspec.Meta(ge=1, le=LONGEST_HOLD_SECONDS)] | None = None


async def restore_file(call: Call) -> ASGIApp:
    """POST /v1/files/{file_id}/restore. A body means nothing."""
    file_id = call.file_id
    await pass_over_body(call.request, call.services.settings)
    file = await call.services.files.restore(call.principal, file_id, call.origin)
    return json_response(file_object(file, call.shown_id(file.id)))


async def hold_file(call: Call) -> ASGIApp:
    """POST /v1/files/{file_id}/holds. The file is looked for before the body is read, so that what is not there is told as ever."""
    file_id = call.file_id
    await call.services.files.get(call.principal, file_id)
    wanted = await read_json(call.request, HoldRequest, call.services.settings)
    hold = await call.services.files.hold(call.principal, file_id, wanted.reason, wanted.expires_in, call.origin)
    return json_response(hold_object(hold, call.shown_id(file_id)))


async def list_holds(call: Call) -> ASGIApp:
    """GET /v1/files/{file_id}/holds. All of them: there is no paging."""
    shown_id = call.shown_id(call.file_id)
    data: list[HoldObject] = [hold_object(hold, shown_id) for hold in await call.services.files.holds(call.principal, call.file_id)]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return json_response(HoldList(data=data, first_id=first, last_id=last, total=len(data)))


async def release_hold(call: Call) -> ASGIApp:
    """DELETE /v1/files/{file_id}/holds/{hold_id}."""
    hold_id = call.path_text("hold_id")
    await call.services.files.release(call.principal, call.file_id, hold_id, call.origin)
    return json_response(HoldDeletion(id=hold_id))


async def file_validation(call: Call) -> ASGIApp:
    """GET /v1/files/{file_id}/validation."""
    verdict = await call.services.files.validation(call.principal, call.file_id)
    return json_response(msgspec.convert({**verdict, "file_id": call.shown_id(call.file_id)}, FileValidation))
