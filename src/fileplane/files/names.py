"""File names and media types, as they are stored and shown. Neither ever becomes part of a path."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from fileplane.errors import InvalidValue

LONGEST_NAME_BYTES: Final = 255
OCTET_STREAM: Final = "application/octet-stream"

_TYPES_BY_EXTENSION: Final = {
    "jsonl": "application/jsonl",
    "json": "application/json",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "csv": "text/csv",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
}
SHOWN_TYPES: Final = frozenset(_TYPES_BY_EXTENSION.values())
"""The only media types that content is ever served as; everything else is an octet stream, so that no browser runs it."""

_SEPARATORS: Final = re.compile(r"[/\\]")


def clean_filename(raw: str) -> str:
    """The last path component of a client's file name, otherwise to the letter.

    Raises :class:`~fileplane.errors.InvalidValue` for an empty name, a control character, ``.`` or ``..``, or more than 255 bytes.
    """
    name = _SEPARATORS.split(raw)[-1]
    if name in {"", ".", ".."}:
        raise InvalidValue("The file has no usable name. Send one in the part's filename, such as 'data.jsonl'.", param="file")
    if any(unicodedata.category(character) in {"Cc", "Zl", "Zp", "Cs"} for character in name):
        raise InvalidValue("The file name has a control character. Rename the file and send it again.", param="file")
    if len(name.encode("utf-8")) > LONGEST_NAME_BYTES:
        raise InvalidValue(f"The file name is longer than {LONGEST_NAME_BYTES} bytes. Shorten it and send it again.", param="file")
    return name


def media_type_of(filename: str, declared: str) -> str:
    """The type a file is stored with: its extension decides, then what the client declared, if it is one of the shown types."""
    _, dot, extension = filename.rpartition(".")
    known = _TYPES_BY_EXTENSION.get(extension.lower()) if dot else None
    if known is not None:
        return known
    plain = declared.partition(";")[0].strip().lower()
    return plain if plain in SHOWN_TYPES else OCTET_STREAM
