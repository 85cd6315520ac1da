"""Every route on one page: who may call it, what it takes, what it answers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.routing import Route, Router
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from fileplane import errors
from fileplane.access import Scope
from fileplane.control.authority import require_scope
from fileplane.control.routes import NATIVE, no_params
from fileplane.errors import FileNotFound, FileplaneError, MethodNotAllowed, RouteNotFound
from fileplane.http import audit_handlers as audit
from fileplane.http import capability_handlers as capability
from fileplane.http import files_handlers as files
from fileplane.http import lifecycle_handlers as lifecycle
from fileplane.http import remote_handlers as remote
from fileplane.http import system_handlers as system
from fileplane.http import usage_handlers as usage
from fileplane.http.access_operations import ACCESS_OPERATIONS
from fileplane.http.auth import joined_headers
from fileplane.http.call import Call, Services
from fileplane.http.capability_schemas import CapabilityList
from fileplane.http.control_operations import CONTROL_OPERATIONS
from fileplane.http.job_operations import JOB_OPERATIONS, JOB_PATHS
from fileplane.http.json_body import scalars_in
from fileplane.http.not_provided import not_provided_routes
from fileplane.http.operation import ALWAYS, JSON_ERRORS, KEY_ERRORS, ROUTE_ERRORS, STORE_ERRORS, Operation
from fileplane.http.parameters import delete_parameters, list_parameters
from fileplane.http.remote_trace import name_provider, tell
from fileplane.http.schemas import AuditLogs, FileDeletion, FileList, FileObject, FileValidation, Health, HoldDeletion, HoldList, HoldObject
from fileplane.http.tus_handlers import TUS
from fileplane.http.tus_headers import OVERRIDE, RESUMABLE
from fileplane.http.tus_operations import TUS_OPERATIONS
from fileplane.http.upload_operations import UPLOAD_OPERATIONS, UPLOADS
from fileplane.http.usage_schemas import UsagePage
from fileplane.routing.resolution import NOBODY
from fileplane.tracing.spans import step

_UPLOAD_ERRORS: Final = (
    errors.MissingParameter,
    errors.InvalidValue,
    errors.BelowMinimum,
    errors.AboveMaximum,
    errors.UnknownParameter,
    errors.MalformedForm,
    errors.StorageQuotaExceeded,
    errors.FileQuotaExceeded,
    errors.RequestTimeout,
    errors.FileTooLarge,
    errors.UnsupportedMediaType,
    errors.IdempotencyConflict,
)
_LIST_ERRORS: Final = (errors.InvalidValue, errors.BelowMinimum, errors.AboveMaximum, errors.UnknownParameter)
_HEAD_ERRORS: Final = (errors.FileNotFound, errors.StorageIntegrityError)
_CONTENT_ERRORS: Final = (errors.InvalidValue, errors.InvalidRange, *_HEAD_ERRORS)
_UPLOAD_ROUTE_ERRORS: Final = (errors.UploadLost, errors.UploadTimedOut)
_FILE: Final = "/v1/files/{file_id}"
_RAW: Final = "application/octet-stream"
_ROUTED: Final = ("/v1/files", UPLOADS, TUS, *JOB_PATHS)
"""The calls that go where headers, configs and virtual keys say. All others are about Fileplane itself."""

OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/files",
        files.upload_file,
        "Upload a file",
        FileObject,
        Scope.FILES_WRITE,
        fails_with=(*_UPLOAD_ERRORS, *ROUTE_ERRORS, *_UPLOAD_ROUTE_ERRORS, *ALWAYS),
        remote=remote.upload_file,
    ),
    Operation(
        "GET",
        "/v1/files",
        files.list_files,
        "List files",
        FileList,
        Scope.FILES_READ,
        list_parameters,
        (*_LIST_ERRORS, *ROUTE_ERRORS, *ALWAYS),
        remote=remote.list_files,
    ),
    Operation(
        "GET",
        _FILE,
        files.retrieve_file,
        "Retrieve a file",
        FileObject,
        Scope.FILES_READ,
        fails_with=(errors.FileNotFound, errors.InvalidValue, *ROUTE_ERRORS, *ALWAYS),
        remote=remote.retrieve_file,
    ),
    Operation(
        "DELETE",
        _FILE,
        files.delete_file,
        "Delete a file",
        FileDeletion,
        Scope.FILES_DELETE,
        delete_parameters,
        (errors.FileNotFound, errors.FileInUse, errors.InvalidValue, errors.UnknownParameter, *ROUTE_ERRORS, *ALWAYS),
        remote=remote.delete_file,
    ),
    Operation(
        "GET",
        _FILE + "/content",
        files.file_content,
        "Download a file",
        _RAW,
        Scope.FILES_READ,
        fails_with=(*_CONTENT_ERRORS, *ROUTE_ERRORS, *ALWAYS),
        remote=remote.file_content,
    ),
    Operation(
        "HEAD",
        _FILE + "/content",
        files.file_content,
        "Headers of a download",
        None,
        Scope.FILES_READ,
        fails_with=(*_HEAD_ERRORS, errors.InvalidValue, *ROUTE_ERRORS, *ALWAYS),
        remote=remote.file_content,
    ),
    Operation(
        "POST",
        _FILE + "/restore",
        lifecycle.restore_file,
        "Restore a deleted file",
        FileObject,
        Scope.FILES_WRITE,
        fails_with=(
            errors.FileNotFound,
            errors.StorageQuotaExceeded,
            errors.FileQuotaExceeded,
            errors.InvalidValue,
            errors.RequestTimeout,
            *ALWAYS,
        ),
    ),
    Operation(
        "POST",
        _FILE + "/holds",
        lifecycle.hold_file,
        "Hold a file",
        HoldObject,
        Scope.FILES_HOLD,
        fails_with=(errors.FileNotFound, errors.TooManyHolds, *JSON_ERRORS, *ALWAYS),
        takes=lifecycle.HoldRequest,
    ),
    Operation(
        "GET",
        _FILE + "/holds",
        lifecycle.list_holds,
        "List a file's holds",
        HoldList,
        Scope.FILES_READ,
        fails_with=(errors.FileNotFound, *ALWAYS),
    ),
    Operation(
        "DELETE",
        _FILE + "/holds/{hold_id}",
        lifecycle.release_hold,
        "Release a hold",
        HoldDeletion,
        Scope.FILES_HOLD,
        fails_with=(errors.FileNotFound, errors.HoldNotFound, *ALWAYS),
    ),
    Operation(
        "GET",
        _FILE + "/validation",
        lifecycle.file_validation,
        "The verdict on a file",
        FileValidation,
        Scope.FILES_READ,
        fails_with=(errors.FileNotFound, errors.ValidationNotFound, *ALWAYS),
    ),
    Operation(
        "GET",
        "/v1/audit-logs",
        audit.audit_logs,
        "The audit log",
        AuditLogs,
        Scope.AUDIT_LOGS_VIEW,
        audit.audit_parameters,
        (*_LIST_ERRORS, *ALWAYS),
    ),
    Operation(
        "GET",
        "/v1/usage",
        usage.usage,
        "Usage, and what is left of the limits",
        UsagePage,
        Scope.USAGE_VIEW,
        usage.usage_parameters,
        (*_LIST_ERRORS, errors.RecordNotFound, *ALWAYS),
    ),
    Operation(
        "GET",
        "/v1/capabilities",
        capability.capabilities,
        "What can be done at each provider",
        CapabilityList,
        Scope.FILES_READ,
        capability.capability_parameters,
        (errors.InvalidValue, errors.UnknownParameter, errors.BeyondOwnRights, errors.CredentialUnavailable, *ALWAYS),
        public=lambda settings: settings.auth == "passthrough",
    ),
    *UPLOAD_OPERATIONS,
    *TUS_OPERATIONS,
    *JOB_OPERATIONS,
    *ACCESS_OPERATIONS,
    *CONTROL_OPERATIONS,
    Operation("GET", "/healthz", system.alive, "Whether the server is alive", Health),
    Operation("GET", "/readyz", system.ready, "Whether database and blob store answer", Health, fails_with=STORE_ERRORS),
    Operation("GET", "/openapi.json", system.openapi_document, "This document", dict),
    Operation(
        "GET",
        "/metrics",
        system.metrics,
        "What the server has counted, for Prometheus",
        "text/plain",
        Scope.METRICS_VIEW,
        fails_with=(*KEY_ERRORS, errors.InternalError),
        public=lambda settings: settings.metrics_public,
    ),
)


def build_router(services: Services) -> Router:
    """The routes over ``services``. Paths are matched undecoded, so that an encoded slash in an id separates nothing."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    # Clients of tus are often given a URL that ends in a slash.
    by_path[f"{TUS}/"] = by_path[TUS]
    routes = [Route(path, _Endpoint(services, operations), methods=None) for path, operations in by_path.items()]
    return Router([*routes, *not_provided_routes(services.authenticator)], redirect_slashes=False, default=_no_such_route)


