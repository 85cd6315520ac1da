"""Google Cloud Storage through its JSON API. obstore's way there, the XML API, cannot be tested against the emulator."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec
from google.auth.exceptions import GoogleAuthError

from fileplane.blob_location import BlobLocation
from fileplane.blobs.base import ShownAs
from fileplane.blobs.bucket import Download, StoredObject, no_pages
from fileplane.blobs.gcs_credentials import Credentials, GoogleCredentials, NoCredentials
from fileplane.blobs.gcs_http import FAILURES, GcsHttp, GcsRefused
from fileplane.blobs.gcs_upload import GcsUpload
from fileplane.model import Span

_ENDPOINT: Final = "https://storage.googleapis.com"
_NOT_FOUND: Final = 404
_EXISTS: Final = 412
_CHUNK: Final = 512 << 10
_PAGE: Final = 1_000
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)")


class _Object(msgspec.Struct):
    name: str
    size: str = "0"
    updated: str = ""


class _Page(msgspec.Struct):
    items: list[_Object] = []
    nextPageToken: str = ""  # noqa: N815 - as the store names it


class GcsBucket:
    """See :class:`~fileplane.blobs.bucket.Bucket`."""

    failures = (*FAILURES, GoogleAuthError, msgspec.MsgspecError, ValueError)
    shows_unfinished = False

    def __init__(self, location: BlobLocation, *, part_bytes: int, deadline_seconds: float, credentials: Credentials | None = None) -> None:
        """Raises :class:`~fileplane.blobs.bucket.BucketUnusable`."""
        self._location = location
        self._part_bytes = part_bytes
        options = location.options
        if credentials is None:
            credentials = NoCredentials() if options.get("credentials") == "none" else GoogleCredentials(deadline_seconds)
        self._credentials = credentials
        self._endpoint = options.get("endpoint", _ENDPOINT)
        self._http = GcsHttp(credentials, ca=options.get("ca"), deadline_seconds=deadline_seconds)

    def _name(self, key: str) -> str:
        return f"{self._location.prefix}/{key}" if self._location.prefix else key

    def _url(self, key: str) -> str:
        return f"{self._endpoint}/storage/v1/b/{self._location.bucket}/o/{quote(self._name(key), safe='')}"

    def upload(self, key: str) -> GcsUpload:
        """See :meth:`Bucket.upload`. The store itself refuses a key that is taken."""
        parameters = {"name": self._name(key), "ifGenerationMatch": "0"}
        if "kms_key" in self._location.options:
            parameters["kmsKeyName"] = self._location.options["kms_key"]
        url = f"{self._endpoint}/upload/storage/v1/b/{self._location.bucket}/o"
        return GcsUpload(self._http, url, parameters, self._part_bytes, md5=self._location.options.get("checksum") == "md5")

    async def create(self, key: str, body: bytes) -> bool:
        """See :meth:`Bucket.create`."""
        upload = self.upload(key)
        await upload.write(body)
        try:
            await upload.finish()
        except GcsRefused as error:
            if error.status == _EXISTS:
                return False
            raise
        return True

    async def size_of(self, key: str) -> int | None:
        """See :meth:`Bucket.size_of`."""
        try:
            async with self._http.send("GET", self._url(key), params={"fields": "name,size"}) as response:
                return int(msgspec.json.decode(await response.read(), type=_Object).size)
        except GcsRefused as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def download(self, key: str, span: Span | None, expected: int | None = None) -> Download | None:  # noqa: ARG002 - of no use here
        """See :meth:`Bucket.download`."""
        chunks = self._chunks(key, span)
        try:
            size = await anext(chunks)
        except GcsRefused as error:
            if error.status != _NOT_FOUND:
                raise
            # Without its bucket no blob is known to be missing. The listing of one that is not there is refused.
            await anext(self.objects(most=1))
            return None
        assert isinstance(size, int)  # the first of them
        return Download(size, chunks)  # type: ignore[arg-type] # and all others are bytes

    async def _chunks(self, key: str, span: Span | None) -> AsyncIterator[int | bytes | memoryview]:
        """First the size of the whole object, then its bytes."""
        headers = {"accept-encoding": "identity"}
        if span is not None:
            headers["range"] = f"bytes={span.start}-{span.start + span.length - 1}"
        accepted = frozenset({200 if span is None else 206})
        async with self._http.send("GET", self._url(key), params={"alt": "media"}, headers=headers, accepted=accepted) as response:
            yield _whole_size(response.headers, span)
            async for chunk in response.content.iter_chunked(_CHUNK):
                yield chunk

    async def delete(self, key: str) -> None:
        """See :meth:`Bucket.delete`."""
        try:
            async with self._http.send("DELETE", self._url(key), accepted=frozenset({200, 204})):
                pass
        except GcsRefused as error:
            if error.status != _NOT_FOUND:
                raise

    async def objects(self, most: int = _PAGE) -> AsyncIterator[Sequence[StoredObject]]:
        """See :meth:`Bucket.objects`."""
        url = f"{self._endpoint}/storage/v1/b/{self._location.bucket}/o"
        parameters = {"prefix": self._name(""), "maxResults": str(most), "fields": "items(name,size,updated),nextPageToken"}
        while True:
            async with self._http.send("GET", url, params=parameters) as response:
                page = msgspec.json.decode(await response.read(), type=_Page)
            yield [self._described(entry) for entry in page.items]
            if not page.nextPageToken:
                return
            if page.nextPageToken == parameters.get("pageToken"):
                raise OSError("the store gives the same page again and again")
            parameters["pageToken"] = page.nextPageToken

    def _described(self, entry: _Object) -> StoredObject:
        updated = datetime.fromisoformat(entry.updated).timestamp()
        return StoredObject(entry.name.removeprefix(self._name("")), int(entry.size), updated)

    def unfinished(self) -> AsyncIterator[Sequence[StoredObject]]:
        """See :meth:`Bucket.unfinished`."""
        return no_pages()

    async def abandon(self, key: str, upload_id: str | None = None) -> None:
        """See :meth:`Bucket.abandon`."""

    async def link(self, key: str, shown: ShownAs, seconds: int) -> str:
        """See :meth:`Bucket.link`: a signed URL of version 4."""
        email, signer = await self._credentials.signer()
        endpoint = self._location.options.get("public_endpoint", self._endpoint)
        host, now = urlsplit(endpoint).netloc, datetime.now(UTC)
        scope = f"{now:%Y%m%d}/auto/storage/goog4_request"
        path = f"{urlsplit(endpoint).path}/{self._location.bucket}/{quote(self._name(key))}"
        values = {
            "X-Goog-Algorithm": "GOOG4-RSA-SHA256",
            "X-Goog-Credential": f"{email}/{scope}",
            "X-Goog-Date": f"{now:%Y%m%dT%H%M%SZ}",
            "X-Goog-Expires": str(seconds),
            "X-Goog-SignedHeaders": "host",
            "response-cache-control": "private, no-store",
            "response-content-disposition": shown.disposition,
            "response-content-type": shown.media_type,
        }
        query = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(values.items()))
        canonical = f"GET\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"GOOG4-RSA-SHA256\n{now:%Y%m%dT%H%M%SZ}\n{scope}\n{digest}"
        signature = (await self._credentials.sign(signer, text.encode())).hex()
        return f"{endpoint.removesuffix(urlsplit(endpoint).path)}{path}?{query}&X-Goog-Signature={signature}"

    async def close(self) -> None:
        """See :meth:`Bucket.close`."""
        await self._http.close()


def _whole_size(headers: Mapping[str, str], span: Span | None) -> int:
    if span is None:
        return int(headers["content-length"])
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if match is None or int(match[1]) != span.start:
        raise OSError("the store answered a range without saying which part of what it is")
    return int(match[3])
