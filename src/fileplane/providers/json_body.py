"""A JSON document as the body of an outbound request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from fileplane.errors import InvalidValue
from fileplane.providers.outcomes import JOB, Outcome
from fileplane.providers.request_body import RequestBody

MOST_DOCUMENT_BYTES: Final = 1 << 20


class JsonBody(RequestBody):
    """A document, such as a job's, sent with its length. Raises InvalidValue for what is no JSON, or exceeds 1 MiB."""

    content_type = "application/json"

    def __init__(self, document: Mapping[str, Any], outcome: Outcome = JOB) -> None:
        """``outcome`` is what is said when nobody knows what became of it."""
        self.outcome = outcome
        content = _encoded(document)
        if len(content) > MOST_DOCUMENT_BYTES:
            raise InvalidValue(f"A job's document has at most {MOST_DOCUMENT_BYTES} bytes.")
        super().__init__(_once(content), len(content))


def _encoded(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidValue("The job's document is not JSON.") from error


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
