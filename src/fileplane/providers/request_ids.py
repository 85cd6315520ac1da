"""The id that a provider gives to a call, by which its support finds it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from fileplane.providers.refusals import cleaned
from fileplane.secrets.values import Secret

_HEADERS: Final = ("x-request-id", "request-id", "apim-request-id", "x-ms-request-id", "x-amzn-requestid", "x-correlation-id")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")


@dataclass(slots=True)
class Heard:
    """What the last answer to a target's calls said of itself. ``request_id`` is None while, and where, there is none."""

    request_id: str | None = None


def request_id_of(headers: Mapping[str, str], secrets: Iterable[Secret]) -> str | None:
    """The first of an answer's ids that can be passed on: one word, not too long, and not a secret that came back. Names in lower case."""
    known = list(secrets)
    for name in _HEADERS:
        value = headers.get(name)
        if value is None:
            continue
        value = value.strip()
        if _ID.fullmatch(value) and cleaned(value, known) == value:
            return value
    return None
