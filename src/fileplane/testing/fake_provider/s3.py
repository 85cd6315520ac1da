"""S3 as strict as Amazon's own where adapters go wrong: signatures and payloads are checked, parts have their least size.

Also the one call of Security Token Service that assumes a role, at ``/sts/``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit
from xml.sax.saxutils import escape

from fileplane.testing.fake_provider.accounts import Account, Accounts, KeptFile
from fileplane.testing.fake_provider.aws_keys import KeyRing, NotSigned
from fileplane.testing.fake_provider.faults import Fault
from fileplane.testing.fake_provider.flavours import Flavour
from fileplane.testing.fake_provider.wire import PIECE, Answer, Handler, RecordedRequest, answer_of

BUCKET: Final = "files"
LEAST_PART_BYTES: Final = 5 << 20
_LARGEST_PUT_BYTES: Final = 5 << 30
_MOST_PARTS: Final = 10_000
_NAMESPACE: Final = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_REQUEST_ID: Final = "79104EXAMPLEB723"
_ROLE: Final = re.compile(r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]+")
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_KEPT_HEADERS: Final = ("x-amz-meta-", "x-amz-server-side-encryption")
_PART_IN_DOCUMENT: Final = re.compile(r"<Part><PartNumber>(\d+)</PartNumber><ETag>([^<]*)</ETag></Part>")


@dataclass(slots=True)
class UnfinishedUpload:
    """Parts that are no object yet."""

    account: str
    key: str
    media_type: str
    said: dict[str, str]
    parts: dict[int, tuple[str, Path]] = field(default_factory=dict)


class S3Api:
    """See :class:`~fileplane.testing.fake_provider.own_apis.OwnApi`. Objects are kept as files, by bucket and key."""

    def __init__(self, flavour: Flavour, accounts: Accounts) -> None:
        self._flavour = flavour
        self._accounts = accounts
        self.keys = KeyRing()
        self.unfinished: dict[str, UnfinishedUpload] = {}
        """Uploads in parts that were neither completed nor aborted."""
        self.said: dict[str, dict[str, str]] = {}
        """Of each object by its bucket and key: metadata and encryption, as headers."""
        self.roles: list[dict[str, str]] = []
        """The forms that roles were assumed with."""
        self.role_seconds = 3_600

    def credential(self, request: RecordedRequest) -> str | None:
        """Every request goes to its handler, which says in S3's own words what is wrong with the signature."""
        try:
            return self.keys.account_of(request, "s3", self._accounts.now())
        except NotSigned:
            return "nobody"

    def route(self, request: RecordedRequest, segments: list[str]) -> tuple[str, Handler | None]:  # noqa: ARG002 - paths are read undecoded
        """See the protocol."""
        path, _, query = request.target.partition("?")
        asked = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        request.query = asked
        if path == "/sts/":
            return "role", self._role
        bucket, _, key = path.removeprefix("/").partition("/")
        of_object, of_bucket = (request.method, *sorted({"uploads", "uploadId", "partNumber"} & asked.keys())), not key
        named: dict[Any, tuple[str, Handler]] = {
            ("PUT",): ("upload", self._put),
            ("POST", "uploads"): ("upload.create", self._create),
            ("PUT", "partNumber", "uploadId"): ("upload.part", self._part),
            ("POST", "uploadId"): ("upload.complete", self._complete),
            ("DELETE", "uploadId"): ("upload.abort", self._abort),
            ("GET",): ("content", self._content),
            ("HEAD",): ("get", self._head),
            ("DELETE",): ("delete", self._delete),
        }
        name, handler = ("list", self._list) if of_bucket and request.method == "GET" else named.get(of_object, ("", None))
        if handler is None:
            return "", None

        async def checked(request: RecordedRequest, body: AsyncIterator[bytes], credential: str, fault: Fault | None) -> Answer:
            try:
                self._require_known(request, unquote(bucket))
                answer = await handler(request, _exactly(request, body), credential, fault)
            except NotSigned as error:
                async for _ in body:
                    pass
                answer = _error(error.status, error.code, error.message, **error.more)
            answer.headers["x-amz-request-id"] = _REQUEST_ID
            return answer

        return name, checked

    def _require_known(self, request: RecordedRequest, bucket: str) -> None:
        self.keys.account_of(request, "s3", self._accounts.now())
        if bucket != BUCKET:
            raise NotSigned(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=bucket)

    async def _put(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        path, etag = await self._received(request, body)
        self._keep(credential, _key_of(request), path, request.headers.get("content-type", ""), _said(request))
        return answer_of(200, b"", headers={"etag": f'"{etag}"', **_encryption(_said(request))})

    async def _create(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        async for _ in body:
            pass
        upload_id = secrets.token_urlsafe(24)
        self.unfinished[upload_id] = UnfinishedUpload(credential, _key_of(request), request.headers.get("content-type", ""), _said(request))
        names = f"<Bucket>{BUCKET}</Bucket><Key>{escape(_key_of(request))}</Key><UploadId>{upload_id}</UploadId>"
        return _xml(200, f"<InitiateMultipartUploadResult{_NAMESPACE}>{names}</InitiateMultipartUploadResult>")

    async def _part(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        path, etag = await self._received(request, body)
        number = int(request.query["partNumber"])
        if not 1 <= number <= _MOST_PARTS:
            path.unlink()
            raise NotSigned(400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
        self._upload(request, credential).parts[number] = (etag, path)
        return answer_of(200, b"", headers={"etag": f'"{etag}"'})

    async def _complete(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        document = b"".join([piece async for piece in body]).decode()
        upload = self._upload(request, credential)
        named = [(int(number), etag.replace("&quot;", "").strip('"')) for number, etag in _PART_IN_DOCUMENT.findall(document)]
        if not named or [number for number, _ in named] != sorted({number for number, _ in named}):
            raise NotSigned(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
        if any(upload.parts.get(number, ("", None))[0] != etag for number, etag in named):
            raise NotSigned(400, "InvalidPart", "One or more of the specified parts could not be found.")
        paths = [upload.parts[number][1] for number, _ in named]
        if any(path.stat().st_size < LEAST_PART_BYTES for path in paths[:-1]):
            raise NotSigned(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        whole = self._accounts.new_path()
        await asyncio.to_thread(_joined, paths, whole)
        self._forget(request.query["uploadId"])
        self._keep(credential, upload.key, whole, upload.media_type, upload.said)
        etag = f"{hashlib.md5(b''.join(bytes.fromhex(etag) for _, etag in named), usedforsecurity=False).hexdigest()}-{len(named)}"
        names = f"<Bucket>{BUCKET}</Bucket><Key>{escape(upload.key)}</Key><ETag>&quot;{etag}&quot;</ETag>"
        return _xml(200, f"<CompleteMultipartUploadResult{_NAMESPACE}>{names}</CompleteMultipartUploadResult>")

    async def _abort(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        async for _ in body:
            pass
        self._upload(request, credential)
        self._forget(request.query["uploadId"])
        return answer_of(204, b"")

    async def _list(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        async for _ in body:
            pass
        query = request.query
        if query.get("list-type") != "2":
            raise NotSigned(501, "NotImplemented", "Only the second version of the list is known here.")
        begins = f"{BUCKET}/{query.get('prefix', '')}"
        files = sorted((name, file) for name, file in self._accounts.of(credential).files.items() if name.startswith(begins))
        token = query.get("continuation-token")
        after = base64.urlsafe_b64decode(token).decode() if token else query.get("start-after", "")
        most = min(int(query.get("max-keys", "1000")), 1_000)
        left = [(name.removeprefix(f"{BUCKET}/"), file) for name, file in files if name.removeprefix(f"{BUCKET}/") > after]
        shown = left[:most]
        encoded = query.get("encoding-type") == "url"
        rows = "".join(
            f"<Contents><Key>{quote_plus(key, safe='/') if encoded else escape(key)}</Key>"
            f"<LastModified>{datetime.fromtimestamp(file.created_at, UTC):%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
            f"<ETag>&quot;x&quot;</ETag><Size>{file.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key, file in shown
        )
        more = len(left) > len(shown)
        following = base64.urlsafe_b64encode(shown[-1][0].encode()).decode() if more and shown else ""
        next_token = f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
        encoding = "<EncodingType>url</EncodingType>" if encoded else ""
        head = f"{encoding}<Name>{BUCKET}</Name><KeyCount>{len(shown)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>{next_token}"
        return _xml(200, f"<ListBucketResult{_NAMESPACE}>{head}{rows}</ListBucketResult>")

    async def _head(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        async for _ in body:
            pass
        file = self._file(request, credential)
        return Answer(200, self._head_of(request, file), _bytes_of(file.path, 0, 0), file.size)

    async def _content(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        async for _ in body:
            pass
        file = self._file(request, credential)
        headers = self._head_of(request, file)
        match = _RANGE.fullmatch(request.headers.get("range", ""))
        if match is None:
            return Answer(200, headers, _bytes_of(file.path, 0, file.size), file.size)
        first = int(match[1]) if match[1] else max(0, file.size - int(match[2] or 0))
        last = min(file.size - 1, int(match[2]) if match[1] and match[2] else file.size - 1)
        if first > last:
            answer = _error(416, "InvalidRange", "The requested range is not satisfiable", ActualObjectSize=str(file.size))
            return Answer(416, {**answer.headers, "content-range": f"bytes */{file.size}"}, answer.body, answer.length)
        headers["content-range"] = f"bytes {first}-{last}/{file.size}"
        return Answer(206, headers, _bytes_of(file.path, first, last - first + 1), last - first + 1)

    async def _delete(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:
        """Answers the same whether or not there was such an object, as S3 does."""
        async for _ in body:
            pass
        account, name = self._accounts.of(credential), f"{BUCKET}/{_key_of(request)}"
        if name in account.files:
            self._accounts.remove(account, name)
        return answer_of(204, b"")

    async def _role(self, request: RecordedRequest, body: AsyncIterator[bytes], credential: str, _fault: Fault | None) -> Answer:  # noqa: ARG002 - as every handler
        content = b"".join([piece async for piece in body])
        form = {name: values[0] for name, values in parse_qs(content.decode()).items()}
        try:
            account = self._assuming(request, form, content)
        except NotSigned as error:
            inner = f"<Error><Type>Sender</Type><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
            return _xml(error.status, f'<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{inner}</ErrorResponse>')
        self.roles.append(form)
        access_key, issued = self.keys.issue(account)
        end = datetime.fromtimestamp(self._accounts.now() + self.role_seconds, UTC)
        given = (
            f"<AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>{issued.secret}</SecretAccessKey>"
            f"<SessionToken>{issued.token}</SessionToken><Expiration>{end:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
        )
        result = f"<AssumeRoleResult><Credentials>{given}</Credentials></AssumeRoleResult>"
        return _xml(200, f'<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{result}</AssumeRoleResponse>')

    def _assuming(self, request: RecordedRequest, form: Mapping[str, str], content: bytes) -> str:
        account = self.keys.account_of(request, "sts", self._accounts.now(), content)
        if form.get("Action") != "AssumeRole" or form.get("Version") != "2011-06-15" or not form.get("RoleSessionName"):
            raise NotSigned(400, "ValidationError", "The request is malformed.")
        role = form.get("RoleArn", "")
        if not _ROLE.fullmatch(role) or role.endswith("/bad") or (role.endswith("/guarded") and form.get("ExternalId") != "right"):
            raise NotSigned(403, "AccessDenied", f"User is not authorized to perform: sts:AssumeRole on resource: {role}")
        return account

    def put(self, credential: str, key: str, content: bytes, media_type: str = "binary/octet-stream") -> None:
        """An object that somebody else has put there."""
        path = self._accounts.new_path()
        path.write_bytes(content)
        self._keep(credential, key, path, media_type, {})

    def _keep(self, credential: str, key: str, path: Path, media_type: str, said: Mapping[str, str]) -> None:
        name, account = f"{BUCKET}/{key}", self._accounts.of(credential)
        if name in account.files:
            self._accounts.remove(account, name)
        filename, purpose = (unquote(said.get(f"x-amz-meta-{field}", "")) for field in ("filename", "purpose"))
        self._accounts.add(account, name, path, filename=filename, purpose=purpose, media_type=media_type)
        self.said[name] = dict(said)

    async def _received(self, request: RecordedRequest, body: AsyncIterator[bytes]) -> tuple[Path, str]:
        if "content-length" not in request.headers:
            raise NotSigned(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        if int(request.headers["content-length"]) > _LARGEST_PUT_BYTES:
            raise NotSigned(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        path, md5, whole = self._accounts.new_path(), hashlib.md5(usedforsecurity=False), False
        try:
            with path.open("wb") as file:
                async for piece in body:
                    md5.update(piece)
                    file.write(piece)
            whole = True
        finally:
            if not whole:
                path.unlink(missing_ok=True)
        return path, md5.hexdigest()

    def _file(self, request: RecordedRequest, credential: str) -> KeptFile:
        account: Account = self._accounts.of(credential)
        file = account.files.get(f"{BUCKET}/{_key_of(request)}")
        if file is None:
            raise NotSigned(404, "NoSuchKey", "The specified key does not exist.", Key=_key_of(request))
        return file

    def _head_of(self, request: RecordedRequest, file: KeptFile) -> dict[str, str]:
        said = self.said[f"{BUCKET}/{_key_of(request)}"]
        modified = formatdate(file.created_at, usegmt=True)
        return {"content-type": file.media_type, "etag": '"x"', "last-modified": modified, "accept-ranges": "bytes", **said}

    def _upload(self, request: RecordedRequest, credential: str) -> UnfinishedUpload:
        upload = self.unfinished.get(request.query.get("uploadId", ""))
        if upload is None or (upload.account, upload.key) != (credential, _key_of(request)):
            raise NotSigned(404, "NoSuchUpload", "The specified multipart upload does not exist.")
        return upload

    def _forget(self, upload_id: str) -> None:
        for _, path in self.unfinished.pop(upload_id).parts.values():
            path.unlink(missing_ok=True)


async def _exactly(request: RecordedRequest, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body, which must be what was signed."""
    total = hashlib.sha256()
    async for piece in body:
        total.update(piece)
        yield piece
    if request.headers.get("x-amz-content-sha256") != total.hexdigest():
        raise NotSigned(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")


def _key_of(request: RecordedRequest) -> str:
    return unquote(urlsplit(request.target).path.removeprefix("/").partition("/")[2])


def _said(request: RecordedRequest) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.startswith(_KEPT_HEADERS)}


def _encryption(said: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in said.items() if name.startswith("x-amz-server-side")}


def _joined(paths: list[Path], whole: Path) -> None:
    with whole.open("wb") as file:
        for path in paths:
            file.write(path.read_bytes())


def _xml(status: int, document: str) -> Answer:
    return answer_of(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{document}'.encode(), "application/xml")


def _error(status: int, code: str, message: str, **more: str) -> Answer:
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in {"Code": code, "Message": message, **more}.items())
    return _xml(status, f"<Error>{inner}<RequestId>FAKE</RequestId></Error>")


async def _bytes_of(path: Path, start: int, length: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while length:
            piece = file.read(min(PIECE, length))
            length -= len(piece)
            yield piece
