"""Gemini's Files API (Google AI Studio), as its SDK google-genai 3.4.0 and https://ai.google.dev/api/files have it.

Its files are resources with names such as ``files/abc-123``, of which callers see the id. Uploads are resumable ones
(:mod:`fileplane.providers.google_uploads`), whose length must be known first. Files last 48 hours, and are downloaded only where Gemini
made them. One that is unknown, or somebody else's, is refused with 403, which here is a file that is not found. Lists come in no order
that is promised, and are sorted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from fileplane.errors import InvalidValue
from fileplane.providers.access import Access, base_url_of, missing_credential
from fileplane.providers.base import Capabilities, Paging, RemoteFile, RemoteUpload, Target
from fileplane.providers.dialects import Dialect, ListOrder
from fileplane.providers.egress import Egress
from fileplane.providers.file_objects import seconds_of
from fileplane.providers.google_uploads import ResumableUploads
from fileplane.providers.openai import OpenAIShaped, check_upload
from fileplane.providers.overriding import overriding
from fileplane.providers.remote_ids import gemini_id, gemini_path

_GIB: Final = 1 << 30
_TWO_DAYS: Final = 2 * 86_400
_HOST: Final = "https://generativelanguage.googleapis.com"


def _read(answer: Any, now: float) -> Any:
    """A File, with the id in the place of the name: an empty one, which is none that could be used, where the name has none."""
    if not isinstance(answer, dict):
        return answer
    error = answer.get("error")
    expires_at, name = seconds_of(answer, "expirationTime"), answer.get("name")
    return {
        "id": gemini_id(name) or ("" if isinstance(name, str) else None),
        "filename": answer.get("displayName"),
        "bytes": answer.get("sizeBytes"),
        "created_at": answer.get("createTime"),
        "expires_at": answer.get("expirationTime"),
        "status": answer.get("state"),
        "status_details": error.get("message") if isinstance(error, dict) else None,
        "deleted": expires_at is not None and expires_at <= now,
    }


def _read_list(answer: Any, now: float) -> Any:
    """An empty list is an object without members."""
    rows = answer.get("files", []) if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        return answer
    return {"data": [_read(row, now) for row in rows], "nextPageToken": answer.get("nextPageToken")}


GOOGLE: Final = Dialect(
    name="google",
    title="Google Gemini",
    base_url=f"{_HOST}/v1",
    sends_purpose=False,
    filters_purpose=False,
    order=ListOrder.ANY,
    wrapped_in="file",
    path=gemini_path,
    content_query={"alt": "media"},
    read=_read,
    read_list=_read_list,
    limit_parameter="pageSize",
    page_token=("pageToken", "nextPageToken"),
    longest_name=512,
    not_found={403: "may not exist"},
    capabilities=Capabilities(
        downloads_uploads=False,
        default_expiry_seconds=_TWO_DAYS,
        paging=Paging.TOKEN,
        max_list_limit=100,
        max_bytes=2 * _GIB,
        keeps_purpose=False,
        needs_length=True,
        unverified=frozenset({"ranges", "accepts_empty"}),
    ),
)
_BY_VERSION: Final[Mapping[str, Dialect]] = {
    "v1": GOOGLE,
    **{version: replace(GOOGLE, base_url=f"{_HOST}/{version}") for version in ("v1beta", "v1alpha")},
}


def google(egress: Egress, overrides: str | None = None) -> OpenAIShaped:
    """The adapter."""
    return _Google(egress, overrides)


class _Google(OpenAIShaped):
    """As its dialect says, but for uploads."""

    def __init__(self, egress: Egress, overrides: str | None) -> None:
        super().__init__("google", egress, overriding("google", dialect_of, overrides), _access)
        self._uploads = ResumableUploads(egress)

    async def upload(self, target: Target, upload: RemoteUpload) -> RemoteFile:
        """See the protocol."""
        dialect = self._dialect_of(target)
        check_upload(dialect, upload)
        return await self._uploads.send(target, dialect, await self._access_to(target, dialect), upload)


def dialect_of(target: Target) -> Dialect:
    """By the version of the API. Raises :class:`~fileplane.errors.InvalidValue` for one that is none."""
    dialect = _BY_VERSION.get(target.fields.get("google_api_version", "v1"))
    if dialect is None:
        raise InvalidValue(f"The version of Gemini's API is one of {', '.join(_BY_VERSION)}.", param="x-portkey-google-api-version")
    return dialect


async def _access(target: Target, dialect: Dialect) -> Access:
    key = target.secrets.get("api_key")
    if key is None and target.custom_host is None:
        raise missing_credential(dialect.title)
    return Access(base_url_of(target, dialect.base_url), {} if key is None else {"x-goog-api-key": key})
