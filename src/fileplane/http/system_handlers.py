"""Health checks, metrics and the API's own description."""

from __future__ import annotations

import asyncio
import logging

from starlette.responses import Response
from starlette.types import ASGIApp

from fileplane.blobs.base import BlobStore
from fileplane.errors import StorageUnavailable
from fileplane.http.call import Call
from fileplane.http.responses import json_response
from fileplane.http.schemas import Health
from fileplane.metrics import CONTENT_TYPE, render_metrics

_log = logging.getLogger(__name__)


async def alive(_: Call) -> ASGIApp:
    """GET /healthz: this process answers."""
    return json_response(Health())


async def ready(call: Call) -> ASGIApp:
    """GET /readyz: the database and the blob store answer too. What does not is told in the log, not to the caller.

    A full disk takes no server out of service: nobody could then read, or delete to make room, and another server may be no better off.
    """
    room, _ = await asyncio.gather(_has_room(call.services.blobs), call.services.metadata.check())
    return json_response(Health(status="ok" if room else "degraded"))


async def _has_room(blobs: BlobStore) -> bool:
    try:
        await blobs.check()
    except StorageUnavailable as error:
        if not error.full:
            raise
        _log.warning("there is no room for new files: %s", error.__cause__ or error.message)
        return False
    return True


async def openapi_document(call: Call) -> ASGIApp:
    """GET /openapi.json."""
    from fileplane.http.openapi import encoded_document  # noqa: PLC0415 - the document is made of the routes, which name this handler

    return Response(encoded_document(call.services.settings), media_type="application/json")


async def metrics(_: Call) -> ASGIApp:
    """GET /metrics. They are of the whole server, so that no project's own key may see them."""
    return Response(await asyncio.to_thread(render_metrics), media_type=CONTENT_TYPE)
