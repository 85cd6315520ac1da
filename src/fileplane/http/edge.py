"""The outermost layer: request ids, the one error envelope for whatever goes wrong inside, and one access line a request."""

from __future__ import annotations

import ipaddress
import logging
import time
from contextlib import suppress
from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fileplane.errors import (
    ClientDisconnected,
    FileplaneError,
    InternalError,
    MalformedForm,
    StorageIntegrityError,
    StorageUnavailable,
)
from fileplane.http.cors import Cors
from fileplane.http.exchange import Exchange
from fileplane.logs import request_id_in_context, write_line
from fileplane.metrics import BYTES_IN, BYTES_OUT, REQUEST_SECONDS, REQUESTS
from fileplane.settings import Settings
from fileplane.tracing.spans import RequestSpan, begin_request

_CLIENT_LEFT: Final = 499
_CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
_FOR_THE_OPERATOR: Final = (InternalError, StorageIntegrityError, StorageUnavailable)

_log = logging.getLogger(__name__)


class Edge:
    """Wraps the router as an ASGI application of its own."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._cors = Cors(settings)
        self._trusted = [ipaddress.ip_network(network, strict=False) for network in settings.trusted_proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; passes everything that is not HTTP on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send)
        scope["state"].update(client=self._client(scope), request_id=exchange.request_id)
        scope["state"]["answer_headers"] += self._cors.headers(scope)
        token = request_id_in_context.set(exchange.request_id)
        span = begin_request(scope["headers"])
        try:
            await self._answer(exchange)
        finally:
            request_id_in_context.reset(token)
            _count(exchange)
            line = self._access(exchange)
            if span is not None:
                _end_span(span, exchange, line)
            write_line("info", "request", line)

    async def _answer(self, exchange: Exchange) -> None:
        allowed = self._cors.preflight(exchange.scope)
        if allowed is not None:
            exchange.scope["state"].update(operation="preflight")
            exchange.scope["state"]["answer_headers"] += allowed
            await Response(status_code=204)(exchange.scope, exchange.receive, exchange.send)
            return
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except FileplaneError as error:
            if isinstance(error, _FOR_THE_OPERATOR):
                _log.error("%s", error.message, exc_info=error)
            await exchange.fail(error)
        except ClientDisconnected:
            # Also how a server tells of a body whose framing is broken; that client is still there, and gets an answer.
            if not exchange.status:
                with suppress(Exception):
                    await exchange.fail(MalformedForm("The request body broke off. Send the whole form."))
            exchange.status = _CLIENT_LEFT
        except Exception:  # noqa: BLE001 - the caller is told of every failure, and the log has it whole
            _log.exception("unhandled failure")
            await exchange.fail(InternalError("The server failed to answer. The operator finds the cause in the log, by the request id."))

    def _access(self, exchange: Exchange) -> dict[str, Any]:
        scope = exchange.scope
        principal = scope["state"].get("principal")
        line = {
            "request_id": exchange.request_id,
            "method": scope["method"],
            "path": scope["path"],
            "status": exchange.status,
            "duration_ms": round((time.perf_counter() - exchange.began) * 1000, 2),
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
            "client": scope["state"]["client"],
        }
        if principal is not None:
            line["project_id"], line["key_id"] = principal.project_id, principal.key_id
        if (provider_request_id := scope["state"].get("provider_request_id")) is not None:
            line["provider_request_id"] = provider_request_id
        return line

    def _client(self, scope: Scope) -> str | None:
        """The peer's address, or what a trusted proxy says of it: the last address it has not vouched for itself."""
        address: str | None = (scope.get("client") or (None,))[0]
        if not self._trusted or address is None:
            return address
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for").decode("latin-1")
        for hop in reversed([hop.strip() for hop in forwarded.split(",") if hop.strip()]):
            if not self._is_trusted(address):
                break
            address = hop
        return address[:64]

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)


def _end_span(span: RequestSpan, exchange: Exchange, line: dict[str, Any]) -> None:
    scope = exchange.scope
    if span.trace_id is not None:
        line["trace_id"] = span.trace_id
    span.end(
        method=scope["method"],
        route=scope["state"].get("route"),
        status=exchange.status,
        http__request__body__size=exchange.bytes_in,
        http__response__body__size=exchange.bytes_out,
        fileplane__operation=scope["state"].get("operation", "none"),
        fileplane__request_id=exchange.request_id,
    )


def _count(exchange: Exchange) -> None:
    operation = exchange.scope["state"].get("operation", "none")
    status_class = _CLASSES[exchange.status // 100 % len(_CLASSES)]
    REQUESTS.add(1, operation, status_class)
    REQUEST_SECONDS.add(time.perf_counter() - exchange.began, operation, status_class)
    if exchange.bytes_in:
        BYTES_IN.add(exchange.bytes_in, operation, status_class)
    if exchange.bytes_out:
        BYTES_OUT.add(exchange.bytes_out, operation, status_class)
