"""How a request's custom_id travels with a request for Gemini, and comes back.

It goes twice. At the top of the line as ``key``, as it is: that is how batches of embeddings on Vertex AI and the Gemini API's batches
carry it, and what a line has beside its request comes back. And within the request in ``labels``, which come back because the request
does (docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/add-labels-to-api-calls): but Google may drop a label of which an
account has used more than 1,000 values. A value has at most 63 characters of ``a-z0-9_-``, so an id that is not so is written in base32,
over as many labels as it takes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from fileplane.providers.jsonl.problems import Unusable

LABEL: Final = "fileplane_custom_id"
ENCODED_LABEL: Final = "fileplane_custom_id_base32"
LONGEST_ID: Final = 1024
"""Bytes of a custom_id: 27 of the 64 labels that a request may have."""

_LONGEST_VALUE: Final = 63
_PLAIN: Final = re.compile(r"[a-z0-9_-]{1,63}")


def labels_of(custom_id: str) -> dict[str, str]:
    """The labels that hold an id. Raises :class:`Unusable` for one of more than 1,024 bytes."""
    if _PLAIN.fullmatch(custom_id):
        return {LABEL: custom_id}
    content = custom_id.encode()
    if len(content) > LONGEST_ID:
        raise Unusable(f"custom_id has more than {LONGEST_ID} bytes.")
    written = base64.b32encode(content).decode().rstrip("=").lower()
    pieces = [written[start : start + _LONGEST_VALUE] for start in range(0, len(written), _LONGEST_VALUE)]
    return {_name(index): piece for index, piece in enumerate(pieces)}


def id_in(labels: Mapping[str, object]) -> str | None:
    """The id that labels hold, or None when they hold none, or not all of it."""
    plain = labels.get(LABEL)
    if isinstance(plain, str):
        return plain
    written = ""
    while isinstance(piece := labels.get(_name(len(written) // _LONGEST_VALUE)), str) and len(written) % _LONGEST_VALUE == 0:
        written += piece
        if len(piece) < _LONGEST_VALUE:
            break
    try:
        return base64.b32decode(written.upper() + "=" * (-len(written) % 8)).decode() or None
    except (binascii.Error, ValueError):
        return None


def _name(index: int) -> str:
    return f"{ENCODED_LABEL}_{index}" if index else ENCODED_LABEL