class _Endpoint:
    """One path: picks the operation by method, and lets nobody past who may not do what it does."""

    def __init__(self, services: Services, operations: dict[str, Operation]) -> None:
        self._services = services
        self._operations = operations
        self._speaks_tus = any(operation.path.startswith(TUS) for operation in operations.values())
        if "GET" in operations:
            operations.setdefault("HEAD", operations["GET"])

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        operation = self._operations.get(_method_of_tus(scope) if self._speaks_tus else scope["method"])
        if operation is None:
            raise MethodNotAllowed(
                f"Method {scope['method'][:20]} is not allowed here. Allowed: {', '.join(sorted(self._operations))}.",
                headers={"allow": ", ".join(sorted(self._operations))},
            )
        request = Request(scope, receive)
        scope["state"].update(operation=operation.handler.__name__, route=operation.path)
        caller = None
        routed, passthrough = (
            operation.scope is not None and operation.path.startswith(_ROUTED),
            self._services.settings.auth == "passthrough",
        )
        headers = joined_headers(scope)
        if routed and passthrough:
            scope["state"]["principal"] = caller = NOBODY
        elif operation.scope is not None and not operation.public(self._services.settings):
            with step("authenticate"):
                caller = await self._services.authenticator.authenticate(headers)
            scope["state"]["principal"] = caller
            await self._services.request_limits.admit(caller, scope["state"]["answer_headers"])
            require_scope(caller, operation.scope, *operation.or_scopes)
        route = NATIVE
        if caller is not None and routed:
            routes = self._services.routes
            params = partial(scalars_in, request, most, self._services.settings) if (most := operation.most_for_conditions) else no_params
            path = scope["path"]
            route = await (routes.find_own(headers, path, params) if passthrough else routes.find(headers, caller, path, params))
        await _answer(operation, Call(request, self._services, caller, route), scope, receive, send)


