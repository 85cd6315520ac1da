"""The list of what is put into a bucket from here. Cloud Storage lists by names alone, so it is walked to its end and sorted here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from fileplane.errors import UnsupportedProviderOperation, UpstreamAnswerInvalid
from fileplane.providers.base import RemoteFile, RemotePage, RemoteQuery
from fileplane.providers.listing import MOST_WALKED, in_order, page_of_whole
from fileplane.providers.object_ids import OWN_PREFIX, is_object_key
from fileplane.providers.vertex_objects import file_of

Fetch: TypeAlias = Callable[[Mapping[str, str]], Awaitable[Any]]
"""Asks for a page of the bucket with this query, for its JSON."""

_PAGE: Final = 1_000
"""The most that Cloud Storage gives at once."""
_MOST_PAGES: Final = 100
_FIELDS: Final = "items(bucket,name,size,timeCreated,metadata(purpose,filename,upload)),nextPageToken"


async def page_of_bucket(bucket: str, fetch: Fetch, query: RemoteQuery, limit: int) -> RemotePage:
    """One page of the objects below our prefix, not of a bucket that may hold anything. Those that end with a slash are folders.

    Raises :class:`~fileplane.errors.UnsupportedProviderOperation` for a list that goes on after 10,000 files, or after 100 pages,
    which may be nearly empty: which of the files are the newest could not be told, and a page would be a guess; and
    :class:`~fileplane.errors.UpstreamAnswerInvalid` for a list that goes round in circles.
    """
    files = [file for file in await _walked(bucket, fetch) if query.purpose is None or file.purpose == query.purpose]
    return page_of_whole(in_order(files, query), query, limit)


async def _walked(bucket: str, fetch: Fetch) -> list[RemoteFile]:
    files: list[RemoteFile] = []
    asked = {"prefix": OWN_PREFIX, "maxResults": str(_PAGE), "fields": _FIELDS}
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        answer = await fetch(asked)
        items = answer.get("items", []) if isinstance(answer, dict) else None
        if not isinstance(items, list):
            raise UpstreamAnswerInvalid("The provider's answer has no list of objects.")
        files += [file_of(item, bucket) for item in items if _is_file(item)]
        token = answer.get("nextPageToken")
        if not isinstance(token, str) or not token:
            return files
        if token in seen:
            raise UpstreamAnswerInvalid("The provider's list of objects has no end.")
        seen.add(token)
        if len(files) >= MOST_WALKED:
            break
        asked["pageToken"] = token
    raise UnsupportedProviderOperation(
        f"The first {len(seen)} pages of the bucket's list have {len(files)} files, and more pages follow. Cloud Storage "
        "cannot list files by their age. Keep their ids, or list those of a virtual key, which Fileplane keeps a list of.",
        param="x-portkey-provider",
    )


def _is_file(item: Any) -> bool:
    """Whether an entry is shown. What has no name at all is looked at further, and refused."""
    name = item.get("name") if isinstance(item, dict) else None
    return not isinstance(name, str) or (is_object_key(name) and not name.endswith("/"))
