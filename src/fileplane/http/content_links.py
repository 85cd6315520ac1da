"""Content that an object store sends by itself: a redirect to a URL of the store, signed for a while (``content_delivery=redirect``).

Whoever has the URL can begin to read the file until it ends, without a key, whatever happens to key or file meanwhile; and what the store
sends is neither counted nor checked here.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from fileplane.blobs.base import BlobKeyInvalid, BlobLinks, ShownAs
from fileplane.files.findings import Kind
from fileplane.files.reading import damaged
from fileplane.http.content import content_headers
from fileplane.model import File
from fileplane.routing.resolution import API_KEY_HEADER


def may_redirect(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request for content can be answered by the store as well as from here.

    A client repeats its ``Range`` to where it is sent. It would repeat ``If-Range`` too, with a validator that the store does not know. On
    their way to another host clients drop ``Authorization``, but no other header that a key may be in.
    """
    return method == "GET" and "if-range" not in headers and API_KEY_HEADER not in headers


async def redirected(links: BlobLinks, file: File, blob_key: str, seconds: int) -> Response:
    """A 302 to the one blob that a file consists of, under its name and type.

    Raises :class:`~fileplane.errors.StorageIntegrityError` for a key that is none, and :class:`~fileplane.errors.StorageUnavailable`.
    """
    shown = content_headers(file, None)
    try:
        url = await links.link(blob_key, ShownAs(shown["content-type"], shown["content-disposition"]), seconds)
    except BlobKeyInvalid as error:
        raise damaged(file, Kind.INVALID_KEY) from error
    headers = {"location": url, "cache-control": "private, no-store", "referrer-policy": "no-referrer", "etag": shown["etag"]}
    return Response(status_code=302, headers=headers)
