"""The OpenAPI 3.1 document, generated from the route table, the schemas and the error classes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

from fileplane import __version__
from fileplane.errors import ChecksumMismatch, FileplaneError, ProviderRefused
from fileplane.http.operation import Operation
from fileplane.http.routes import OPERATIONS
from fileplane.http.schemas import ErrorEnvelope
from fileplane.model import LONGEST_EXPIRY_SECONDS, SHORTEST_EXPIRY_SECONDS
from fileplane.settings import Settings

_ANSWERS = {operation.answer for operation in OPERATIONS if isinstance(operation.answer, type) and operation.answer is not dict}
_REQUESTS = {operation.takes for operation in OPERATIONS if operation.takes is not None}
_PATH_PARAMETER = re.compile(r"\{(\w+)\}")
_PATH_VALUES = {
    "type": {"type": "string", "enum": ["organisation", "workspace"]},
    "sub_type": {"type": "string", "enum": ["service", "user"]},
}
_DOWNLOADS = ("/content", "/output")
_REFERENCE = "#/components/schemas/{name}"
_REQUEST_ID = {"x-request-id": {"description": "Names this request in the server's log.", "schema": {"type": "string"}}}
_OF_LIMITED_CALLERS = {
    f"x-ratelimit-{name}-requests": {"description": f"Only where requests are limited: {what}.", "schema": {"type": kind}}
    for name, what, kind in (
        ("limit", "how many a minute may have", "integer"),
        ("remaining", "how many are left of this minute", "integer"),
        ("reset", "how long it is to the next minute, such as 12s", "string"),
    )
}


@cache
def encoded_document(settings: Settings) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document(settings))


def document(settings: Settings) -> dict[str, Any]:
    """The document for a server with these settings."""
    schemas = sorted({*_ANSWERS, *_REQUESTS, ErrorEnvelope}, key=lambda schema: schema.__name__)
    _, components = msgspec.json.schema_components(schemas, ref_template=_REFERENCE)
    for name in components.keys() - {schema.__name__ for schema in _REQUESTS}:
        # A default only spares the code from naming it: such a field is in every answer.
        component = components[name]
        always = component.get("required", [])
        component["required"] = [field for field, schema in component["properties"].items() if field in always or "default" in schema]
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in OPERATIONS:
        paths[operation.path][operation.method.lower()] = _describe(operation, settings)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Fileplane",
            "version": __version__,
            "summary": "One self-hosted /v1/files for AI work.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": dict(paths),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "portkey": {"type": "apiKey", "in": "header", "name": "x-portkey-api-key"},
            },
        },
    }


def _describe(operation: Operation, settings: Settings) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": parameter.name, "in": "query", "description": parameter.description, "schema": dict(parameter.schema)}
        for parameter in operation.parameters(settings)
    ]
    parameters += [
        {"name": one.name, "in": "header", "description": one.description, "required": one.required, "schema": dict(one.schema)}
        for one in operation.headers
    ]
    names = _PATH_PARAMETER.findall(operation.path)
    parameters[:0] = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_VALUES.get(name, {"type": "string"})} for name in names
    ]
    if operation.path.endswith(_DOWNLOADS):
        heeded = ("Range", "If-Range", *(("If-None-Match",) if _has_validators(operation) else ()))
        parameters.extend({"name": name, "in": "header", "schema": {"type": "string"}} for name in heeded)
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__ + ("_head" if operation.method == "HEAD" else ""),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {**_successes(operation), **_failures(operation.fails_with), **_refusals(operation)},
    }
    if operation.scope is not None:
        for answer in described["responses"].values():
            answer["headers"] = {**answer["headers"], **_OF_LIMITED_CALLERS}
        described["security"] = [{"bearer": []}, {"portkey": []}]
        scopes = " or ".join(f"`{scope.value}`" for scope in operation.scopes)
        described["description"] = f"Needs the scope {scopes}{', by what it is about' if operation.or_scopes else ''}."
    if operation.path == "/v1/files" and operation.method == "POST":
        described["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _upload_form()}}}
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255}})
    if operation.path.endswith("/parts") and operation.method == "POST":
        described["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": _part_form()}}}
    if operation.takes_bytes is not None:
        raw = {"type": "string", "contentMediaType": operation.takes_bytes}
        described["requestBody"] = {"required": operation.needs_body, "content": {operation.takes_bytes: {"schema": raw}}}
    if operation.takes is not None:
        schema = {"$ref": _REFERENCE.format(name=operation.takes.__name__)}
        described["requestBody"] = {"required": operation.needs_body, "content": {"application/json": {"schema": schema}}}
    return described


def _successes(operation: Operation) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success.", "headers": _REQUEST_ID}
    if isinstance(operation.answer, str) and not operation.path.endswith(_DOWNLOADS):
        return {"200": {**success, "content": {operation.answer: {"schema": {"type": "string"}}}}}
    if isinstance(operation.answer, str):
        raw = {"schema": {"type": "string", "contentMediaType": operation.answer}}
        partial = {"description": "The range asked for.", "headers": _REQUEST_ID, "content": {operation.answer: raw}}
        elsewhere = {"description": "The bytes are at `location` for a while (`content_delivery=redirect`).", "headers": _REQUEST_ID}
        whole = {"200": {**success, "content": {"*/*": raw}}, "206": {**partial, "content": {"*/*": raw}}}
        return {**whole, "302": elsewhere, **_unchanged(operation)}
    if operation.answer is None:
        return {str(operation.status): success, **_unchanged(operation)}
    name = operation.answer.__name__
    schema = {"type": "object"} if operation.answer is dict else {"$ref": _REFERENCE.format(name=name)}
    return {"200": {**success, "content": {"application/json": {"schema": schema}}}}


def _unchanged(operation: Operation) -> dict[str, Any]:
    if not _has_validators(operation):
        return {}
    return {"304": {"description": "The bytes are those that If-None-Match names.", "headers": _REQUEST_ID}}


def _has_validators(operation: Operation) -> bool:
    """Of the downloads, those that the native store serves."""
    return operation.path.endswith("/content")


def _failures(classes: Iterable[type[FileplaneError]]) -> dict[str, Any]:
    by_status: dict[int, list[type[FileplaneError]]] = defaultdict(list)
    for failure in classes:
        by_status[failure.status].append(failure)
    return {
        str(status): {
            "description": f"{phrase(status)}: " + " ".join(first_line(failure) + _code(failure) for failure in failures),
            "headers": _REQUEST_ID,
            "content": {"application/json": {"schema": {"$ref": _REFERENCE.format(name="ErrorEnvelope")}}},
        }
        for status, failures in sorted(by_status.items())
    }


def phrase(status: int) -> str:
    """What a status means. One of them is tus' own."""
    return "Checksum Mismatch" if status == ChecksumMismatch.status else HTTPStatus(status).phrase