def _method_of_tus(scope: AsgiScope) -> str:
    """The method that is meant. Answers of tus name its version, refusals too, and its clients may not be able to say PATCH or DELETE."""
    scope["state"]["answer_headers"].append(tuple(text.encode() for text in RESUMABLE))
    method: str = scope["method"]
    return joined_headers(scope).get(OVERRIDE, method).strip()


async def _answer(operation: Operation, call: Call, scope: AsgiScope, receive: Receive, send: Send) -> None:
    to_provider = call.goes_to_provider
    handler = operation.remote or remote.unsupported if to_provider else operation.handler
    try:
        await (await handler(call))(scope, receive, send)
    except FileNotFound as error:
        if call.route.remote is not None and operation.remote is not None and not to_provider:
            # Some providers' ids have the form of the native store's: those of Mistral and Azure OpenAI are UUIDs as well.
            await _answer(operation, replace(call, not_here=True), scope, receive, send)
            return
        # Told in the caller's own words: what is unknown has no other form.
        tell(call)
        if not operation.path.startswith(_FILE):
            raise
        raise FileNotFound(call.given_id) from error
    except FileplaneError as error:
        tell(call)
        name_provider(call, error)
        raise


async def _no_such_route(scope: AsgiScope, _receive: Receive, _send: Send) -> None:
    raise RouteNotFound(f"Invalid URL ({scope['method'][:20]} {scope['path'][:200]}). The API is under /v1; /openapi.json describes it.")
