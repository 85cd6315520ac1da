"""S3 and what is compatible with it.

Objects go through obstore. botocore does what obstore cannot: it finds credentials wherever AWS's own tools do, shows and aborts
unfinished uploads, and signs links that carry a name and a type. Its calls block, so each runs on a thread.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import obstore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session
from obstore.store import S3Store

from fileplane.blob_location import BlobLocation
from fileplane.blobs.base import ShownAs
from fileplane.blobs.bucket import BucketUnusable, Download, StoredObject
from fileplane.blobs.direct_reads import WORTH_IT, ContinuedRead, DirectReads
from fileplane.blobs.obstore_bucket import FAILURES, ObstoreBucket, client_options, retry_options
from fileplane.model import Span

if TYPE_CHECKING:
    from obstore.store import S3Credential

_DEFAULT_REGION: Final = "us-east-1"
_CREDENTIAL_LIFE: Final = timedelta(minutes=10)  # after which they are asked for again; botocore knows when they expire
_ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_ENCRYPTION: Final = {"s3": "AES256", "kms": "aws:kms", "kms-dsse": "aws:kms:dsse"}
_GONE: Final = frozenset({"NoSuchUpload", "404"})
_ATTEMPTS: Final = 3
_SIGNED_FOR: Final = timedelta(minutes=5)  # until the request; an answer that has begun goes on


class S3Bucket(ObstoreBucket):
    """See :class:`~fileplane.blobs.bucket.Bucket`."""

    failures = (*FAILURES, BotoCoreError, ClientError)
    shows_unfinished = True

    def __init__(self, location: BlobLocation, *, part_bytes: int, deadline_seconds: float) -> None:
        """Raises :class:`BucketUnusable` without credentials, or for what no request could be made of."""
        self._location = location
        self._deadline_seconds = deadline_seconds
        self._session = Session(profile=location.options.get("profile"))
        try:
            self._credentials = self._session.get_credentials()
            self._region = location.options.get("region") or self._session.get_config_variable("region") or _DEFAULT_REGION
        except BotoCoreError as error:
            raise BucketUnusable(f"The credentials for {location} cannot be read: {error}.") from error
        if self._credentials is None:
            raise BucketUnusable(
                f"There are no credentials for {location}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, put them into the AWS "
                "credentials file, or give the machine or the service account a role."
            )
        self._clients: dict[str | None, Any] = {}
        self._making_client = threading.Lock()
        self._reads = DirectReads(ca=location.options.get("ca"), deadline_seconds=deadline_seconds)
        self._objects = self._open()
        super().__init__(self._objects, part_bytes)

    def _open(self) -> S3Store:
        options = self._location.options
        endpoint = self._endpoint
        config: dict[str, Any] = {
            "region": self._region,
            "virtual_hosted_style_request": self._is_virtual,
            "disable_bulk_delete": True,  # which not every store has
            "disable_tagging": True,
        }
        if endpoint is not None:
            config["endpoint"] = self._with_bucket(endpoint) if self._is_virtual else endpoint
        if "sse" in options:
            config["server_side_encryption"] = _ENCRYPTION[options["sse"]]
        if "kms_key" in options:
            config["sse_kms_key_id"] = options["kms_key"]
        if "checksum" in options:
            config["checksum_algorithm"] = options["checksum"].upper()
        try:
            return S3Store(
                self._location.bucket,
                prefix=self._location.prefix or None,
                config=config,  # type: ignore[arg-type] # a typed dictionary made in steps
                client_options=client_options(endpoint=endpoint, ca=options.get("ca"), deadline_seconds=self._deadline_seconds),
                retry_config=retry_options(self._deadline_seconds),
                credential_provider=self._frozen_credentials,
            )
        except FAILURES as error:
            raise BucketUnusable(f"{self._location} cannot be opened: {error}.") from error

    @property
    def _endpoint(self) -> str | None:
        """Where the store is, unless it is AWS; the environment may say so as to AWS's own tools."""
        named = (self._location.options.get("endpoint"), *(os.environ.get(variable) for variable in _ENDPOINT_VARIABLES))
        return next((endpoint for endpoint in named if endpoint), None)

    @property
    def _is_virtual(self) -> bool:
        by_default = "virtual" if self._endpoint is None else "path"
        return self._location.options.get("addressing", by_default) == "virtual"

    def _with_bucket(self, endpoint: str) -> str:
        scheme, _, rest = endpoint.partition("://")
        return f"{scheme}://{self._location.bucket}.{rest}"

    def _frozen_credentials(self) -> S3Credential:
        frozen = self._credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _CREDENTIAL_LIFE,
        }

    def _client(self, endpoint: str | None) -> Any:
        """A client for an endpoint, made when it is first needed: that takes a moment and some memory."""
        with self._making_client:
            if endpoint not in self._clients:
                self._clients[endpoint] = self._session.create_client(
                    "s3",
                    region_name=self._region,
                    endpoint_url=endpoint,
                    verify=self._location.options.get("ca"),
                    config=Config(
                        signature_version="s3v4",
                        connect_timeout=self._deadline_seconds / 4,
                        read_timeout=self._deadline_seconds / 4,
                        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
                        s3={"addressing_style": "virtual" if self._is_virtual else "path"},
                    ),
                )
            return self._clients[endpoint]

    def _call(self, method: str, **parameters: object) -> Mapping[str, Any]:
        client = self._client(self._endpoint)
        answer: Mapping[str, Any] = getattr(client, method)(Bucket=self._location.bucket, **parameters)
        return answer

    def _uploads(self, prefix: str, **marks: str) -> Mapping[str, Any]:
        try:
            return self._call("list_multipart_uploads", Prefix=prefix, **marks)
        except ClientError as error:
            if _code(error) in _GONE:  # which is how some stores say that there are none
                return {}
            raise

    def _full_key(self, key: str) -> str:
        return f"{self._location.prefix}/{key}" if self._location.prefix else key

    async def unfinished(self) -> AsyncIterator[Sequence[StoredObject]]:
        """See :meth:`Bucket.unfinished`. One that grows was touched when its last part came, not when it was begun."""
        marks: dict[str, str] = {}
        while True:
            answer = await asyncio.to_thread(self._uploads, self._full_key(""), **marks)
            yield await asyncio.to_thread(list, self._described(answer))
            if not answer.get("IsTruncated"):
                return
            # Some stores order by the upload's name, and give no key to go on from.
            following = {"KeyMarker": answer.get("NextKeyMarker", ""), "UploadIdMarker": answer.get("NextUploadIdMarker", "")}
            if following == marks:
                raise OSError("the store gives the same page of unfinished uploads again and again")
            marks = following

    def _described(self, answer: Mapping[str, Any]) -> Iterator[StoredObject]:
        for upload in answer.get("Uploads", ()):
            key, upload_id = upload["Key"], upload["UploadId"]
            try:
                size, touched = self._progress(key, upload_id)
            except ClientError as error:
                if _code(error) in _GONE:
                    continue
                raise
            yield StoredObject(
                key.removeprefix(self._full_key("")), size, max(upload["Initiated"].timestamp(), touched), upload_id=upload_id
            )

    def _progress(self, key: str, upload_id: str) -> tuple[int, float]:
        """Bytes of all parts, and when the newest came."""
        size, touched, marker = 0, 0.0, 0
        while True:
            answer = self._call("list_parts", Key=key, UploadId=upload_id, PartNumberMarker=marker)
            parts = answer.get("Parts", ())
            size += sum(part["Size"] for part in parts)
            touched = max([touched, *(part["LastModified"].timestamp() for part in parts)])
            following = answer.get("NextPartNumberMarker") or 0
            if not answer.get("IsTruncated") or following <= marker:
                return size, touched
            marker = following

    async def abandon(self, key: str, upload_id: str | None = None) -> None:
        """See :meth:`Bucket.abandon`."""
        await asyncio.to_thread(self._abandon, self._full_key(key), upload_id)

    def _abandon(self, key: str, upload_id: str | None) -> None:
        uploads = [upload_id]
        if upload_id is None:
            uploads = [upload["UploadId"] for upload in self._uploads(key).get("Uploads", ()) if upload["Key"] == key]
        for each in uploads:
            try:
                self._call("abort_multipart_upload", Key=key, UploadId=each)
            except ClientError as error:
                if _code(error) not in _GONE:
                    raise

    async def download(self, key: str, span: Span | None, expected: int | None = None) -> Download | None:
        """See :meth:`Bucket.download`."""
        wanted = Span(0, expected or 0) if span is None else span
        if wanted.length >= WORTH_IT and (read := await self._reads.begin(partial(self._signed, key), wanted)) is not None:
            return Download(read.size, ContinuedRead(read, wanted, partial(self._rest_of, key)))
        return await super().download(key, span)

    async def _rest_of(self, key: str, span: Span) -> AsyncIterator[bytes | memoryview]:
        download = await super().download(key, span)
        if download is None:
            raise OSError("the object is there no longer")
        return download.chunks

    async def _signed(self, key: str) -> str:
        url: str = await obstore.sign_async(self._objects, "GET", key, _SIGNED_FOR)
        return url

    async def link(self, key: str, shown: ShownAs, seconds: int) -> str:
        """See :meth:`Bucket.link`. It ends earlier when the credentials that sign it do."""
        return await asyncio.to_thread(self._link, key, shown, seconds)

    def _link(self, key: str, shown: ShownAs, seconds: int) -> str:
        client = self._client(self._location.options.get("public_endpoint", self._endpoint))
        url: str = client.generate_presigned_url(
            "get_object",
            Params={
                "Bucket": self._location.bucket,
                "Key": self._full_key(key),
                "ResponseContentDisposition": shown.disposition,
                "ResponseContentType": shown.media_type,
                "ResponseCacheControl": "private, no-store",
            },
            ExpiresIn=seconds,
        )
        return url

    async def close(self) -> None:
        """See :meth:`Bucket.close`."""
        for client in self._clients.values():
            await asyncio.to_thread(client.close)
        await asyncio.to_thread(self._reads.close)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
