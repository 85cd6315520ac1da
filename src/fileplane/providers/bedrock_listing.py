"""The list of the files in a bucket: S3 lists keys in their order, and ours are in the order in which they were made.

Only what Fileplane has put below its own prefix is listed: a bucket may hold anything, and millions of it. Oldest first, a page is one of
S3's own list. Newest first there is no such list, so that it is walked, up to 10,000 files; beyond, it is said that it cannot be done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import unquote_plus

from fileplane.errors import FileNotFound, InvalidValue, UnsupportedProviderOperation, UpstreamAnswerInvalid
from fileplane.providers.base import RemoteFile, RemotePage, RemoteQuery, Target
from fileplane.providers.bedrock_calls import Calls, no_bucket
from fileplane.providers.bedrock_objects import CAPABILITIES, described, place_of, purpose_in
from fileplane.providers.listing import MOST_WALKED
from fileplane.providers.object_ids import OWN_PREFIX, ObjectPlace, parse_object_id
from fileplane.providers.xml_answers import Element

_MOST_BYTES: Final = 8 << 20
_PAGE: Final = 1_000
"""The most that S3 gives at once."""
_AT_ONCE: Final = 8
_MOST_EMPTY: Final = 5
"""Pages in a row of which every object was deleted before it was looked at."""
_MOST_BLANK: Final = 20
"""Pages of S3's own in a row that have nothing, which others do not end with: no count of files ever bounds them."""
_GONE: Final = 404
_FIRST_BYTE: Final = {"Range": "bytes=0-0"}


async def page_of(calls: Calls, target: Target, query: RemoteQuery) -> RemotePage:
    """One page, with every file's name, which a HEAD of each tells. Raises as :meth:`fileplane.providers.base.Provider.list` says."""
    limit = min(query.limit or CAPABILITIES.default_list_limit, CAPABILITIES.max_list_limit)
    cursor = None if query.after is None else await _cursor(calls, target, query)
    for _ in range(_MOST_EMPTY):
        places = await (_newest if query.newest_first else _oldest)(calls, query, cursor, limit)
        shown, more = places[:limit], len(places) > limit
        files = await _described(calls, target, shown)
        if files or not more:
            return RemotePage(files, more, files[-1].id if more else None)
        # All of them were deleted meanwhile; a page without files would say that nothing follows.
        cursor = shown[-1].key
    raise UpstreamAnswerInvalid("The provider lists objects and says of each that there is none.")


async def _described(calls: Calls, target: Target, shown: list[ObjectPlace]) -> tuple[RemoteFile, ...]:
    """Those that there still are."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def describe(place: ObjectPlace) -> RemoteFile | None:
        async with gate:
            try:
                return await look(calls, target, place)
            except FileNotFound:
                return None  # deleted meanwhile

    looking = [asyncio.ensure_future(describe(place)) for place in shown]
    try:
        return tuple(file for file in await asyncio.gather(*looking) if file is not None)
    finally:
        for task in looking:
            task.cancel()


async def look(calls: Calls, target: Target, place: ObjectPlace) -> RemoteFile:
    """One file. Raises :class:`~fileplane.errors.FileNotFound`."""
    url = calls.url(place.key)
    async with calls.answer("HEAD", url) as response:
        if response.status != _GONE:
            return described(target, place, response.headers)
    # The answer to a HEAD has no words, and so does not tell a key that there is not from a bucket, or from an address, that there is not.
    async with calls.answer("GET", url, headers=_FIRST_BYTE) as response:
        if response.status == _GONE:
            raise await calls.gone(response, place.id)
    raise UpstreamAnswerInvalid("The provider says of an object both that it is there and that it is not. Try again.")


async def _cursor(calls: Calls, target: Target, query: RemoteQuery) -> str:
    """The key that a page begins after. It must be a file of this list: S3 itself takes any text."""
    wrong = InvalidValue("'after' is no file of this list. Use the id of the last file of the page before.", param="after")
    if parse_object_id(query.after) is None:
        raise wrong
    try:
        place = place_of(target, query.after or "")
        if purpose_in(place.key) is None or query.purpose not in {None, purpose_in(place.key)}:
            raise wrong
        await look(calls, target, place)
    except FileNotFound as error:
        raise wrong from error
    return place.key


async def _oldest(calls: Calls, query: RemoteQuery, cursor: str | None, limit: int) -> list[ObjectPlace]:
    found: list[ObjectPlace] = []
    async for place in _walk(calls, after=cursor, most=limit + 1 if query.purpose is None else _PAGE):
        if query.purpose in {None, purpose_in(place.key)}:
            found.append(place)
        if len(found) > limit:
            break
    return found


async def _newest(calls: Calls, query: RemoteQuery, cursor: str | None, limit: int) -> list[ObjectPlace]:
    found: deque[ObjectPlace] = deque(maxlen=limit + 1)
    async for place in _walk(calls, after=None, most=_PAGE):
        if cursor is not None and place.key >= cursor:
            break
        if query.purpose in {None, purpose_in(place.key)}:
            found.append(place)
    return list(reversed(found))


async def _walk(calls: Calls, *, after: str | None, most: int) -> AsyncIterator[ObjectPlace]:
    """Every file that we have put there, oldest first."""
    asked = {"list-type": "2", "encoding-type": "url", "max-keys": str(min(most, _PAGE)), "prefix": OWN_PREFIX}
    if after is not None:
        asked["start-after"] = after
    walked = blank = 0
    while True:
        root = await _fetched(calls, asked)
        encoded = root.value("EncodingType") == "url"
        for entry in root.all("Contents"):
            place = ObjectPlace("s3", calls.bucket, _key(entry.value("Key") or "", encoded=encoded))
            walked += 1
            if purpose_in(place.key) is not None and parse_object_id(place.uri) is not None:
                yield place
        token = root.value("NextContinuationToken")
        if root.value("IsTruncated") != "true":
            return
        blank = 0 if any(root.all("Contents")) else blank + 1
        if not token or token == asked.get("continuation-token"):
            raise UpstreamAnswerInvalid("The provider's list of objects has no end.")
        if blank >= _MOST_BLANK:
            raise UpstreamAnswerInvalid(f"The provider's list of objects had {blank} pages in a row without any, and says that it goes on.")
        if walked >= MOST_WALKED:
            raise UnsupportedProviderOperation(
                f"The first {walked} objects below {OWN_PREFIX} are not all, and S3 lists them oldest first and by no purpose. List with "
                "order=asc and without 'purpose', or through a virtual key, whose files Fileplane keeps a list of.",
                param="order",
            )
        asked = {**asked, "continuation-token": token}
        asked.pop("start-after", None)


def _key(text: str, *, encoded: bool) -> str:
    """The key that an answer has. Without the encoding, one with a control character would make no XML of the whole list.

    S3 writes a space as a plus, and a plus as %2B: docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html, and what botocore
    makes of it. What is no UTF-8 is no key that a file can have, and is left out further on.
    """
    return unquote_plus(text, errors="surrogateescape") if encoded else text


async def _fetched(calls: Calls, asked: dict[str, str]) -> Element:
    async with calls.answer("GET", calls.url("", asked)) as response:
        if response.status == _GONE:
            raise no_bucket(calls.bucket)
        root = await calls.document(response, _MOST_BYTES)
    if root.name != "ListBucketResult" or root.value("IsTruncated") not in {"true", "false"}:
        raise UpstreamAnswerInvalid("The provider's answer is no list of objects.")
    return root
