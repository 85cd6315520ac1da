"""Files for Cohere's embed jobs: a row has a ``text`` and whatever else is to come back with it.

Source: https://docs.cohere.com/docs/datasets, where a row of the type ``embed-input`` is ``{"text": …}``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import FIELDS, encoded, one_line, read
from fileplane.providers.jsonl.requests import EMBEDDINGS_URL, batch_request, text_field
from fileplane.providers.jsonl.stream import uploaded

ID_FIELD: Final = "custom_id"
"""The field of a row that Cohere has to be told to keep."""
_KNOWN: Final = frozenset({"input", "model", "encoding_format", "user"})


def to_cohere(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Every request of a batch of embeddings as ``{"custom_id": …, "text": …}``; every other object as it is, in one line.

    Raises :class:`~fileplane.errors.InvalidValue`, with ``param`` ``file``, for the first line that is no object, or is a request that asks
    for something else or for more than one text. No more is held than one line and one piece.
    """
    return uploaded(content, _turned)


def _turned(line: bytes) -> bytes:
    fields = read(FIELDS, line)
    if ID_FIELD not in fields or "body" not in fields:
        return one_line(line)
    request = batch_request(line)
    if request.url != EMBEDDINGS_URL:
        raise Unusable(f"url must be '{EMBEDDINGS_URL}', as an embed job makes nothing else.")
    for name in request.body:
        if name not in _KNOWN:
            raise Unusable(f"{quoted(f'body.{name}')} has no counterpart in a row of an embed job; leave it out.")
    text = text_field(request.body, "input")
    if text is None:
        raise Unusable("body.input is missing.")
    return encoded({ID_FIELD: request.custom_id, "text": text})
