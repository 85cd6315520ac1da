"""What a JSON answer costs at least: one Starlette route on the server that Fileplane itself starts, with the same settings.

Usage: bare_route.py PORT DIRECTORY
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from granian import Granian
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fileplane import server
from fileplane.settings import Settings


async def retrieve(request: Request) -> JSONResponse:
    """A file object of the same form and length as Fileplane's answer."""
    return JSONResponse(
        {
            "id": request.path_params["file_id"],
            "object": "file",
            "bytes": 4096,
            "created_at": 1_700_000_000,
            "expires_at": None,
            "filename": "small.bin",
            "purpose": "user_data",
            "status": "processed",
            "status_details": None,
        }
    )


def load() -> Starlette:
    """Runs in the worker."""
    return Starlette(routes=[Route("/v1/files/{file_id}", retrieve)])


class _BareServer:
    """Granian as Fileplane configures it, but for what it serves."""

    def __init__(self, target: Callable[[], Starlette], *arguments: Any, **options: Any) -> None:
        self._target = target
        self._server = Granian(*arguments, **options)

    def serve(self, **_: Any) -> None:
        """Runs until it is told to stop."""
        self._server.serve(target_loader=self._target, wrap_loader=False)


def serve_bare(target: Callable[[], Starlette]) -> None:
    """Serves what ``target`` makes in the worker, on the port and in the directory that the command line names."""
    with mock.patch.object(server, "Granian", partial(_BareServer, target)):
        server.serve(Settings(port=int(sys.argv[1]), data_dir=Path(sys.argv[2])))


if __name__ == "__main__":
    serve_bare(load)
