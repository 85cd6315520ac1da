"""Addresses of images and documents, which often are the image itself and long."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Raw

from fileplane.providers.jsonl.problems import Unusable, quoted
from fileplane.providers.jsonl.reading import TEXT, encoded, read

_DATA_URL: Final = re.compile(rb'"data:([\w.+-]+/[\w.+-]+)(?:;[\w.=+-]+)*;base64,')
_LONGEST_HEAD: Final = 256


class Url:
    """A URL as it was written in JSON. The base64 of a data URL goes from line to line without being decoded as text."""

    def __init__(self, written: Raw) -> None:
        """Raises :class:`Unusable` for what is not a text."""
        content = bytes(written)
        if b"\\" in content or content[:1] != b'"':
            content = encoded(read(TEXT, written, "the URL of an image or a file"))
        self._written = content

    def data(self) -> tuple[str, Raw] | None:
        """The media type, and the base64 in quotation marks, of a data URL; None for an address."""
        match = _DATA_URL.match(self._written[:_LONGEST_HEAD])
        if match is None:
            return None
        return match[1].decode(), Raw(b'"' + memoryview(self._written)[match.end() :])

    def must_be_data(self, what: str) -> tuple[str, Raw]:
        """The same. Raises :class:`Unusable` for an address, naming ``what`` it is of."""
        data = self.data()
        if data is None:
            raise Unusable(f"{what} must be a data URL with base64: the provider fetches nothing from {quoted(str(self))}.")
        return data

    def __str__(self) -> str:
        return TEXT.decode(self._written)
