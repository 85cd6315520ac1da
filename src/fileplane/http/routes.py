"""Every route on one page: who may call it, what it takes, what it answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from fileplane import errors
from fileplane.errors import FileNotFound, FileplaneError, MethodNotAllowed, RouteNotFound
from fileplane.http import audit_handlers as audit
from fileplane.http import files_handlers as files
from fileplane.http import lifecycle_handlers as lifecycle
from fileplane.http import system_handlers as system
from fileplane.http.auth import require_scope
from fileplane.http.call import Call, Services
from fileplane.http.parameters import Parameter, delete_parameters, list_parameters
from fileplane.http.schemas import AuditLogs, FileDeletion, FileList, FileObject, FileValidation, Health, HoldDeletion, HoldList, HoldObject
from fileplane.model import Scope
from fileplane.routing.headers import require_native
from fileplane.settings import Settings
from fileplane.tracing.spans import step

Handler = Callable[[Call], Awaitable[ASGIApp]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. Without ``scope`` it needs no key, and neither where ``public`` says so of the settings.

    ``answer`` is a schema, or the media type of raw bytes. ``takes`` is the schema of a JSON body.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: Any
    scope: Scope | None = None
    parameters: Callable[[Settings], tuple[Parameter, ...]] = lambda _: ()
    fails_with: tuple[type[FileplaneError], ...] = ()
    takes: type | None = None
    public: Callable[[Settings], bool] = lambda _: False


_KEY_ERRORS: Final = (errors.MissingApiKey, errors.InvalidApiKey, errors.MissingScope, errors.UnsupportedProviderOperation)
_STORE_ERRORS: Final = (errors.StorageUnavailable, errors.InternalError)
_ALWAYS: Final = (*_KEY_ERRORS, *_STORE_ERRORS)
_UPLOAD_ERRORS: Final = (
    errors.MissingParameter,
    errors.InvalidValue,
    errors.BelowMinimum,
    errors.AboveMaximum,
    errors.UnknownParameter,
    errors.MalformedForm,
    errors.StorageQuotaExceeded,
    errors.RequestTimeout,
    errors.FileTooLarge,
    errors.UnsupportedMediaType,
    errors.IdempotencyConflict,
)
_JSON_ERRORS: Final = (errors.MissingParameter, errors.InvalidValue, errors.RequestTimeout, errors.UnsupportedMediaType)
_LIST_ERRORS: Final = (errors.InvalidValue, errors.BelowMinimum, errors.AboveMaximum, errors.UnknownParameter)
_HEAD_ERRORS: Final = (errors.FileNotFound, errors.StorageIntegrityError)
_CONTENT_ERRORS: Final = (errors.InvalidValue, errors.InvalidRange, *_HEAD_ERRORS)
_FILE: Final = "/v1/files/{file_id}"
_RAW: Final = "application/octet-stream"

OPERATIONS: Final = (
    Operation(
        "POST", "/v1/files", files.upload_file, "Upload a file", FileObject, Scope.FILES_WRITE, fails_with=(*_UPLOAD_ERRORS, *_ALWAYS)
    ),
    Operation("GET", "/v1/files", files.list_files, "List files", FileList, Scope.FILES_READ, list_parameters, (*_LIST_ERRORS, *_ALWAYS)),
    Operation(
        "GET", _FILE, files.retrieve_file, "Retrieve a file", FileObject, Scope.FILES_READ, fails_with=(errors.FileNotFound, *_ALWAYS)
    ),
    Operation(
        "DELETE",
        _FILE,
        files.delete_file,
        "Delete a file",
        FileDeletion,
        Scope.FILES_DELETE,
        delete_parameters,
        (errors.FileNotFound, errors.FileInUse, errors.InvalidValue, errors.UnknownParameter, *_ALWAYS),
    ),
    Operation(
        "GET", _FILE + "/content", files.file_content, "Download a file", _RAW, Scope.FILES_READ, fails_with=(*_CONTENT_ERRORS, *_ALWAYS)
    ),
    Operation(
        "HEAD",
        _FILE + "/content",
        files.file_content,
        "Headers of a download",
        None,
        Scope.FILES_READ,
        fails_with=(*_HEAD_ERRORS, *_ALWAYS),
    ),
    Operation(
        "POST",
        _FILE + "/restore",
        lifecycle.restore_file,
        "Restore a deleted file",
        FileObject,
        Scope.FILES_WRITE,
        fails_with=(errors.FileNotFound, errors.StorageQuotaExceeded, errors.InvalidValue, errors.RequestTimeout, *_ALWAYS),
    ),
    Operation(
        "POST",
        _FILE + "/holds",
        lifecycle.hold_file,
        "Hold a file",
        HoldObject,
        Scope.FILES_HOLD,
        fails_with=(errors.FileNotFound, errors.TooManyHolds, *_JSON_ERRORS, *_ALWAYS),
        takes=lifecycle.HoldRequest,
    ),
    Operation(
        "GET",
        _FILE + "/holds",
        lifecycle.list_holds,
        "List a file's holds",
        HoldList,
        Scope.FILES_READ,
        fails_with=(errors.FileNotFound, *_ALWAYS),
    ),
    Operation(
        "DELETE",
        _FILE + "/holds/{hold_id}",
        lifecycle.release_hold,
        "Release a hold",
        HoldDeletion,
        Scope.FILES_HOLD,
        fails_with=(errors.FileNotFound, errors.HoldNotFound, *_ALWAYS),
    ),
    Operation(
        "GET",
        _FILE + "/validation",
        lifecycle.file_validation,
        "The verdict on a file",
        FileValidation,
        Scope.FILES_READ,
        fails_with=(errors.FileNotFound, errors.ValidationNotFound, *_ALWAYS),
    ),
    Operation(
        "GET",
        "/v1/audit-logs",
        audit.audit_logs,
        "The audit log",
        AuditLogs,
        Scope.AUDIT_LOGS_VIEW,
        audit.audit_parameters,
        (*_LIST_ERRORS, *_ALWAYS),
    ),
    Operation("GET", "/healthz", system.alive, "Whether the server is alive", Health),
    Operation("GET", "/readyz", system.ready, "Whether database and blob store answer", Health, fails_with=_STORE_ERRORS),
    Operation("GET", "/openapi.json", system.openapi_document, "This document", dict),
    Operation(
        "GET",
        "/metrics",
        system.metrics,
        "What the server has counted, for Prometheus",
        "text/plain",
        Scope.METRICS_VIEW,
        fails_with=(*_KEY_ERRORS, errors.InternalError),
        public=lambda settings: settings.metrics_public,
    ),
)


def build_router(services: Services) -> Router:
    """The routes over ``services``. Paths are matched undecoded, so that an encoded slash in an id separates nothing."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    routes = [Route(path, _Endpoint(services, operations), methods=None) for path, operations in by_path.items()]
    return Router(routes, redirect_slashes=False, default=_no_such_route)


