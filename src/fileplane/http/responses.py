"""Answers in JSON, and the one error envelope."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from fileplane.errors import FileplaneError
from fileplane.http.schemas import ErrorBody, ErrorEnvelope

_encoder = msgspec.json.Encoder()


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``value`` (a schema) as JSON."""
    return Response(_encoder.encode(value), status, headers, "application/json")


def error_response(error: FileplaneError) -> Response:
    """The envelope of an error. A definitive answer tells the SDKs not to send the request again.

    OpenAI's heed ``x-should-retry``. Portkey's do not, but take a 5xx with ``x-portkey-gateway-exception`` for final
    (portkey-ai 2.3.4 for Python, 3.1.0 for Node).
    """
    headers = dict(error.headers)
    if error.definitive:
        headers["x-should-retry"] = "false"
        headers["x-portkey-gateway-exception"] = "true"
    body = ErrorBody(message=error.message, type=error.type, param=error.param, code=error.code)
    return json_response(ErrorEnvelope(error=body), error.status, headers)
