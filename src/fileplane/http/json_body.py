"""Small JSON bodies, decoded into a declared schema with errors that name the field."""

from __future__ import annotations

import json
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request

from fileplane.clock import SystemClock
from fileplane.errors import InvalidRequest, InvalidValue, MissingParameter, UnknownParameter, UnsupportedMediaType
from fileplane.http.body import Patience, declared_length, read_body, refuse_encodings
from fileplane.settings import Settings

LARGEST_BODY: Final = 64 * 1024
_AT: Final = " - at `$"
_AT_KEY: Final = " - at `key` in `$"
_MISSING: Final = "Object missing required field `"
_UNKNOWN: Final = "Object contains unknown field `"
_LONGEST_NAME: Final = 80
_KEPT: Final = "json_body"

T = TypeVar("T")
_clock = SystemClock()


async def read_json(request: Request, schema: type[T], settings: Settings, most: int = LARGEST_BODY) -> T:
    """The body, of at most ``most`` bytes, as ``schema``.

    Raises an :class:`~fileplane.errors.InvalidRequest` that names the field, UnsupportedMediaType, or what reading a body raises.
    """
    return _decode(await _whole_body(request, settings, most), schema)


async def read_object(request: Request, most: int, settings: Settings) -> dict[str, Any]:
    """A body that is some JSON object of at most ``most`` bytes. Raises as :func:`read_json`."""
    return _decode(await _whole_body(request, settings, most), dict[str, Any])


async def read_json_if_any(request: Request, schema: type[T], settings: Settings) -> T:
    """As :func:`read_json`, where no body at all stands for an empty object."""
    length = declared_length(request)
    if length == 0 or (length is None and "transfer-encoding" not in request.headers):
        return schema()
    return await read_json(request, schema, settings)


async def scalars_in(request: Request, most: int, settings: Settings) -> dict[str, str | int | float | bool | None]:
    """The members of a JSON object that are no object and no list, before it is known who reads it, which :func:`read_json` and
    :func:`read_object` still can. Raises as they do.
    """  # noqa: D205 - one sentence
    body = request.scope["state"][_KEPT] = await _whole_body(request, settings, most)
    return {name: value for name, value in _decode(body, dict[str, Any]).items() if not isinstance(value, dict | list)}


async def _whole_body(request: Request, settings: Settings, most: int = LARGEST_BODY) -> bytes:
    kept: bytes | None = request.scope["state"].get(_KEPT)
    if kept is not None:
        return kept
    refuse_encodings(request)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("This needs a JSON body. Send it with 'Content-Type: application/json'.", param="content-type")
    body = bytearray()
    too_large = (declared_length(request) or 0) > most
    async for chunk in read_body(request.receive, Patience.from_settings(settings), _clock):
        too_large = too_large or len(body) + len(chunk) > most
        if too_large:
            raise InvalidValue(f"The body is larger than {most} bytes, the limit for JSON here.", param="body")
        body += chunk
    return bytes(body)


async def pass_over_body(request: Request, settings: Settings) -> None:
    """Reads a small body that means nothing, such as the empty object that SDKs send, so that the connection can go on."""
    received = 0
    async for chunk in read_body(request.receive, Patience.from_settings(settings), _clock):
        received += len(chunk)
        if received > LARGEST_BODY:
            raise InvalidValue(f"The body is larger than {LARGEST_BODY} bytes, and this call needs none.", param="body")


def _decode(body: bytes, schema: type[T]) -> T:
    try:
        decoded = msgspec.json.decode(body, type=schema)
        json.loads(body, object_pairs_hook=_once_each)
    except msgspec.ValidationError as error:
        raise _telling(str(error)) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidValue("The body is not valid JSON.", param="body") from error
    return decoded


def _telling(text: str) -> InvalidRequest:
    """What the decoder says, with the field at fault by its path."""
    what, _, where = text.replace(_AT_KEY, _AT).partition(_AT)
    path = where.rstrip("`").lstrip(".")
    for beginning in (_MISSING, _UNKNOWN):
        if what.startswith(beginning):
            field = what.removeprefix(beginning).rstrip("`")
            name = f"{path}.{field}" if path else field
            if beginning == _MISSING:
                return MissingParameter(f"Missing required parameter: '{name}'.", param=name)
            return UnknownParameter(f"Unknown parameter: '{name[:_LONGEST_NAME]}'.", param=name[:_LONGEST_NAME])
    name = path or "body"
    return InvalidValue(f"Invalid '{name}': {what}.", param=name)


def _once_each(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            shown = name[:_LONGEST_NAME]
            raise InvalidValue(f"'{shown}' was given twice. Give it once.", param=shown)
        seen.add(name)
