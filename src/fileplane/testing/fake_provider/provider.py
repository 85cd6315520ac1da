"""The fake provider itself: a listening socket, the way of a request, and the faults on that way."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from fileplane.testing.fake_provider.accounts import Accounts
from fileplane.testing.fake_provider.control import Control
from fileplane.testing.fake_provider.faults import Fault, FaultPlan
from fileplane.testing.fake_provider.files import FilesApi
from fileplane.testing.fake_provider.flavours import FLAVOURS, Flavour
from fileplane.testing.fake_provider.forms import BadForm
from fileplane.testing.fake_provider.google_tokens import GoogleTokenEndpoint
from fileplane.testing.fake_provider.jobs import JobsApi
from fileplane.testing.fake_provider.own_apis import own_api
from fileplane.testing.fake_provider.tokens import TokenEndpoint, gives_tokens
from fileplane.testing.fake_provider.uploads import UploadsApi
from fileplane.testing.fake_provider.wire import Answer, BadRequest, Connection, Handler, RecordedRequest, Severed, answer_of

_HEAD_LIMIT: Final = 1 << 17
_MOST_RECORDED: Final = 10_000
_DRAIN_SECONDS: Final = 2.0
_NUMBER_OF_TOKEN: Final = re.compile(r"^token-\d+-of-")


class FakeProvider:
    """See :func:`fake_provider`. ``requests`` has what was sent so far, in order, refused and broken requests included."""

    def __init__(self, flavour: Flavour, directory: Path, *, jobs: str = "auto") -> None:
        self.flavour = flavour
        self.faults = FaultPlan()
        self.requests: list[RecordedRequest] = []
        self.accounts = Accounts(directory)
        self.connections = 0
        """How many were ever made."""
        self.open_connections = 0
        self.port = 0
        self._files = FilesApi(flavour, self.accounts)
        self._uploads = UploadsApi(flavour, self.accounts)
        self.own_api = own_api(flavour, self.accounts)
        self.jobs = JobsApi(flavour, self.accounts, steps_by_itself=jobs == "auto")
        self._tokens = TokenEndpoint()
        self._control = Control(self)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The server's root."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What an adapter is given as custom host."""
        return self.url + self.flavour.prefix

    @property
    def tokens_issued(self) -> int:
        """How often the token endpoint gave a token."""
        return self._tokens.issued + self._tokens.google.issued

    @property
    def google(self) -> GoogleTokenEndpoint:
        """What gives Google's tokens, and knows its service accounts."""
        return self._tokens.google

    def plan(self, *faults: Fault) -> None:
        """Lets things go wrong from now on."""
        for fault in faults:
            self.faults.add(fault)

    def requests_for(self, operation: str) -> list[RecordedRequest]:
        """The requests of one operation, or of all that it is the first part of the name of, in order."""
        return [request for request in self.requests if operation in {request.operation, request.operation.partition(".")[0]}]

    def reset(self) -> None:
        """Forgets faults and requests; files stay."""
        self.faults.clear()
        self.requests.clear()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Listens. Port 0: any that is free."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=_HEAD_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes every connection and the socket."""
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open_connections += 1
        connection = Connection(self.connections, reader, writer)
        try:
            while await self._one(connection):
                pass
        except Severed as severed:
            if severed.reset:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
        except (BadRequest, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.open_connections -= 1
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()

    async def _one(self, connection: Connection) -> bool:
        request = await connection.request(len(self.requests) + 1)
        if request is None:
            return False
        if request.path.startswith("/_control/"):
            answer = await self._control.answer(request, connection.body(request, None))
            return await connection.send(answer, None)
        if len(self.requests) < _MOST_RECORDED:
            self.requests.append(request)
        handler = self._route(request)
        fault = self.faults.for_call(request.operation)
        answer = await self._answer(connection, request, handler, fault)
        request.status = answer.status
        goes_on = request.body_complete and request.headers.get("connection", "").lower() != "close"
        if not goes_on:
            answer.headers["connection"] = "close"
        return await connection.send(answer, fault, head=request.method == "HEAD") and goes_on

    async def _answer(self, connection: Connection, request: RecordedRequest, handler: Handler | None, fault: Fault | None) -> Answer:
        kind = "" if fault is None else fault.kind
        if kind == "never_read":
            await connection.until_left()
        if fault is not None and kind == "refuse_early":
            return _faked(fault, 413)
        body = connection.body(request, fault)
        if fault is not None and kind in {"refuse", "redirect", "garbage", "html", "hang_before", "bomb"}:
            async for _ in body:
                pass
            if kind == "hang_before":
                await connection.until_left()
            return _faked(fault, {"redirect": 302, "html": 502, "refuse": 500}.get(kind, 200))
        answer = await self._handled(request, body, handler, fault)
        if kind == "hang":
            await connection.until_left()
        if fault is not None and kind == "partial":
            return Answer(206, {**answer.headers, "content-range": str(fault.body)}, answer.body, answer.length)
        return answer

    async def _handled(self, request: RecordedRequest, body: AsyncIterator[bytes], handler: Handler | None, fault: Fault | None) -> Answer:
        if request.operation == "token":
            return await self._tokens.answer(request, body)
        credential = self._credential(request)
        if handler is None or credential is None:
            async for _ in body:
                pass
        if credential is None:
            return self._error(401, "Incorrect API key provided.", "invalid_api_key")
        if handler is None:
            return self._error(404, f"Invalid URL ({request.method} {request.path})", None)
        if any(request.query.get(name) != value for name, value in self.flavour.needs_query.items()):
            async for _ in body:
                pass
            return self._error(404, "Resource not found", "404")
        try:
            return await handler(request, body, credential, fault)
        except BadForm:
            return self._error(400, "The form is malformed.", None)

    def _route(self, request: RecordedRequest) -> Handler | None:
        """Finds the operation. Anything else, the root included, is not found: a gateway has no business there."""
        if gives_tokens(request):
            request.operation = "token"
            return None
        prefixes = (self.flavour.prefix, *self.flavour.other_prefixes)
        prefix = next((prefix for prefix in prefixes if request.path.startswith(prefix + "/")), None)
        if prefix is None:
            return None
        segments = [unquote(segment) for segment in request.path.removeprefix(prefix).strip("/").split("/")]
        if self.own_api is not None:
            request.operation, handler = self.own_api.route(request, segments)
        elif segments[0] == "files":
            request.operation, handler = self._files.route(request.method, segments[1:])
        elif segments[0] == "uploads" and self.flavour.uploads:
            request.operation, handler = self._uploads.route(request.method, segments[1:])
        elif self.flavour.jobs:
            request.operation, handler = self.jobs.route(request.method, segments)
        else:
            handler = None
        return handler

    def _credential(self, request: RecordedRequest) -> str | None:
        if self.own_api is not None and (credential := self.own_api.credential(request)) is not None:
            return credential
        for name in self.flavour.auth:
            value = request.headers.get(name, "")
            credential = value.removeprefix("Bearer ") if name == "authorization" else value
            if credential and not credential.startswith("bad") and (name != "authorization" or value.startswith("Bearer ")):
                # All tokens of one identity lead to the same account.
                return _NUMBER_OF_TOKEN.sub("token-of-", credential)
        return None

    def _error(self, status: int, message: str, code: str | None) -> Answer:
        return answer_of(status, json.dumps(self.flavour.error(status, message, code, None)).encode())


def _faked(fault: Fault, status: int) -> Answer:
    status = fault.status or status
    if fault.kind == "redirect":
        return answer_of(status, b"", headers={"location": fault.location, **fault.headers})
    if fault.kind == "html":
        return answer_of(status, b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html", fault.headers)
    if fault.kind == "garbage":
        return answer_of(status, b'{"id": "file-', headers=fault.headers)
    if fault.kind == "bomb":
        return Answer(status, {"content-type": "application/json"}, _zeros(fault.at), None)
    body: Any = fault.body if fault.body is not None else {"error": {"message": "No.", "type": "server_error", "param": None, "code": "no"}}
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return answer_of(status, content, headers=fault.headers)


async def _zeros(count: int) -> AsyncIterator[bytes]:
    piece = bytes(1 << 20)
    for start in range(0, count, len(piece)):
        yield piece[: count - start]


@asynccontextmanager
async def fake_provider(flavour: str = "openai", *, port: int = 0, jobs: str = "auto") -> AsyncIterator[FakeProvider]:
    """A running fake of one flavour, in this event loop; its files are removed afterwards.

    ``jobs``: ``auto`` lets each look at a job bring it one step further, ``manual`` leaves that to :meth:`JobsApi.step`.
    """
    with tempfile.TemporaryDirectory(prefix="fake-provider-") as directory:
        fake = FakeProvider(FLAVOURS[flavour], Path(directory), jobs=jobs)
        await fake.start(port)
        try:
            yield fake
        finally:
            await fake.stop()
