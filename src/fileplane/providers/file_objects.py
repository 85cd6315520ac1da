"""Providers' JSON as the values of :mod:`fileplane.providers.base`: whatever they call a field, in OpenAI's terms and in seconds."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from fileplane.errors import UpstreamAnswerInvalid
from fileplane.model import FileStatus
from fileplane.providers.base import RemoteFile
from fileplane.providers.remote_ids import is_remote_id

_SECONDS_OF_3000: Final = 32_503_680_000
MOST_BYTES: Final = 1 << 44
"""No provider's file is as large; a number that is larger would not fit where sizes are kept, or not where they are added up."""
_STATUSES: Final[Mapping[str, FileStatus]] = {
    "uploaded": FileStatus.UPLOADED,
    "pending": FileStatus.UPLOADED,
    "running": FileStatus.UPLOADED,
    "processing": FileStatus.UPLOADED,
    "queued": FileStatus.UPLOADED,
    "processed": FileStatus.PROCESSED,
    "ok": FileStatus.PROCESSED,
    "ready": FileStatus.PROCESSED,
    "active": FileStatus.PROCESSED,
    "success": FileStatus.PROCESSED,
    "completed": FileStatus.PROCESSED,
    "error": FileStatus.ERROR,
    "failed": FileStatus.ERROR,
    "invalid_format": FileStatus.ERROR,
}
MOST_VALUES: Final = 400_000
"""In an answer: forty for each of ten thousand files, which is the longest list that any provider gives at once."""
GONE: Final = frozenset({"deleting", "deleted"})
"""States in which a provider still shows a file that no longer exists."""


def parse_json(body: bytes, most_values: int = MOST_VALUES) -> Any:
    """Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` for what is no JSON, or could not be told on as JSON, as NaN and half a
    surrogate pair could not, and for what has more than ``most_values`` values.

    A value of three bytes takes a hundred in memory, so that a bound of bytes alone would be none of memory. Commas in texts count too.
    """  # noqa: D205 - one sentence
    if body.count(b",") + body.count(b"[") + body.count(b"{") > most_values:
        raise UpstreamAnswerInvalid("The provider's answer has more values than can be read.")
    try:
        return msgspec.json.decode(body.removeprefix(codecs.BOM_UTF8))
    except (ValueError, RecursionError) as error:
        raise UpstreamAnswerInvalid("The provider's answer is not JSON.") from error


def parse_file(value: Any, purposes: Mapping[str, str], *, has_status: bool = True) -> RemoteFile:
    """One File object. ``purposes`` are the provider's words with ours; where it ``has_status`` not, every file counts as processed.

    Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` when it is none, or has an id that cannot stand in a path.
    """
    if not isinstance(value, dict) or not is_remote_id(value.get("id")):
        raise UpstreamAnswerInvalid("The provider's answer has no file with a usable id.")
    purpose = _text(value, "purpose")
    status = _text(value, "status", "processing_status")
    known = _STATUSES.get(status.lower()) if status else None
    return RemoteFile(
        id=value["id"],
        bytes=_size(value, "bytes", "size_bytes", "size"),
        created_at=seconds_of(value, "created_at", "createdAt"),
        expires_at=seconds_of(value, "expires_at", "expiresAt"),
        filename=_text(value, "filename", "name"),
        purpose=purposes.get(purpose, purpose) if purpose else None,
        status=known or (None if has_status and status is None else FileStatus.PROCESSED),
        status_details=_text(value, "status_details") or _text(_report(value), "error"),
    )


def is_gone(value: Any) -> bool:
    """Whether a File object describes one that is deleted already."""
    return isinstance(value, dict) and (_text(value, "status") in GONE or value.get("deleted") is True)


def _report(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a provider found when it looked at a file's lines."""
    found = value.get("validation_report")
    return found if isinstance(found, dict) else {}


def _text(value: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        found = value.get(name)
        if found and isinstance(found, str):
            return found
    return None


def _size(value: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        found = value.get(name)
        if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) < 20:  # noqa: PLR2004 - digits of 2**63
            found = int(found)
        if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= MOST_BYTES:
            return found
    return None


def seconds_of(value: Mapping[str, Any], *names: str) -> int | None:
    """A time as whole seconds, from seconds, milliseconds or RFC 3339; without an offset it is taken for UTC. None is before 1970."""
    for name in names:
        found = value.get(name)
        if isinstance(found, int | float) and not isinstance(found, bool) and 0 < found < _SECONDS_OF_3000 * 1_000:
            return int(found if found < _SECONDS_OF_3000 else found / 1_000)
        if isinstance(found, str):
            try:
                moment = datetime.fromisoformat(found.upper())  # RFC 3339 has the letters in either case
            except ValueError:
                continue
            seconds = int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
            if seconds >= 0:
                return seconds
    return None
