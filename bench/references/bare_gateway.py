"""What passing a GET on costs at least with the libraries that Fileplane uses: one Starlette route that asks through aiohttp.

Usage: bare_gateway.py PORT DIRECTORY UPSTREAM
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from bare_route import serve_bare
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

UPSTREAM = sys.argv[3]


async def retrieve(request: Request) -> Response:
    """The provider's own answer: looked at by nobody, and with a connection that is kept."""
    session: aiohttp.ClientSession = request.state.session
    headers = {"authorization": request.headers["authorization"]}
    async with session.get(f"{UPSTREAM}/v1/files/{request.path_params['file_id']}", headers=headers) as answer:
        return Response(await answer.read(), answer.status, media_type=answer.content_type)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[dict[str, aiohttp.ClientSession]]:
    """One client for all requests."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield {"session": session}


def load() -> Starlette:
    """Runs in the worker."""
    return Starlette(routes=[Route("/v1/files/{file_id}", retrieve)], lifespan=lifespan)


if __name__ == "__main__":
    serve_bare(load)
