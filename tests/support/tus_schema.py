"""Teaches schemathesis the media type of what is appended to a resumable upload, for every test that generates cases from the document."""

from __future__ import annotations

import schemathesis

from fileplane.http.tus_headers import MEDIA_TYPE


def bytes_as_they_are(_context: object, value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def teach_bytes() -> None:
    """To be called before cases are generated; again does no harm."""
    schemathesis.serializer(MEDIA_TYPE)(bytes_as_they_are)
