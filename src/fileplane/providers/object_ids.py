"""The ids of files in object stores: the URI of an object, percent-encoded as a whole, as Portkey gives them out.

The object ``a b.jsonl`` of the bucket ``files`` at S3 has the id ``s3%3A%2F%2Ffiles%2Fa%20b.jsonl``. Callers put an id into a path as it
is, or percent-encode it once more, as OpenAI's SDKs do; after the path was decoded once, the one is a URI and the other an id. Both are
taken, and nothing that is encoded more often: of an object whose own key has percent-encodings it could not be told which of the two is
meant, so that such an object has no id here.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from fileplane.errors import FileNotFound

LONGEST_URI_BYTES: Final = 1_100
LONGEST_KEY_BYTES: Final = 1_024
"""S3 and Cloud Storage have the same limit."""
OWN_PREFIX: Final = "fileplane/"
"""Begins the key of every object that is put into a bucket without a key of the caller's choice."""
_URI: Final = re.compile(r"(s3|gs)://([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])/(.+)", re.DOTALL)
_ENCODED: Final = re.compile(r"(?:s3|gs)%3A%2F%2F(?:[A-Za-z0-9!'()*._~-]|%[0-9A-F]{2})+", re.IGNORECASE)
_UNENCODED: Final = "!'()*-._~"
"""What ECMAScript's encodeURIComponent leaves as it is, besides letters and digits."""
_PERCENT_ENCODING: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_LONGEST_ID: Final = len("s3://") + 3 * LONGEST_URI_BYTES


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """Where an object is. ``scheme`` is ``s3`` or ``gs``."""

    scheme: str
    bucket: str
    key: str

    @property
    def uri(self) -> str:
        """Such as ``s3://bucket/key``."""
        return f"{self.scheme}://{self.bucket}/{self.key}"

    @property
    def id(self) -> str:
        """The file's id."""
        return quote(self.uri, safe=_UNENCODED)


def is_object_key(key: str) -> bool:
    """Whether an object can have this key and be named by an id: nothing that climbs, ends a line, or is encoded."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return False
    if not 1 <= size <= LONGEST_KEY_BYTES or _PERCENT_ENCODING.search(key):
        return False
    if any(segment in {".", ".."} for segment in re.split(r"[/\\]", key)):
        return False
    return not any(unicodedata.category(character) in _UNSEEN for character in key)


def parse_object_id(text: object) -> ObjectPlace | None:
    """The object that an id, or a URI, names; None for what is neither."""
    if not isinstance(text, str) or len(text) > _LONGEST_ID:
        return None
    if _ENCODED.fullmatch(text):
        try:
            text = unquote_to_bytes(text).decode()
        except UnicodeDecodeError:
            return None
    match = _URI.fullmatch(text)
    if match is None or ".." in match[2] or not is_object_key(match[3]) or len(text.encode()) > LONGEST_URI_BYTES:
        return None
    return ObjectPlace(*match.groups())


def canonical_id(text: str) -> str:
    """The id of the object that ``text`` names; any other text as it is."""
    place = parse_object_id(text)
    return text if place is None else place.id


def object_of(file_id: str, scheme: str, bucket: str) -> ObjectPlace:
    """The object in that bucket that an id names. Raises :class:`~fileplane.errors.FileNotFound` for every other id."""
    place = parse_object_id(file_id)
    if place is None or (place.scheme, place.bucket) != (scheme, bucket):
        raise FileNotFound(file_id)
    return place


def is_below(file_id: str, scheme: str, bucket: str, prefixes: tuple[str, ...]) -> bool:
    """Whether an id names an object of that bucket whose key begins with one of ``prefixes``, which each end with a slash."""
    place = parse_object_id(file_id)
    return place is not None and (place.scheme, place.bucket) == (scheme, bucket) and place.key.startswith(prefixes)
