"""Providers' JSON answers, without the credentials of the requests that they answer, should a provider repeat one."""

from __future__ import annotations

import functools
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from json.encoder import encode_basestring_ascii
from typing import Any, Final

import msgspec

from fileplane.providers.access import Access
from fileplane.providers.base import Target
from fileplane.providers.egress_response import EgressResponse
from fileplane.providers.file_objects import MOST_VALUES, parse_json
from fileplane.providers.refusals import cleaned
from fileplane.secrets.values import REDACTED

_SHORTEST_SECRET: Final = 8


async def answer_of(target: Target, access: Access, response: EgressResponse, most: int, most_values: int = MOST_VALUES) -> Any:
    """The JSON of a body of at most ``most`` bytes; None for an empty body.

    A credential that projects share is known to none of them, so in whatever member it stands, and however it is escaped, it is
    replaced. Raises :class:`~fileplane.errors.UpstreamAnswerInvalid`.
    """
    body = await response.read(most)
    if not body.strip():
        return None
    answer = parse_json(_without(body, target, access), most_values)
    if b"\\" not in body:
        return answer
    plainly = msgspec.json.encode(answer)
    replaced = _without(plainly, target, access)
    return answer if replaced == plainly else parse_json(replaced, most_values)


def time_at(response: EgressResponse) -> float:
    """The time at the provider when it answered, in seconds since 1970; this machine's, where it does not say."""
    told = _seconds_of(response.headers.get("date", ""))
    return time.time() if told is None else told


@functools.lru_cache(maxsize=16)
def _seconds_of(date: str) -> float | None:
    """Kept, since all answers within a second have the same."""
    try:
        moment = parsedate_to_datetime(date)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def media_type_of(target: Target, access: Access, response: EgressResponse) -> str | None:
    """The type that a provider gives to a download; None for one that has a credential in it."""
    said = response.headers.get("content-type")
    return said if said is None or REDACTED not in cleaned(said, [*target.secrets.values(), *access.secret_headers.values()]) else None


def _without(body: bytes, target: Target, access: Access) -> bytes:
    for value in {secret.reveal().removeprefix("Bearer ") for secret in (*target.secrets.values(), *access.secret_headers.values())}:
        for form in {value, encode_basestring_ascii(value)[1:-1]}:
            if len(form) >= _SHORTEST_SECRET:
                body = body.replace(form.encode(), REDACTED.encode())
    return body
