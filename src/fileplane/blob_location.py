"""Where blobs are kept, as one URL: the value of the setting ``blob_store``. Pure; what it names is opened elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

LOCAL: Final = "file"
S3: Final = "s3"
AZURE: Final = "az"
GCS: Final = "gs"

_COMMON: Final = ("endpoint", "public_endpoint", "ca")
OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    S3: (*_COMMON, "region", "addressing", "profile", "sse", "kms_key", "checksum"),
    AZURE: (*_COMMON, "account"),
    GCS: (*_COMMON, "credentials", "kms_key", "checksum"),
}
"""The options that a URL of each kind may have."""

_CHOICES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    (S3, "addressing"): ("path", "virtual"),
    (S3, "sse"): ("s3", "kms", "kms-dsse"),
    (S3, "checksum"): ("sha256", "crc64nvme"),
    (GCS, "credentials"): ("none",),
    (GCS, "checksum"): ("md5",),
}
_PROBES: Final = "probe"
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.=-]+(?:/[A-Za-z0-9_.=-]+)*")
_ENDPOINT: Final = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*/?")
_SECRET: Final = re.compile(r"secret|token|password|signature|access_key|account_key|sas|sig", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BlobLocation:
    """``kind`` is one of the schemes above. The options hold no secrets: credentials come from where each cloud's own tools look."""

    kind: str = LOCAL
    bucket: str = ""
    prefix: str = ""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def is_local(self) -> bool:
        """Whether the blobs are files of the data directory."""
        return self.kind == LOCAL

    @property
    def for_probes(self) -> BlobLocation:
        """A place beside the blobs, of which no store takes anything for a blob."""
        return replace(self, prefix=f"{self.prefix}/{_PROBES}" if self.prefix else _PROBES)

    def __str__(self) -> str:
        if self.is_local:
            return "file:"
        path = f"/{self.prefix}" if self.prefix else ""
        query = f"?{urlencode(self.options, safe=':/')}" if self.options else ""
        return f"{self.kind}://{self.bucket}{path}{query}"


def parse_blob_location(value: object) -> BlobLocation:
    """Raises ValueError, saying what would do, and never repeating the value, which may hold a secret by mistake."""
    if not isinstance(value, str):
        raise ValueError("a URL such as s3://bucket/prefix?region=eu-central-1, or file: for the data directory")  # noqa: TRY004 - as every parser of settings
    if value == "file:":
        return BlobLocation()
    parts = urlsplit(value)
    if parts.scheme not in OPTIONS:
        raise ValueError("file: for the data directory, or a URL that begins with s3://, az:// or gs://")
    prefix = parts.path.strip("/")
    if not _BUCKET.fullmatch(parts.netloc) or parts.fragment:
        raise ValueError(f"a URL such as {parts.scheme}://bucket/prefix, without user, password, port and fragment")
    if prefix and (not _PREFIX.fullmatch(prefix) or {".", ".."} & set(prefix.split("/"))):
        raise ValueError("a URL whose path consists of letters, digits and . _ - = between single slashes")
    return BlobLocation(parts.scheme, parts.netloc, prefix, _options(parts.scheme, parts.query))


def _options(kind: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS[kind]:
            raise ValueError(_unknown(kind, name))
        if name in options or not value or not value.isprintable():
            raise ValueError(f"a URL with one value for its option {name}")
        if name.endswith("endpoint") and not _ENDPOINT.fullmatch(value):
            raise ValueError(f"a URL whose option {name} is a base URL such as https://s3.internal:9000")
        choices = _CHOICES.get((kind, name))
        if choices is not None and value not in choices:
            raise ValueError(f"a URL whose option {name} is one of {', '.join(choices)}")
        options[name] = value.rstrip("/") if name.endswith("endpoint") else value
    _require_together(kind, options)
    return options


def _require_together(kind: str, options: Mapping[str, str]) -> None:
    if kind == S3 and "kms_key" in options and not options.get("sse", "").startswith("kms"):
        raise ValueError("a URL that has sse=kms or sse=kms-dsse beside kms_key")
    if options.get("credentials") == "none" and "endpoint" not in options:
        raise ValueError("a URL that has credentials=none only beside the endpoint of an emulator")


def _unknown(kind: str, name: str) -> str:
    known = ", ".join(OPTIONS[kind])
    if _SECRET.search(name):
        return f"a URL without credentials, which belong into the environment or the files of the cloud's own tools (options: {known})"
    return f"a URL whose options are among {known}"