class _Endpoint:
    """One path: picks the operation by method, and lets nobody past who may not do what it does."""

    def __init__(self, services: Services, operations: dict[str, Operation]) -> None:
        self._services = services
        self._operations = operations
        if "GET" in operations:
            operations.setdefault("HEAD", operations["GET"])

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        operation = self._operations.get(scope["method"])
        if operation is None:
            raise MethodNotAllowed(
                f"Method {scope['method'][:20]} is not allowed here. Allowed: {', '.join(sorted(self._operations))}.",
                headers={"allow": ", ".join(sorted(self._operations))},
            )
        request = Request(scope, receive)
        scope["state"].update(operation=operation.handler.__name__, route=operation.path)
        caller = None
        if operation.scope is not None and not operation.public(self._services.settings):
            headers = _joined_headers(scope)
            with step("authenticate"):
                caller = await self._services.authenticator.authenticate(headers)
            scope["state"]["principal"] = caller
            require_scope(caller, operation.scope)
            require_native(headers)
        call = Call(request, self._services, caller)
        try:
            response = await operation.handler(call)
        except FileNotFound as error:
            # Told in the caller's own words: what is unknown has no other form.
            raise FileNotFound(call.given_id) from error
        await response(scope, receive, send)


def _joined_headers(scope: AsgiScope) -> dict[str, str]:
    """The headers, looked through once for all. One sent twice has both values, as RFC 9110 (section 5.3) has it, and so names nothing."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


async def _no_such_route(scope: AsgiScope, _receive: Receive, _send: Send) -> None:
    raise RouteNotFound(f"Invalid URL ({scope['method'][:20]} {scope['path'][:200]}). The API is under /v1; /openapi.json describes it.")
