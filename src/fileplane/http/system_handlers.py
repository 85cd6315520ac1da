"""Health checks, metrics and the API's own description."""

from __future__ import annotations

import asyncio

from starlette.responses import Response
from starlette.types import ASGIApp

from fileplane.http.call import Call
from fileplane.http.responses import json_response
from fileplane.http.schemas import Health
from fileplane.metrics import CONTENT_TYPE, render_metrics


async def alive(_: Call) -> ASGIApp:
    """GET /healthz: this process answers."""
    return json_response(Health())


async def ready(call: Call) -> ASGIApp:
    """GET /readyz: the database and the blob store answer too. What does not is told in the log, not to the caller."""
    await asyncio.gather(call.services.metadata.check(), call.services.blobs.check())
    return json_response(Health())


async def openapi_document(call: Call) -> ASGIApp:
    """GET /openapi.json."""
    from fileplane.http.openapi import encoded_document  # noqa: PLC0415 - the document is made of the routes, which name this handler

    return Response(encoded_document(call.services.settings), media_type="application/json")


async def metrics(_: Call) -> ASGIApp:
    """GET /metrics. They are of the whole server, so that no project's own key may see them."""
    return Response(await asyncio.to_thread(render_metrics), media_type=CONTENT_TYPE)