def _refusals(operation: Operation) -> dict[str, Any]:
    """A provider may refuse with any status, such as 422 or 529, which is then the answer's."""
    if ProviderRefused not in operation.fails_with:
        return {}
    [refused] = _failures([ProviderRefused]).values()
    return {"default": {**refused, "description": first_line(ProviderRefused)}}


def first_line(failure: type[FileplaneError]) -> str:
    """The case that a row of the error table describes."""
    return (failure.__doc__ or "").partition("\n")[0]


def _code(failure: type[FileplaneError]) -> str:
    return f" (`{failure.code}`)" if failure.code else ""


def _part_form() -> dict[str, Any]:
    data = {
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "description": "The part's bytes, with a filename or without.",
    }
    return {"type": "object", "required": ["data"], "additionalProperties": False, "properties": {"data": data}}


def _upload_form() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["file", "purpose"],
        "additionalProperties": False,
        "properties": {
            "file": {"type": "string", "contentMediaType": "application/octet-stream", "description": "The file, with a filename."},
            "purpose": {"type": "string", "description": "What the file is for."},
            "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
            "expires_after[seconds]": {
                "type": "integer",
                "minimum": SHORTEST_EXPIRY_SECONDS,
                "maximum": LONGEST_EXPIRY_SECONDS,
                "description": "Seconds from creation to expiry.",
            },
            "expires_after": {"type": "string", "description": "Both of the above as one JSON object."},
        },
    }
