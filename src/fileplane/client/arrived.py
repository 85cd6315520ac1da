"""Files that have arrived: as the server tells of them, and once it has read them through."""

from __future__ import annotations

import re
from typing import Any, Final

from fileplane.client.errors import ClientError
from fileplane.client.exchange import Exchange
from fileplane.client.service import Service, path_of
from fileplane.client.stopping import Stopping
from fileplane.client.values import File

_OWN_ID: Final = re.compile(r"file-[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256_ETAG: Final = re.compile(r'"([0-9a-f]{64})"')


def settled(service: Service, file: File, seconds: float, stopping: Stopping) -> File:
    """The file once the server has read it through, with its SHA-256 and final status; as it is then, when ``seconds`` are over."""
    waited, step = 0.0, 0.1
    with service.exchange(stopping) as exchange:
        document = dict(file.document)
        while document.get("status") == "uploaded" and waited < seconds:
            stopping.wait(step)
            waited, step = waited + step, min(2.0, step * 1.5)
            document = service.patiently(stopping, lambda: service.document(exchange, "GET", path_of(file.id)))
        sha256 = file.sha256 or known_sha256(service, exchange, file.id)
    return file_of(service, document, sha256)


def known_sha256(service: Service, exchange: Exchange, file_id: str) -> str | None:
    """What the native store knows a file by. Providers are not asked: a HEAD may cost them, and us, the whole content."""
    if not _OWN_ID.fullmatch(file_id):
        return None
    try:
        etag = service.send(exchange, "HEAD", path_of(file_id) + "/content").headers.get("etag", "")
    except ClientError:
        return None  # the key may write and not read, say
    match = _SHA256_ETAG.fullmatch(etag)
    return None if match is None else match[1]


def file_of(service: Service, document: dict[str, Any], sha256: str | None) -> File:
    """The file of a File object. Raises what the service raises for an answer that is none."""
    file_id, size = document.get("id"), document.get("bytes")
    if not isinstance(file_id, str):
        raise service.unintelligible()
    return File(
        file_id,
        str(document.get("filename") or ""),
        size if isinstance(size, int) else 0,
        str(document.get("purpose") or ""),
        str(document.get("status") or ""),
        sha256,
        document,
    )
