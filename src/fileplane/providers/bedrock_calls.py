"""Calls to S3: where a bucket is, how a request is signed, and what a refusal means."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from fileplane.errors import FileNotFound, FileplaneError, InvalidValue, ProviderRefused, UpstreamAnswerInvalid, UpstreamError
from fileplane.providers.access import Access
from fileplane.providers.aws_credentials import AwsCredentials, domain_of
from fileplane.providers.aws_identities import AwsIdentity, AwsKeys, identity_of
from fileplane.providers.base import Target
from fileplane.providers.bedrock_objects import bucket_of
from fileplane.providers.calls import refused_sending
from fileplane.providers.egress import Egress
from fileplane.providers.egress_policy import parse_base_url
from fileplane.providers.egress_request import EgressRequest
from fileplane.providers.egress_response import EgressResponse
from fileplane.providers.outbound_headers import forwardable
from fileplane.providers.refusals import MOST_ANSWER_BYTES, refusal, says_nothing_is_there
from fileplane.providers.request_body import RequestBody
from fileplane.providers.request_ids import Heard
from fileplane.providers.xml_answers import Element, parse_xml

NOTHING: Final = hashlib.sha256(b"").hexdigest()
_LONGEST_URL: Final = 2_048
_REDIRECTS: Final = range(300, 400)
_REGION: Final = re.compile(r"[a-z]{2,4}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}")
_FORBIDDEN: Final = frozenset({400, 403})
_ENDED_KEYS: Final = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
_ADVICE: Final = {
    "RequestTimeTooSkewed": "The clock of the machine that Fileplane runs on is wrong.",
    "AuthorizationHeaderMalformed": "Look at aws_region.",
    "NoSuchBucket": "Look at aws_s3_bucket.",
}


class Calls:
    """Calls for one request of ours: as one identity, to one bucket, with one time limit. What signs them must have been loaded."""

    def __init__(self, egress: Egress, credentials: AwsCredentials, target: Target) -> None:
        """Raises :class:`~fileplane.errors.InvalidValue` for a target that does not say where or as whom."""
        self._egress = egress
        self._credentials = credentials
        self._target = target
        self.region = target.fields.get("aws_region", "")
        self.bucket = bucket_of(target)
        if not self.region:
            raise InvalidValue("Files for AWS Bedrock are kept in a bucket of a region. Name it.", param="x-portkey-aws-region")
        self._identity: AwsIdentity = identity_of(target, self.region)
        seconds = target.request_timeout_seconds
        self._ends_at = None if seconds is None else asyncio.get_running_loop().time() + seconds
        self._forwarded = _forwarded(target)
        self._keys: AwsKeys | None = None

    def without_deadline(self) -> Calls:
        """The same, for what is cleared up after a failure: without its time limit, and without telling of its answers."""
        target = replace(self._target, request_timeout_seconds=None, heard=Heard())
        return Calls(self._egress, self._credentials, target)

    def url(self, key: str = "", query: Mapping[str, str] | None = None) -> str:
        """Of the bucket, or of an object in it.

        A bucket is part of the host's name, except at a host of the caller's or operator's own, and where a dot in it would keep AWS's
        certificates from covering it.
        """
        domain = domain_of(self.region)
        if self._target.custom_host is not None:
            root = f"{parse_base_url(self._target.custom_host).url()}/{self.bucket}"
        elif "." in self.bucket:
            root = f"https://s3.{self.region}.{domain}/{self.bucket}"
        else:
            root = f"https://{self.bucket}.s3.{self.region}.{domain}"
        asked = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in (query or {}).items())
        url = f"{root}/{quote(key, safe='/-_.~')}{'?' if asked else ''}{asked}"
        if len(url) > _LONGEST_URL:
            raise InvalidValue("The object's key is too long once it is percent-encoded.", param="id")
        return url

    @asynccontextmanager
    async def answer(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: RequestBody | None = None,
        sha256: str = NOTHING,
        repeatable: bool = False,
        follow_redirects: bool = False,
    ) -> AsyncIterator[EgressResponse]:
        """One signed call. Raises what :meth:`Egress.call` does, and a refusal for every status but a success, 404 and 416."""
        keys = self._keys = await self._credentials.keys(self._identity, self._left())
        request = self._signed(keys, method, url, headers or {}, body, sha256)
        request = replace(request, repeatable=repeatable, follow_redirects=follow_redirects, explains_redirects=True)
        async with self._egress.call(request) as response:
            if response.status in {404, 416} or response.status in range(200, 300):
                yield response
                return
            error = await self.refused(request, keys, response)
            if isinstance(error, ProviderRefused) and error.code in _ENDED_KEYS:
                self._credentials.drop(self._identity, keys)
            raise error

    async def document(self, response: EgressResponse, most: int = MOST_ANSWER_BYTES) -> Element:
        """The XML of an answer. Raises :class:`~fileplane.errors.UpstreamAnswerInvalid`."""
        return parse_xml(await response.read(most))

    async def gone(self, response: EgressResponse, file_id: str) -> FileplaneError:
        """What a 404 means: that there is no such object, no such bucket, or nothing, where what stands before the store answers."""
        body = await response.read(MOST_ANSWER_BYTES)
        keys = {} if self._keys is None else self._keys.secrets()
        error = refusal(response.status, response.headers, body, [*self._target.secrets.values(), *keys.values()])
        if error.code == "NoSuchBucket":
            return no_bucket(self.bucket)
        return FileNotFound(file_id) if says_nothing_is_there(body, file_id) else error

    def refusal(self, response: EgressResponse, body: bytes) -> ProviderRefused:
        """What a refusal says that came with the status of a success."""
        keys = {} if self._keys is None else self._keys.secrets()
        return refusal(502, response.headers, body, [*self._target.secrets.values(), *keys.values()])

    async def refused(self, request: EgressRequest, keys: AwsKeys, response: EgressResponse) -> FileplaneError:
        """What a refusal means. One that answers a HEAD has no words of its own."""
        where = response.headers.get("x-amz-bucket-region")
        where = where if where is not None and _REGION.fullmatch(where) else None
        elsewhere = f"The bucket '{self.bucket}' is in another region{f', {where}' if where else ''}. Set aws_region."
        if response.status in _REDIRECTS:
            said = await self._said(keys, request, response)
            if where is None and said.code not in {"PermanentRedirect", "TemporaryRedirect", "Redirect"}:
                return request.unusable("The provider answers with a redirect, which is not followed.")
            return ProviderRefused(elsewhere, status=400, type="invalid_request_error", code="PermanentRedirect", param="aws_region")
        if request.body is not None and not request.repeatable:
            access = Access("", {**request.secret_headers, **keys.secrets()})
            error = await refused_sending(self._target, access, response, request.body)
        else:
            error = await self._said(keys, request, response)
        if request.method == "HEAD":
            if where not in {None, self.region}:
                return _saying(error, elsewhere)
            if response.status in _FORBIDDEN:
                wrong = "the credential, aws_region or the permissions s3:GetObject and s3:ListBucket may be wrong."
                return _saying(error, f"{error.message} S3 says no more of a HEAD: {wrong}")
        if isinstance(error, ProviderRefused) and error.code in _ADVICE:
            return _saying(error, f"{error.message} {_ADVICE[error.code]}")
        return error

    async def _said(self, keys: AwsKeys, request: EgressRequest, response: EgressResponse) -> ProviderRefused:
        try:
            body = await response.read(MOST_ANSWER_BYTES)
        except UpstreamError:
            body = b""
        secrets = [*self._target.secrets.values(), *keys.secrets().values(), *request.secret_headers.values()]
        return refusal(response.status, response.headers, body, secrets)

    def _signed(
        self, keys: AwsKeys, method: str, url: str, headers: Mapping[str, str], body: RequestBody | None, sha256: str
    ) -> EgressRequest:
        from fileplane.providers.aws_signing import signature_headers  # noqa: PLC0415 - the library is optional, and loads slowly

        sent, secret = signature_headers(method, url, headers, sha256, keys=keys, region=self.region, service="s3")
        return EgressRequest(
            method,
            url,
            {**self._forwarded, **sent},
            secret,
            body,
            self._left(),
            heard=self._target.heard,
            caller=self._target.caller,
            identity=keys.secrets(),
        )

    def _left(self) -> float | None:
        """Seconds of the time limit."""
        return None if self._ends_at is None else max(0.001, self._ends_at - asyncio.get_running_loop().time())


def hashed(pieces: Sequence[bytes]) -> str:
    """The SHA-256 of a part in hex. Blocks for as long as that takes."""
    total = hashlib.sha256()
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()


def etag_of(response: EgressResponse) -> str:
    """Raises :class:`~fileplane.errors.UpstreamAnswerInvalid` for an answer without one, which is then none of S3's."""
    etag = response.headers.get("etag", "")
    if not etag:
        raise UpstreamAnswerInvalid("The provider's answer does not say what it has stored.")
    return etag


def no_bucket(bucket: str) -> ProviderRefused:
    """What a 404 means that is not about an object."""
    return ProviderRefused(
        f"There is no bucket '{bucket}'. {_ADVICE['NoSuchBucket']}", status=404, type="invalid_request_error", code="NoSuchBucket"
    )


def _saying(error: FileplaneError, message: str) -> FileplaneError:
    """The same refusal in other words."""
    if not isinstance(error, ProviderRefused):
        return error
    return ProviderRefused(message, status=error.status, type=error.type, code=error.code, param=error.param, retry_after=error.retry_after)


def _forwarded(target: Target) -> dict[str, str]:
    """What the caller has forwarded. Headers of AWS's own are commands: to copy another object, for one, or to make it public."""
    sent = forwardable(target.forward_headers, stored=target.stored)
    own = next((name for name in sent if name.startswith("x-amz-")), None)
    if own is not None:
        raise InvalidValue(f"'{own}' cannot be forwarded to S3, where it would change what is done. Leave it out.", param=own)
    return sent
