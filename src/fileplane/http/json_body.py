"""Small JSON bodies, decoded into a declared schema with errors that name the field."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from starlette.requests import Request

from fileplane.clock import SystemClock
from fileplane.errors import InvalidValue, MissingParameter, UnsupportedMediaType
from fileplane.http.body import Patience, declared_length, read_body, refuse_content_encoding
from fileplane.settings import Settings

LARGEST_BODY: Final = 64 * 1024
_AT: Final = " - at `$"
_MISSING: Final = "Object missing required field `"

T = TypeVar("T")
_clock = SystemClock()


async def read_json(request: Request, schema: type[T], settings: Settings) -> T:
    """The body as ``schema``.

    Raises an :class:`~fileplane.errors.InvalidRequest` that names the field, UnsupportedMediaType, or what reading a body raises.
    """
    refuse_content_encoding(request)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("This needs a JSON body. Send it with 'Content-Type: application/json'.", param="content-type")
    body = bytearray()
    too_large = (declared_length(request) or 0) > LARGEST_BODY
    async for chunk in read_body(request.receive, Patience.from_settings(settings), _clock):
        too_large = too_large or len(body) + len(chunk) > LARGEST_BODY
        if too_large:
            raise InvalidValue(f"The body is larger than {LARGEST_BODY} bytes, the limit for JSON here.", param="body")
        body += chunk
    return _decode(bytes(body), schema)


async def pass_over_body(request: Request, settings: Settings) -> None:
    """Reads a small body that means nothing, such as the empty object that SDKs send, so that the connection can go on."""
    received = 0
    async for chunk in read_body(request.receive, Patience.from_settings(settings), _clock):
        received += len(chunk)
        if received > LARGEST_BODY:
            raise InvalidValue(f"The body is larger than {LARGEST_BODY} bytes, and this call needs none.", param="body")


def _decode(body: bytes, schema: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=schema)
    except msgspec.ValidationError as error:
        text = str(error)
        if text.startswith(_MISSING):
            name = text.removeprefix(_MISSING).partition("`")[0]
            raise MissingParameter(f"Missing required parameter: '{name}'.", param=name) from error
        what, _, where = text.partition(_AT)
        name = where.rstrip("`").lstrip(".") or "body"
        raise InvalidValue(f"Invalid '{name}': {what}.", param=name) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidValue("The body is not valid JSON.", param="body") from error
